"""A sink that turns the calls of an exchange into something to await, with a bounded buffer in between.

Most MCP answers are small and quick. For them the reader waits once, until the answer is whole, and passes it on in one
piece. For everything else (event streams, large bodies, slow tools) the reader takes pieces as they come, and the
upstream is not read while more than the high-water mark lies here.
"""

import asyncio

from gateway.relay.exchange import ReadFlow
from gateway.relay.faults import RelayFault, UpstreamBroken
from gateway.relay.limits import RelayLimits
from gateway.relay.wire import ResponseHead


class BufferedResponse:
    """Implements `ResponseSink`. One reader at a time."""

    __slots__ = (
        "_eager",
        "_ended",
        "_fault",
        "_flow",
        "_head",
        "_high_water_bytes",
        "_loop",
        "_paused",
        "_pieces",
        "_size",
        "_streams",
        "_waiter",
    )

    def __init__(self, limits: RelayLimits) -> None:
        self._loop = asyncio.get_running_loop()
        self._high_water_bytes = limits.high_water_bytes
        self._flow: ReadFlow | None = None
        self._head: ResponseHead | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False
        self._ended = False
        self._eager = False
        self._streams = False
        self._fault: RelayFault | None = None
        self._waiter: asyncio.Future[None] | None = None

    def started(self, flow: ReadFlow) -> None:
        """Remember whom to slow down."""
        self._flow = flow

    def head_received(self, head: ResponseHead) -> None:
        """The answer begins."""
        self._head = head
        self._streams = head.is_event_stream
        if self._eager or self._streams:
            self._wake()

    def body_received(self, data: bytes) -> None:
        """Keep a piece; above the high-water mark the upstream has to wait."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= self._high_water_bytes:
            self._pause()
        if self._eager or self._paused:
            self._wake()

    def whole_received(self, head: ResponseHead, body: bytes) -> None:
        """All of it at once: `ended` follows."""
        self._head = head
        if body:
            self._pieces.append(body)
            self._size += len(body)

    def ended(self) -> None:
        """The answer is whole."""
        self._ended = True
        self._wake()

    def failed(self, fault: RelayFault) -> None:
        """No more will come, and what came is not whole."""
        self._fault = fault
        self._wake()

    async def completes_within(self, patience_s: float) -> bool:
        """Wait for a whole answer, but not for an event stream, a large body, or longer than `patience_s` seconds.

        True: `head` and `read` deliver all of it without waiting. False: read it piece by piece.
        """
        if not self._is_settled():
            timer = self._loop.call_later(patience_s, self._wake)
            try:
                await self._wait()
            finally:
                timer.cancel()
        self._eager = True
        return self._ended

    async def head(self) -> ResponseHead:
        """The head, once it is here.

        Raises:
            RelayFault: it will never be.
        """
        while self._head is None:
            if self._fault is not None:
                raise self._fault
            await self._wait()
        return self._head

    async def read(self) -> bytes:
        """Everything that came since the last call, waiting for at least one byte; empty at the end.

        Raises:
            RelayFault: the answer broke off; what came before it has been delivered by earlier calls.
        """
        while not self._pieces:
            if self._ended:
                return b""
            if self._fault is not None:
                raise self._fault
            await self._wait()
        return self._take()

    async def read_whole(self, limit_bytes: int) -> bytes:
        """The whole body, for an answer that cannot be passed on piece by piece.

        Raises:
            RelayFault: the answer broke off, or is larger than the limit.
        """
        pieces: list[bytes] = []
        size = 0
        self._eager = True
        while piece := await self.read():
            pieces.append(piece)
            size += len(piece)
            if size > limit_bytes:
                raise UpstreamBroken(f"its answer is larger than {limit_bytes} bytes")
        return b"".join(pieces)

    def _take(self) -> bytes:
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._paused and self._flow is not None:
            self._paused = False
            self._flow.resume_reading()
        return data

    def _is_settled(self) -> bool:
        return self._ended or self._fault is not None or self._paused or self._streams

    def _pause(self) -> None:
        if not self._paused and self._flow is not None:
            self._paused = True
            self._flow.pause_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
