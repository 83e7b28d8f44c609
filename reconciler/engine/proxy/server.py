"""The listening side of the proxy: one task for each connection, one exchange after the other on it."""

import asyncio
from dataclasses import dataclass

import structlog

from reconciler.engine import identifiers
from reconciler.engine.proxy.bodies import RequestBody
from reconciler.engine.proxy.carrier import Carrier, Request
from reconciler.engine.proxy.destinations import NoDestination
from reconciler.engine.proxy.heads import Caller, plain_response
from reconciler.engine.proxy.loads import Attachment
from reconciler.engine.proxy.messages import BadMessage, RequestReader, StreamEnded
from reconciler.engine.proxy.relay import Truncated

log = structlog.get_logger()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Connection:
    requests: RequestReader
    writer: asyncio.StreamWriter
    caller: Caller
    attachment: Attachment


class ProxyServer:
    def __init__(self, carrier: Carrier, tasks: asyncio.TaskGroup) -> None:
        self._carrier = carrier
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
        self._carrier.upstreams.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: _Gone) -> None:
        task = self._tasks.create_task(self._serve_safely(reader, writer, protocol))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve_safely(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: _Gone) -> None:
        connection = _Connection(
            requests=RequestReader(reader),
            writer=writer,
            caller=self._caller(writer),
            attachment=Attachment(self._carrier.destinations.loads),
        )
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
            connection.attachment.end()
            writer.close()

    def _caller(self, writer: asyncio.StreamWriter) -> Caller:
        ip, port = writer.get_extra_info("peername")[0], writer.get_extra_info("sockname")[1]
        region = self._carrier.destinations.region.encode()
        return Caller(ip=str(ip).encode(), port=str(port).encode(), region=region)

    async def _serve(self, connection: _Connection, protocol: _Gone) -> None:
        reusable = True
        while reusable:
            request_id = self._request_id()
            try:
                head = await connection.requests.head()
                protocol.exchange = asyncio.current_task()
                request = Request(
                    id=request_id,
                    head=head,
                    body=RequestBody(head, connection.requests),
                    caller=connection.caller,
                    writer=connection.writer,
                    attachment=connection.attachment,
                )
                reusable = await self._answer(request)
            except BadMessage as error:
                await _refuse(connection.writer, 400, b"Bad Request", f"bad request: {error}", request_id)
                return
            finally:
                protocol.exchange = None

    def _request_id(self) -> bytes:
        destinations = self._carrier.destinations
        return identifiers.request_id(destinations.clock.now_ns(), destinations.region).encode()

    async def _answer(self, request: Request) -> bool:
        """Whether the connection can carry another request."""
        try:
            return (await self._carrier.carry(request)).reusable
        except NoDestination as refusal:
            status, reason = (502, b"Bad Gateway") if refusal.is_answer_at_fault else (503, b"Service Unavailable")
            await _refuse(request.writer, status, reason, str(refusal), request.id)
            await request.body.discard()
            return False


async def _refuse(writer: asyncio.StreamWriter, status: int, reason: bytes, text: str, request_id: bytes) -> None:
    writer.write(plain_response(status, reason, text + "\n", close=True, request_id=request_id))
    await writer.drain()
