"""Connections to upstreams, kept between exchanges, and the one way to start an exchange.

Retries: an idle connection that turns out to be closed is thrown away before anything of the request is written to it,
and the next one, at last a fresh one, is taken. After the first written byte nothing is ever sent again: whether the
upstream acted on it cannot be known, and MCP calls are not idempotent.
"""

import asyncio
import errno
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.relay.connection import UpstreamConnection
from gateway.relay.exchange import Exchange, ResponseSink
from gateway.relay.faults import ExchangeAborted, UpstreamBusy, UpstreamTimeout, UpstreamUnreachable
from gateway.relay.known import KnownHeads
from gateway.relay.limits import RelayLimits
from gateway.relay.outside import Outside, Resolve, allowed_addresses, resolve, tls_context


class Address(NamedTuple):
    """What one pool of connections belongs to. The authority is part of it, so that a connection on which a proxy has
    once routed one app never carries a request for another. A tuple, because it is a key of every call.
    """

    host: str
    port: int
    authority: str
    outside: Outside | None = None
    """Of a place outside the fleet, whose address is looked at before it is connected to; None for the fleet's own."""


@dataclass(slots=True)
class _Lane:
    """The connections to one address: all of them, and those without an exchange, most recently used last."""

    everything: set[UpstreamConnection] = field(default_factory=set[UpstreamConnection])
    idle: deque[UpstreamConnection] = field(default_factory=deque[UpstreamConnection])
    dialling: int = 0

    @property
    def size(self) -> int:
        return len(self.everything) + self.dialling


class Relay:
    """Starts exchanges. Belongs to one event loop; `aclose` ends everything that it started."""

    def __init__(self, limits: RelayLimits, *, look_up: Resolve = resolve) -> None:
        """`look_up` finds the addresses of places outside the fleet."""
        self.limits = limits
        self._look_up = look_up
        self._lanes: dict[Address, _Lane] = {}
        self._heads = KnownHeads()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def open(self, address: Address, opening: bytes, sink: ResponseSink, *, chunked: bool) -> Exchange:
        """Send the first bytes of a request (its head, and what is known of its body) and direct the answer to `sink`.

        The caller sends the rest of the body with `Exchange.send` and must call `complete_request` or `abort`.

        Raises:
            UpstreamUnreachable, UpstreamTimeout, UpstreamBusy: no connection came about and nothing was sent. Later
                failures reach the sink.
        """
        connection = self._take_idle(address)
        if connection is None:
            connection = await self._dial(address)
        return connection.begin(sink, opening, chunked=chunked)

    def open_at_once(self, address: Address, request: bytes, sink: ResponseSink) -> Exchange | None:
        """Send a whole request on an idle connection, or do nothing and return None where there is none."""
        connection = self._take_idle(address)
        if connection is None:
            return None
        exchange = connection.begin(sink, request, chunked=False)
        exchange.complete_request()
        return exchange

    async def aclose(self) -> None:
        """End all exchanges and close all connections."""
        self._is_closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for lane in list(self._lanes.values()):
            for connection in list(lane.everything):
                connection.fail(ExchangeAborted("the gateway shuts down"))
        await asyncio.sleep(0)

    def connections(self, address: Address) -> int:
        """How many connections to that address are open, with and without an exchange."""
        lane = self._lanes.get(address)
        return len(lane.everything) if lane is not None else 0

    def _take_idle(self, address: Address) -> UpstreamConnection | None:
        lane = self._lanes.get(address)
        while lane is not None and lane.idle:
            connection = lane.idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        return None

    async def _dial(self, address: Address) -> UpstreamConnection:
        lane = self._lanes.setdefault(address, _Lane())
        if self._is_closed or lane.size >= self.limits.max_connections_per_upstream:
            raise UpstreamBusy(f"{lane.size} connections to this upstream are open already")
        lane.dialling += 1
        try:
            connection = await self._connect(address, lane)
        finally:
            lane.dialling -= 1
            self._forget_empty(address, lane)
        return connection

    async def _connect(self, address: Address, lane: _Lane) -> UpstreamConnection:
        def make() -> UpstreamConnection:
            return UpstreamConnection(
                self.limits,
                self._heads,
                release=lambda connection: self._keep(lane, connection),
                gone=lambda connection: self._drop(address, lane, connection),
            )

        try:
            async with asyncio.timeout(self.limits.connect_timeout_s):
                connection = await self._reach(make, address)
        except TimeoutError as error:
            raise UpstreamTimeout(f"no connection within {self.limits.connect_timeout_s:g} s") from error
        except OSError as error:
            raise _unreachable(error) from error
        if not connection.is_open:
            raise UpstreamUnreachable("the connection was closed as soon as it was made")
        lane.everything.add(connection)
        return connection

    async def _reach(self, make: Callable[[], UpstreamConnection], address: Address) -> UpstreamConnection:
        loop, outside = asyncio.get_running_loop(), address.outside
        if outside is None:
            _, connection = await loop.create_connection(make, address.host, address.port)
            return connection
        found = await allowed_addresses(address.host, address.port, outside, self._look_up)
        context = tls_context() if outside.is_encrypted else None
        name = address.host if outside.is_encrypted else None
        for number, numeric in enumerate(found):
            try:
                _, connection = await loop.create_connection(
                    make, numeric, address.port, ssl=context, server_hostname=name
                )
            except OSError:
                if number == len(found) - 1:
                    raise
            else:
                return connection
        raise AssertionError("a name has addresses here")

    def _keep(self, lane: _Lane, connection: UpstreamConnection) -> None:
        lane.idle.append(connection)
        if len(lane.idle) > self.limits.max_idle_per_upstream:
            lane.idle.popleft().close()
        if self._sweep_timer is None and not self._is_closed:
            self._sweep_timer = asyncio.get_running_loop().call_later(self.limits.idle_timeout_s, self._sweep)

    def _drop(self, address: Address, lane: _Lane, connection: UpstreamConnection) -> None:
        lane.everything.discard(connection)
        if connection in lane.idle:
            lane.idle.remove(connection)
        self._forget_empty(address, lane)

    def _forget_empty(self, address: Address, lane: _Lane) -> None:
        if lane.size == 0 and self._lanes.get(address) is lane:
            del self._lanes[address]

    def _sweep(self) -> None:
        """Close what has been idle for too long, and look again while anything is idle."""
        loop = asyncio.get_running_loop()
        oldest_s = loop.time() - self.limits.idle_timeout_s
        for lane in self._lanes.values():
            while lane.idle and lane.idle[0].idle_since_s <= oldest_s:
                lane.idle.popleft().close()
        waiting = any(lane.idle for lane in self._lanes.values())
        self._sweep_timer = loop.call_later(self.limits.idle_timeout_s / 4, self._sweep) if waiting else None


def _unreachable(error: OSError) -> UpstreamUnreachable:
    """Explain a failed connect without the text of the operating system's error, which names addresses."""
    if isinstance(error, ssl.SSLError):
        return UpstreamUnreachable(f"no encrypted connection could be made: {_tls_reason(error)}")
    if error.errno == errno.ECONNREFUSED:
        return UpstreamUnreachable("the connection was refused", refused=True)
    reason = error.strerror or "no address of it could be reached"
    return UpstreamUnreachable(f"no connection could be made: {reason}")


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good ({error.verify_message})"
    return (error.reason or "handshake failed").replace("_", " ").lower()
