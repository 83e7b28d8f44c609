"""One exchange between a caller and a machine: both bodies flow at once, as fast as the slower side takes them."""

import asyncio

from reconciler.engine.proxy.heads import LAST_CHUNK, Caller, chunk, is_chunked, request_bytes, response_bytes
from reconciler.engine.proxy.messages import BadMessage, End, Head, Part, RequestReader, StreamEnded
from reconciler.engine.proxy.upstreams import Upstream


class Truncated(Exception):
    """The machine's answer broke off after part of it had been passed on."""


class Exchange:
    def __init__(
        self,
        *,
        head: Head,
        upstream: Upstream,
        requests: RequestReader,
        writer: asyncio.StreamWriter,
        request_id: bytes,
    ) -> None:
        self._head = head
        self._upstream = upstream
        self._requests = requests
        self._writer = writer
        self._request_id = request_id
        self._request_sent = False
        self.answered = False
        """Whether the caller has got any part of the answer."""
        self.upstream_reusable = False

    async def run(self, caller: Caller, unavailable: bytes) -> bool:
        """Whether the caller's connection can carry another request.

        Raises:
            StreamEnded, ConnectionError, BadMessage: the machine did not answer, or not in HTTP.
        """
        first = request_bytes(self._head, caller, self._request_id, unavailable)
        if self._requests.complete():
            # The usual case: the whole request is here, and no second task is needed.
            self._upstream.writer.write(first + self._framed(self._requests.ready()))
            self._request_sent = True
            return await self._relay_answer()
        self._upstream.writer.write(first)
        return await self._relay_both()

    async def _relay_both(self) -> bool:
        reusable, failure = False, None
        async with asyncio.TaskGroup() as both:
            sending = both.create_task(self._send_body())
            try:
                reusable = await self._relay_answer()
            except (StreamEnded, ConnectionError, BadMessage) as error:
                # Kept until the group has ended, which would wrap it otherwise.
                failure = error
            # An answer that comes before the request was read to its end leaves the rest of it unread.
            sending.cancel()
        if failure is not None:
            raise failure
        return reusable

    async def _send_body(self) -> None:
        """Ends the machine's connection when the caller's body cannot be had, so that the answer ends too."""
        try:
            while not self._request_sent:
                parts = await self._requests.parts()
                self._upstream.writer.write(self._framed(parts))
                await self._upstream.writer.drain()
                self._request_sent = parts[-1] is End.OF_MESSAGE
        except (StreamEnded, BadMessage, ConnectionError):
            self._upstream.discard()

    def _framed(self, parts: list[Part]) -> bytes:
        """Pieces of the request as the machine gets them."""
        return _chunks(parts) if is_chunked(self._head) else _plain(parts)

    async def _relay_answer(self) -> bool:
        head = await self._upstream.responses.head()
        while 100 <= head.status < 200:
            self._writer.write(response_bytes(head, chunked=False, close=False, request_id=self._request_id))
            await self._upstream.responses.parts()
            head = await self._upstream.responses.head()
        return await self._relay_final(head)

    async def _relay_final(self, head: Head) -> bool:
        bodiless = self._head.method == b"HEAD" or head.status in {204, 304}
        unsized = not bodiless and not head.has(b"content-length")
        chunked = unsized and self._head.version == "1.1"
        close = not self._head.keep_alive or (unsized and not chunked) or not self._request_sent
        pending = response_bytes(head, chunked=chunked, close=close, request_id=self._request_id)
        self.answered = True
        if self._head.method == b"HEAD":
            # The parser cannot know that no body follows; the connection is not used again.
            self._writer.write(pending)
            await self._writer.drain()
            return not close
        await self._relay_body(pending, chunked=chunked)
        self.upstream_reusable = head.keep_alive and self._request_sent
        return not close

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
            self._writer.write(pending + (_chunks(parts) if chunked else _plain(parts)))
            pending = b""
            await self._writer.drain()


def _plain(parts: list[Part]) -> bytes:
    return b"".join(part for part in parts if isinstance(part, bytes))


def _chunks(parts: list[Part]) -> bytes:
    pieces = [chunk(part) for part in parts if isinstance(part, bytes) and part]
    if parts[-1] is End.OF_MESSAGE:
        pieces.append(LAST_CHUNK)
    return b"".join(pieces)
