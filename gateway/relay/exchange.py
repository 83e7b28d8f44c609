"""One request and its response on one connection.

The exchange is what the caller holds: it stays valid only while it is the connection's current one, so that a late
`abort` can never end the exchange of somebody else who got the same connection next.
"""

import asyncio
from typing import Protocol

from gateway.relay.faults import ExchangeAborted, RelayFault
from gateway.relay.wire import LAST_CHUNK, ResponseHead, encode_chunk


class ReadFlow(Protocol):
    """Stops and restarts the reading of a response, for a receiver that cannot keep up."""

    def pause_reading(self) -> None:
        """Read no more from the upstream until told to."""
        ...

    def resume_reading(self) -> None:
        """Read on."""
        ...


class ResponseSink(Protocol):
    """Where a response goes. Called from the event loop: started, head, pieces of the body, then ended or failed.

    A response that is here as a whole comes in one call in place of head and pieces. `failed` may come at any point
    after `started` and is then the last call. The methods must not block or raise.
    """

    def started(self, flow: ReadFlow) -> None: ...

    def head_received(self, head: ResponseHead) -> None: ...

    def body_received(self, data: bytes) -> None: ...

    def whole_received(self, head: ResponseHead, body: bytes) -> None: ...

    def ended(self) -> None: ...

    def failed(self, fault: RelayFault) -> None: ...


class Carrier(Protocol):
    """What an exchange needs of its connection."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

    def request_sent(self) -> None: ...

    def fail(self, fault: RelayFault) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Exchange:
    """The caller's end of an exchange: send the rest of the body, say that it is complete, or abort."""

    __slots__ = ("_carrier", "_chunked", "_open", "sink")

    def __init__(self, carrier: Carrier, sink: ResponseSink, *, chunked: bool) -> None:
        self._carrier = carrier
        self._chunked = chunked
        self._open = True
        self.sink = sink

    @property
    def is_open(self) -> bool:
        """Whether the response is still to end. Sending to a closed exchange does nothing."""
        return self._open

    async def send(self, data: bytes) -> None:
        """Send a piece of the body, and wait while the upstream is not reading.

        Does not raise: a failure reaches the sink, and `is_open` turns false.
        """
        if self._open:
            self._carrier.write(encode_chunk(data) if self._chunked else data)
            await self._carrier.drain()

    def complete_request(self) -> None:
        """The whole body has been sent: from now on the upstream's time to answer runs."""
        if self._open:
            if self._chunked:
                self._carrier.write(LAST_CHUNK)
            self._carrier.request_sent()

    def abort(self) -> None:
        """End it at once and close the connection, so that the upstream sees the client leave. Harmless when over."""
        if self._open:
            self._carrier.fail(ExchangeAborted("the exchange was ended from our side"))

    def pause_reading(self) -> None:
        """Read no more of the response until told to."""
        if self._open:
            self._carrier.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._open:
            self._carrier.resume_reading()

    def close(self) -> None:
        """Called by the connection when the response has ended or failed."""
        self._open = False


class DrainGate:
    """Lets writers wait while a transport's send buffer is full."""

    __slots__ = ("_loop", "_paused", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_shut(self) -> bool:
        """Whether a writer has to wait now."""
        return self._paused

    def shut(self) -> None:
        """The buffer is full."""
        self._paused = True

    def open(self) -> None:
        """The buffer has room again, or the connection is gone and waiting is pointless."""
        self._paused = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def passed(self) -> None:
        """Wait until the gate is open. One waiter at a time: an exchange has one sender."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
