"""A request to one server's own address, inside this process.

The data path is called as an ASGI application, so that nothing of it has a second version here: access, policy,
sessions, breakers, memory, observers. Two ways to take the answer: as it comes, changed on its way to the client
(`gateway.aggregate.passing`), or as a whole, which is this module's.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from litestar.types import Receive, Scope, Send

from gateway.aggregate.events import EventReader
from gateway.decision import BY_AGGREGATE
from gateway.relay import UpstreamBroken
from gateway.relay.wire import Headers

MAX_ANSWER_BYTES = 16 * 1024 * 1024
JSON_HEADERS = ((b"content-type", b"application/json"), (b"accept", b"application/json, text/event-stream"))
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Left = Callable[[], Awaitable[None]]
Message = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request to a server. Header names are lower case."""

    server: str
    headers: Headers
    body: bytes = b""
    method: str = "POST"
    session_name: bytes = b""
    """What to call the session that it opens."""


async def never() -> None:
    """Nobody leaves: whoever waits for the answer ends the exchange by being cancelled."""
    await asyncio.Event().wait()


async def exchange(servers: Asgi, ask: Ask, send: Send, left: Left = never) -> None:
    """Carry out one request. `left` returns when nobody waits for the answer any more."""
    is_read = False

    async def receive() -> Message:
        nonlocal is_read
        if not is_read:
            is_read = True
            return {"type": "http.request", "body": ask.body, "more_body": False}
        await left()
        return {"type": "http.disconnect"}

    path = f"/servers/{ask.server}/mcp".encode("ascii")
    length = ((b"content-length", b"%d" % len(ask.body)),) if ask.method == "POST" else ()
    headers = [*ask.headers, *length]
    scope = {"type": "http", "method": ask.method, "raw_path": path, "headers": headers, BY_AGGREGATE: ask.session_name}
    await servers(cast("Scope", scope), cast("Receive", receive), send)


OnMessage = Callable[[str], Awaitable[None]]


@dataclass(slots=True)
class Collected:
    """The answer to one request, as a whole. Messages beside it are handed on as they come."""

    on_message: OnMessage
    status: int = 0
    headers: Sequence[tuple[bytes, bytes]] = ()
    is_whole: bool = False
    response: str | None = None
    """The response of an event stream; for any other answer see `body`."""
    _body: bytearray = field(default_factory=bytearray)
    _reader: EventReader | None = None

    @property
    def body(self) -> bytes:
        """The body of an answer that is no event stream."""
        return self.response.encode("utf-8") if self.response is not None else bytes(self._body)

    def header(self, name: bytes) -> bytes | None:
        """The first header of that lower-case name."""
        return next((value for each, value in self.headers if each == name), None)

    async def __call__(self, message: Message) -> None:
        """Take what the data path sends. Raises UpstreamBroken where that is too much."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
            is_stream = (self.header(b"content-type") or b"").startswith(b"text/event-stream")
            self._reader = EventReader() if is_stream else None
            return
        self.is_whole = not message.get("more_body", False)
        await self._take(message.get("body", b""))

    async def _take(self, piece: bytes) -> None:
        if self._reader is None:
            self._body += piece
            if len(self._body) > MAX_ANSWER_BYTES:
                raise UpstreamBroken("its answer is too large")
            return
        for event in self._reader.feed(piece):
            if '"method"' in event.data:
                await self.on_message(event.data)
            elif event.data:
                self.response = event.data


async def collect(servers: Asgi, ask: Ask, on_message: OnMessage) -> Collected:
    """Carry out one request and take its answer as a whole."""
    collected = Collected(on_message)
    await exchange(servers, ask, cast("Send", collected), never)
    return collected
