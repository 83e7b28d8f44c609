"""One exchange between a caller and a machine: both bodies flow at once, as fast as the slower side takes them."""

import asyncio
from dataclasses import dataclass

from reconciler.engine.proxy.bodies import RequestBody, chunks, plain
from reconciler.engine.proxy.heads import response_bytes
from reconciler.engine.proxy.messages import BadMessage, End, Head, StreamEnded
from reconciler.engine.proxy.replays import REPLAY_TYPE, ReplayText
from reconciler.engine.proxy.upstreams import Upstream

REPLAY_TEXT_LIMIT = 65_536
"""Bytes of a replay instruction that comes as a body."""


class Truncated(Exception):
    """The machine's answer broke off after part of it had been passed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The caller has its answer."""

    reusable: bool
    """Whether the caller's connection can carry another request."""


class Exchange:
    def __init__(
        self, *, head: Head, body: RequestBody, upstream: Upstream, writer: asyncio.StreamWriter, request_id: bytes
    ) -> None:
        self._head = head
        self._body = body
        self._upstream = upstream
        self._writer = writer
        self._request_id = request_id
        self._request_sent = False
        self.answered = False
        """Whether the caller has got any part of the answer."""
        self.upstream_reusable = False

    async def run(self, first: bytes) -> Answered | ReplayText:
        """Sends the request, whose head is `first`, and passes the answer on, unless it is an order to replay.

        Raises:
            StreamEnded, ConnectionError, BadMessage: the machine did not answer, or not in HTTP.
        """
        whole = self._body.whole()
        if whole is not None:
            # The usual case: the whole request is here, and no second task is needed.
            self._upstream.writer.write(first + whole)
            self._request_sent = True
            return await self._relay_answer()
        self._upstream.writer.write(first)
        return await self._relay_both()

    async def _relay_both(self) -> Answered | ReplayText:
        outcome: Answered | ReplayText | None = None
        failure: Exception | None = None
        async with asyncio.TaskGroup() as both:
            sending = both.create_task(self._send_body())
            try:
                outcome = await self._relay_answer()
            except (StreamEnded, ConnectionError, BadMessage) as error:
                # Kept until the group has ended, which would wrap it otherwise.
                failure = error
            # An answer that comes before the request was read to its end leaves the rest of it unread.
            sending.cancel()
        if outcome is None:
            raise failure or StreamEnded
        return outcome

    async def _send_body(self) -> None:
        await self._body.send(self._upstream)
        self._request_sent = self._body.ended

    async def _relay_answer(self) -> Answered | ReplayText:
        head = await self._upstream.responses.head()
        while 100 <= head.status < 200:
            self._writer.write(response_bytes(head, chunked=False, close=False, request_id=self._request_id))
            await self._upstream.responses.parts()
            head = await self._upstream.responses.head()
        order = await self._order_of(head)
        if order is not None:
            return order
        self._body.forget()
        return await self._relay_final(head)

    async def _order_of(self, head: Head) -> ReplayText | None:
        """What the answer says about a replay. A body in the format of one is the order itself."""
        fields = head.first(b"fly-replay")
        if fields is not None:
            return ReplayText(text=fields, is_json=False)
        media_type = (head.first(b"content-type") or b"").split(b";")[0].strip().lower()
        if media_type != REPLAY_TYPE or self._head.method == b"HEAD":
            return None
        text = bytearray()
        parts = await self._upstream.responses.parts()
        while True:
            text += plain(parts)
            if len(text) > REPLAY_TEXT_LIMIT:
                raise BadMessage(f"a replay instruction larger than {REPLAY_TEXT_LIMIT} bytes")
            if parts[-1] is End.OF_MESSAGE:
                return ReplayText(text=bytes(text), is_json=True)
            parts = await self._upstream.responses.parts()

    async def _relay_final(self, head: Head) -> Answered:
        bodiless = self._head.method == b"HEAD" or head.status in {204, 304}
        unsized = not bodiless and not head.has(b"content-length")
        chunked = unsized and self._head.version == "1.1"
        close = not self._head.keep_alive or (unsized and not chunked) or not self._body.ended
        pending = response_bytes(head, chunked=chunked, close=close, request_id=self._request_id)
        self.answered = True
        if self._head.method == b"HEAD":
            # The parser cannot know that no body follows; the connection is not used again.
            self._writer.write(pending)
            await self._writer.drain()
            return Answered(reusable=not close)
        await self._relay_body(pending, chunked=chunked)
        self.upstream_reusable = head.keep_alive and self._request_sent
        return Answered(reusable=not close)

    async def _relay_body(self, pending: bytes, *, chunked: bool) -> None:
        """Passes on what has come, each time in one write, and waits when the caller is slower than the machine."""
        ended = False
        while not ended:
            parts = self._upstream.responses.ready()
            if not parts:
                if pending:
                    self._writer.write(pending)
                    pending = b""
                parts = await self._upstream.responses.parts()
            ended = parts[-1] is End.OF_MESSAGE
            self._writer.write(pending + (chunks(parts) if chunked else plain(parts)))
            pending = b""
            await self._writer.drain()
