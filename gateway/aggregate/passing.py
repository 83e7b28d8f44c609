"""The answer of one server on its way to the client, changed where it has to be.

An event stream passes event by event, with back-pressure; a plain answer passes untouched unless something in it may
have to be changed, and then it is held until it is whole. A session that the server does not know any more (404) is not
passed on: nothing was carried out, and whoever asked can start it again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from litestar.types import Send

from gateway.aggregate.events import Event, EventReader, event_of, rewritten
from gateway.aggregate.inner import Message
from gateway.client import Client
from gateway.headers import SESSION_HEADER

MAX_HELD_BYTES = 4 * 1024 * 1024
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What becomes of an answer."""

    message: Callable[[str], str]
    """Of each message in an event stream."""
    event_id: Callable[[str], str]
    body: Callable[[str], str] | None = None
    """Of a plain JSON body, where it may need one."""
    in_session: bool = False
    """Whether 404 says that the session is gone."""

    def applied(self, event: Event) -> bytes:
        """An event as the client gets it."""
        data = self.message(event.data) if event.data else event.data
        event_id = self.event_id(event.event_id) if event.event_id else event.event_id
        return event.changed(data=data, event_id=event_id)


class Passage:
    """Takes what the data path sends (an ASGI `send`) and gives it to the client."""

    def __init__(self, client: Client, changes: Changes, *, is_begun: bool = False) -> None:
        """`is_begun`: the client already has an event stream, of which the answer is to be the end."""
        self._client = client
        self._changes = changes
        self._is_begun = is_begun
        self._status = 0
        self._headers: Sequence[tuple[bytes, bytes]] = ()
        self._reader: EventReader | None = None
        self._held: bytearray | None = None
        self.is_lost = False
        """Whether the session was gone; the client has not been told anything."""

    @property
    def send(self) -> Send:
        """This, as an ASGI `send`."""
        return cast("Send", self._take)

    async def _take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._start(message)
        elif not self.is_lost:
            await self._body(message.get("body", b""), more=message.get("more_body", False))

    async def _start(self, message: Message) -> None:
        self._status = message["status"]
        self._headers = [header for header in message["headers"] if header[0] != SESSION_HEADER]
        kind = next((value for name, value in self._headers if name == b"content-type"), b"")
        if self._status == _NOT_FOUND and self._changes.in_session:
            self.is_lost = True
        elif kind.startswith(b"text/event-stream"):
            # A short stream that was here at once has a length, which another id or message would change.
            self._reader = EventReader()
            if not self._is_begun:
                await self._client.start(self._status, _without_length(self._headers))
        elif self._is_begun or (self._changes.body is not None and kind.startswith(b"application/json")):
            self._held = bytearray()
        else:
            await self._client.start(self._status, self._headers)

    async def _body(self, piece: bytes, *, more: bool) -> None:
        if self._reader is not None:
            changed = rewritten(self._reader, piece, self._changes.applied)
            if changed or not more:
                await self._client.write(changed + (b"" if more else self._reader.rest()), more=more)
        elif self._held is not None:
            await self._hold(self._held, piece, more=more)
        else:
            await self._client.write(piece, more=more)

    async def _hold(self, held: bytearray, piece: bytes, *, more: bool) -> None:
        """Until the answer is whole, or too large to be one that has to be changed."""
        held += piece
        if more and (self._is_begun or len(held) <= MAX_HELD_BYTES):
            return
        self._held = None
        if more:
            await self._client.start(self._status, self._headers)
            await self._client.write(bytes(held), more=True)
        else:
            await self._answer(bytes(held))

    async def _answer(self, body: bytes) -> None:
        change = self._changes.body or _unchanged
        text = change(body.decode("utf-8", "replace"))
        if self._is_begun:
            await self._client.write(event_of(text), more=False)
            return
        changed = text.encode("utf-8")
        length = (b"content-length", b"%d" % len(changed))
        await self._client.start(self._status, [*_without_length(self._headers), length])
        await self._client.write(changed, more=False)


def _without_length(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [header for header in headers if header[0] != b"content-length"]


def _unchanged(text: str) -> str:
    return text
