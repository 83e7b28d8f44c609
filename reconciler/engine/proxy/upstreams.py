"""Connections to machines, kept for a moment after use: a local proxy should not cost a handshake for each call."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass

from reconciler.engine.clock import NANOSECONDS, Clock
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


class Upstreams:
    def __init__(self, host: str, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._idle: defaultdict[int, list[Upstream]] = defaultdict(list)

    async def take(self, port: int) -> Upstream:
        """A connection that nobody else uses.

        Raises:
            OSError: the machine does not accept one.
            TimeoutError: not within `CONNECT_S`.
        """
        kept = self._idle.get(port)
        while kept:
            upstream = kept.pop()
            if self._fresh(upstream):
                return upstream
            upstream.discard()
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(self._host, port)
        return Upstream(reader=reader, writer=writer, responses=ResponseReader(reader))

    def give_back(self, port: int, upstream: Upstream) -> None:
        kept = self._idle[port]
        if len(kept) >= IDLE_LIMIT:
            upstream.discard()
            return
        upstream.idle_since_ns = self._clock.now_ns()
        kept.append(upstream)

    def _fresh(self, upstream: Upstream) -> bool:
        idle_ns = self._clock.now_ns() - upstream.idle_since_ns
        closed = upstream.reader.at_eof() or upstream.writer.is_closing()
        return not closed and idle_ns < IDLE_S * NANOSECONDS

    def close(self) -> None:
        for kept in self._idle.values():
            for upstream in kept:
                upstream.discard()
        self._idle.clear()
