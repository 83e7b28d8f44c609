"""One connection to an upstream: carries one exchange at a time and is reused while both sides are clean.

A connection is clean when the request was sent completely, the response arrived completely, neither side asked to close
and nothing came after it. Before a clean connection is used again it is asked, without waiting, whether its socket has
anything to read: a connection that the upstream has closed meanwhile always has. So a request is never written to a
connection that is known to be dead, and no request has to be sent twice.

A response whose head is known byte for byte (`gateway.relay.known`) is counted by its length and not parsed again.
"""

import asyncio
import select
import socket
from collections.abc import Callable
from typing import cast

from gateway.relay.exchange import DrainGate, Exchange, ResponseSink
from gateway.relay.faults import RelayFault, UpstreamBroken, UpstreamTimeout
from gateway.relay.known import HEAD_END, KnownHead, KnownHeads
from gateway.relay.limits import RelayLimits
from gateway.relay.parser import ResponseParser

# A machine that vanishes without a word is noticed after about a minute, also on a stream that may be silent for ever.
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 30),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 10),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
)


class UpstreamConnection(asyncio.Protocol):
    """Made by the pool. `release` is called when it can carry the next exchange, `gone` once when it is closed."""

    def __init__(
        self,
        limits: RelayLimits,
        heads: KnownHeads,
        *,
        release: Callable[["UpstreamConnection"], None],
        gone: Callable[["UpstreamConnection"], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._release = release
        self._gone = gone
        self._heads = heads
        self._parser = ResponseParser(limits)
        self._awaited_bytes: int | None = None
        """What is still to come of a body behind a known head; None where the parser counts."""
        self._is_fresh = True
        """Whether nothing of the response has arrived yet."""
        self._has_head = False
        self._gate = DrainGate(self._loop)
        self._exchange: Exchange | None = None
        self._request_is_sent = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_deadline_s = 0.0
        self._transport: asyncio.Transport | None = None
        self._reading_is_paused = False
        self._socket_events = select.poll()
        self.idle_since_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the connection is open as far as the event loop knows."""
        return self._transport is not None and not self._transport.is_closing()

    def is_usable(self) -> bool:
        """Whether an idle connection is still open and silent, asked of the socket itself."""
        return self.is_open and not self._socket_events.poll(0)

    def begin(self, sink: ResponseSink, opening: bytes, *, chunked: bool) -> Exchange:
        """Start an exchange with its first bytes: the head, and what of the body is here already."""
        exchange = Exchange(self, sink, chunked=chunked)
        self._exchange = exchange
        self._request_is_sent = False
        self._is_fresh = True
        self._has_head = False
        self._awaited_bytes = None
        sink.started(exchange)
        self.write(opening)
        return exchange

    def write(self, data: bytes) -> None:
        """Hand bytes to the transport."""
        if self._transport is not None and data:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the send buffer has room; an upstream that does not read for too long fails the exchange."""
        if not self._gate.is_shut:
            return
        try:
            async with asyncio.timeout(self._limits.send_timeout_s):
                await self._gate.passed()
        except TimeoutError:
            self.fail(UpstreamTimeout(f"the upstream read nothing for {self._limits.send_timeout_s:g} s"))

    def request_sent(self) -> None:
        """The request is complete: the upstream has its time to answer.

        The timer outlives the exchange and looks again when it rings: quick exchanges are many, late heads are rare.
        """
        self._request_is_sent = True
        if not self._has_head:
            self._head_deadline_s = self._loop.time() + self._limits.head_timeout_s
            if self._head_timer is None:
                self._head_timer = self._loop.call_later(self._limits.head_timeout_s, self._look_at_head)

    def fail(self, fault: RelayFault) -> None:
        """Close the connection and tell the exchange why."""
        exchange = self._detach()
        self.close()
        if exchange is not None:
            exchange.sink.failed(fault)

    def close(self) -> None:
        """Close at once; what is still in the send buffer is of no use to anybody."""
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        """Leave further bytes in the kernel, so that the upstream feels the slow reader."""
        if self._transport is not None and self.is_open and not self._reading_is_paused:
            self._reading_is_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._transport is not None and self.is_open and self._reading_is_paused:
            self._reading_is_paused = False
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and watch over the other side's life."""
        self._transport = cast("asyncio.Transport", transport)
        raw: socket.socket = transport.get_extra_info("socket")
        self._socket_events.register(raw.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
        for level, option, value in _KEEP_ALIVE:
            if hasattr(socket, option):
                raw.setsockopt(level, getattr(socket, option), value)

    def data_received(self, data: bytes) -> None:
        """Bytes of the response, or unasked ones, which end the connection."""
        exchange = self._exchange
        if exchange is None:
            self.close()
        elif self._is_fresh:
            self._is_fresh = False
            known = self._heads.find(data) if self._request_is_sent else None
            if known is not None:
                self._begin_known(exchange, known, data)
            else:
                self._begin_parsing(exchange, data)
        elif self._awaited_bytes is not None:
            self._continue_known(exchange, data)
        else:
            self._parse(data)

    def _begin_known(self, exchange: Exchange, known: KnownHead, data: bytes) -> None:
        self._has_head = True
        body = data[data.index(HEAD_END) + len(HEAD_END) :]
        if len(body) >= known.content_length:
            exchange.sink.whole_received(known.head, body[: known.content_length])
            if self._exchange is exchange:
                self._finish(reusable=len(body) == known.content_length)
            return
        self._awaited_bytes = known.content_length
        exchange.sink.head_received(known.head)
        if body:
            self._continue_known(exchange, body)

    def _continue_known(self, exchange: Exchange, data: bytes) -> None:
        awaited = self._awaited_bytes or 0
        self._awaited_bytes = awaited - len(data)
        exchange.sink.body_received(data if len(data) <= awaited else data[:awaited])
        if len(data) >= awaited and self._exchange is exchange:
            self._finish(reusable=len(data) == awaited)

    def _begin_parsing(self, exchange: Exchange, data: bytes) -> None:
        parser = self._parser
        parser.expect(exchange.sink)
        self._parse(data)
        head = parser.head
        learnable = head is not None and parser.content_length is not None and head.status not in {204, 304}
        if learnable and parser.keeps_alive and not parser.had_interim:
            assert head is not None
            assert parser.content_length is not None
            self._heads.learn(data, head, parser.content_length)

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
        except UpstreamBroken as fault:
            self.fail(fault)
            return
        self._has_head = self._parser.has_head
        if self._parser.is_complete:
            self._finish(reusable=self._parser.keeps_alive and self._request_is_sent)

    def pause_writing(self) -> None:
        """The send buffer is full."""
        self._gate.shut()

    def resume_writing(self) -> None:
        """The send buffer has room."""
        self._gate.open()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, in the middle of an exchange or between two."""
        self._gate.open()
        if self._exchange is not None:
            if exc is None and self._ends_with_connection():
                self._finish(reusable=False)
            else:
                self.fail(UpstreamBroken(self._loss()))
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._transport = None
        self._gone(self)

    def _ends_with_connection(self) -> bool:
        return self._has_head and self._awaited_bytes is None and self._parser.ends_with_connection

    def _finish(self, *, reusable: bool) -> None:
        exchange = self._detach()
        if reusable:
            self.resume_reading()
            self.idle_since_s = self._loop.time()
            self._release(self)
        else:
            self.close()
        if exchange is not None:
            exchange.sink.ended()

    def _detach(self) -> Exchange | None:
        """The exchange is over, one way or the other."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close()
        return exchange

    def _loss(self) -> str:
        if self._has_head:
            return "the upstream closed the connection in the middle of its answer"
        return "the upstream closed the connection without an answer"

    def _look_at_head(self) -> None:
        self._head_timer = None
        if self._exchange is None or self._has_head or not self._request_is_sent:
            return
        left_s = self._head_deadline_s - self._loop.time()
        if left_s > 0:
            self._head_timer = self._loop.call_later(left_s, self._look_at_head)
        else:
            self.fail(UpstreamTimeout(f"the upstream gave no answer within {self._limits.head_timeout_s:g} s"))
