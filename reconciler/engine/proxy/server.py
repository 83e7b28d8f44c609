"""The listening side of the proxy: one task for each connection, one exchange after the other on it."""

import asyncio
from dataclasses import dataclass

import structlog

from reconciler.engine import identifiers
from reconciler.engine.clock import Clock
from reconciler.engine.proxy.destinations import Destination, Destinations, NoDestination
from reconciler.engine.proxy.heads import Caller, plain_response
from reconciler.engine.proxy.messages import BadMessage, Head, RequestReader, StreamEnded
from reconciler.engine.proxy.relay import Exchange, Truncated
from reconciler.engine.proxy.routing import Demand
from reconciler.engine.proxy.upstreams import Upstream, Upstreams

log = structlog.get_logger()
SUFFIX = ".flycast"
RETRY_S = 0.05
"""Between attempts to connect to a machine that has started and does not listen yet."""


class _Gone(asyncio.StreamReaderProtocol):
    """Notices at once that a caller has gone, also while nobody reads from it, and ends the exchange under way."""

    exchange: "asyncio.Task[None] | None" = None

    def eof_received(self) -> bool | None:
        self._end_exchange()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_exchange()
        super().connection_lost(exc)

    def _end_exchange(self) -> None:
        if self.exchange is not None:
            self.exchange.cancel()


@dataclass(slots=True, kw_only=True)
class _Connection:
    requests: RequestReader
    writer: asyncio.StreamWriter
    caller: Caller


class ProxyServer:
    def __init__(
        self, destinations: Destinations, upstreams: Upstreams, clock: Clock, tasks: asyncio.TaskGroup
    ) -> None:
        self._destinations = destinations
        self._upstreams = upstreams
        self._clock = clock
        self._tasks = tasks
        self._connections: set[asyncio.Task[None]] = set()

    def protocol(self) -> asyncio.Protocol:
        """The protocol factory for `loop.create_server`."""
        reader = asyncio.StreamReader()
        protocol = _Gone(reader, lambda _, writer: self._accept(reader, writer, protocol))
        return protocol

    def close(self) -> None:
        """Ends every exchange and connection."""
        for task in self._connections:
            task.cancel()
        self._upstreams.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: _Gone) -> None:
        task = self._tasks.create_task(self._serve_safely(reader, writer, protocol))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve_safely(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: _Gone) -> None:
        ip, port = writer.get_extra_info("peername")[0], writer.get_extra_info("sockname")[1]
        region = self._destinations.region.encode()
        caller = Caller(ip=str(ip).encode(), port=str(port).encode(), region=region)
        connection = _Connection(requests=RequestReader(reader), writer=writer, caller=caller)
        try:
            await self._serve(connection, protocol)
        except (StreamEnded, ConnectionError, Truncated):
            # The caller left, or its answer broke off: closing is all that can be said.
            pass
        except Exception:
            # The edge of a task: one connection's fault must not end the others.
            log.exception("proxy-connection-failed")
        finally:
            protocol.exchange = None
            writer.close()

    async def _serve(self, connection: _Connection, protocol: _Gone) -> None:
        reusable = True
        while reusable:
            request_id = identifiers.request_id(self._clock.now_ns(), self._destinations.region).encode()
            try:
                head = await connection.requests.head()
                protocol.exchange = asyncio.current_task()
                reusable = await self._answer(connection, head, request_id)
            except BadMessage as error:
                await self._refuse(connection, 400, b"Bad Request", f"bad request: {error}", request_id)
                return
            finally:
                protocol.exchange = None

    async def _answer(self, connection: _Connection, head: Head, request_id: bytes) -> bool:
        """Whether the connection can carry another request."""
        try:
            app, demand = _asked(head)
            destination, upstream = await self._connected(app, demand)
        except NoDestination as refusal:
            await self._refuse(connection, 503, b"Service Unavailable", str(refusal), request_id)
            return False
        unavailable = demand.preferred.encode() if destination.preferred_missed else b""
        exchange = Exchange(
            head=head, upstream=upstream, requests=connection.requests, writer=connection.writer, request_id=request_id
        )
        with self._destinations.candidates.busy(destination.machine_id):
            try:
                reusable = await exchange.run(connection.caller, unavailable)
            except (StreamEnded, ConnectionError, BadMessage) as error:
                if exchange.answered:
                    raise Truncated from error
                broken = self._destinations.refused(
                    app, "PU02", "request started but not completed", destination.machine_id
                )
                await self._refuse(connection, 502, b"Bad Gateway", str(broken), request_id)
                return False
            finally:
                self._release(destination, upstream, exchange)
        return reusable

    def _release(self, destination: Destination, upstream: Upstream, exchange: Exchange) -> None:
        if exchange.upstream_reusable:
            self._upstreams.give_back(destination.port, upstream)
        else:
            upstream.discard()

    async def _connected(self, app: str, demand: Demand) -> tuple[Destination, Upstream]:
        """A machine and a connection to it. One that has just started is given time to listen.

        Raises:
            NoDestination: there is no machine, or it does not accept connections.
        """
        while True:
            destination = await self._destinations.find(app, demand)
            try:
                return destination, await self._upstreams.take(destination.port)
            except (OSError, TimeoutError) as error:
                machine = self._destinations.inventory.machine(destination.machine_id)
                if machine is None or not self._destinations.candidates.is_young(machine):
                    message = "instance refused connection. is your app listening on 0.0.0.0?"
                    raise self._destinations.refused(app, "PC01", message, destination.machine_id) from error
            await self._clock.wait(self._destinations.inventory.next_change(app), RETRY_S)

    @staticmethod
    async def _refuse(connection: _Connection, status: int, reason: bytes, text: str, request_id: bytes) -> None:
        connection.writer.write(plain_response(status, reason, text + "\n", close=True, request_id=request_id))
        await connection.writer.drain()


def _asked(head: Head) -> tuple[str, Demand]:
    """The app that the Host header names, and what the request wants of its machine.

    Raises:
        BadMessage: there is not exactly one Host.
        NoDestination: the Host names no app.
    """
    hosts = [value for key, value in head.headers if key == b"host"]
    if len(hosts) != 1:
        raise BadMessage("exactly one Host header is needed")
    name = hosts[0].decode("latin-1").rpartition(":")[0] or hosts[0].decode("latin-1")
    if not name.endswith(SUFFIX):
        raise NoDestination("PM06", f"no app in Host {name!r}; ask for {{app}}{SUFFIX}")
    forced, preferred = head.first(b"fly-force-instance-id"), head.first(b"fly-prefer-instance-id")
    demand = Demand(forced=(forced or b"").decode("latin-1"), preferred=(preferred or b"").decode("latin-1"))
    return name.removesuffix(SUFFIX), demand
