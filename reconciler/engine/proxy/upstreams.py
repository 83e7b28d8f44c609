"""Connections to machines, kept for a moment after use: a local proxy should not cost a handshake for each call."""

import asyncio
from dataclasses import dataclass, field

from reconciler.engine.clock import NANOSECONDS, Clock
from reconciler.engine.proxy.destinations import Destination
from reconciler.engine.proxy.messages import ResponseReader

IDLE_S = 2.0
"""Servers close idle connections after five seconds or more; a connection that is given up earlier never meets that."""
IDLE_LIMIT = 32
"""Idle connections kept for each machine."""
CONNECT_S = 5.0


@dataclass(slots=True, kw_only=True)
class Upstream:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    responses: ResponseReader
    idle_since_ns: int = 0

    def discard(self) -> None:
        """Closes at once; what was not sent yet is not worth sending."""
        self.writer.transport.abort()


@dataclass(slots=True, kw_only=True)
class _Idle:
    """The unused connections to one run of a machine."""

    run: int
    upstreams: list[Upstream] = field(default_factory=list["Upstream"])

    def discard(self) -> None:
        for upstream in self.upstreams:
            upstream.discard()
        self.upstreams.clear()


class Upstreams:
    def __init__(self, host: str, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._idle: dict[str, _Idle] = {}

    async def take(self, destination: Destination) -> Upstream:
        """A connection that nobody else uses.

        Raises:
            OSError: the machine does not accept one.
            TimeoutError: not within `CONNECT_S`.
        """
        kept = self._kept(destination).upstreams
        while kept:
            upstream = kept.pop()
            if self._fresh(upstream):
                return upstream
            upstream.discard()
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(self._host, destination.port)
        return Upstream(reader=reader, writer=writer, responses=ResponseReader(reader))

    def give_back(self, destination: Destination, upstream: Upstream) -> None:
        idle = self._idle.get(destination.machine_id)
        if idle is None or idle.run != destination.run or len(idle.upstreams) >= IDLE_LIMIT:
            upstream.discard()
            return
        upstream.idle_since_ns = self._clock.now_ns()
        idle.upstreams.append(upstream)

    def _kept(self, destination: Destination) -> _Idle:
        """What is kept for this run. What is left of an earlier one leads nowhere."""
        idle = self._idle.get(destination.machine_id)
        if idle is None or idle.run != destination.run:
            if idle is not None:
                idle.discard()
            idle = self._idle[destination.machine_id] = _Idle(run=destination.run)
        return idle

    def _fresh(self, upstream: Upstream) -> bool:
        idle_ns = self._clock.now_ns() - upstream.idle_since_ns
        closed = upstream.reader.at_eof() or upstream.writer.is_closing()
        return not closed and idle_ns < IDLE_S * NANOSECONDS

    def close(self) -> None:
        for idle in self._idle.values():
            idle.discard()
        self._idle.clear()
