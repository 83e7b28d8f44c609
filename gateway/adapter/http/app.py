"""The ASGI application of the adapter: `/mcp` for both eras, `/health`.

This is the edge where errors become answers. Nothing is served before the server has proved itself, and nothing while
the machine drains; both are 503 with a time to try again, so that a gateway waits instead of reporting a broken server.
"""

from collections.abc import Callable

from gateway.adapter.causes import AdapterFailure
from gateway.adapter.child import CannotWrite
from gateway.adapter.http.admission import check_origin, check_post
from gateway.adapter.http.gate import CallGate, TooManyCalls
from gateway.adapter.http.leaving import ELSEWHERE, belongs_elsewhere
from gateway.adapter.http.legacy import LegacyEndpoint, refuse
from gateway.adapter.http.modern import ModernEndpoint
from gateway.adapter.http.outbox import ClientGone
from gateway.adapter.http.wire import (
    BodyTooLarge,
    ClientDisconnected,
    Exchange,
    Receive,
    Scope,
    Send,
    Streaming,
    exchange_of,
    read_body,
    respond,
)
from gateway.adapter.log import AdapterLog
from gateway.adapter.options import Options
from gateway.adapter.status import Status
from gateway.protocol.errors import INTERNAL_ERROR, INVALID_REQUEST, NOT_READY, PARSE_ERROR, UPSTREAM_LOST, Refusal
from gateway.protocol.headers import SESSION_HEADER, VERSION_HEADER
from gateway.protocol.messages import InvalidMessage, Message, decode_line, read_message
from gateway.protocol.revisions import META_VERSION, Era, era_of_post, era_of_stream
from gateway.protocol.scan import MalformedJson

_RETRY_SOON = ((b"retry-after", b"1"),)
_ALLOW_POST = ((b"allow", b"POST"),)


Endpoints = tuple[LegacyEndpoint, ModernEndpoint]


class AdapterApp:
    """See the module. It refuses calls until `connect`, and again after `drain`."""

    def __init__(self, status: Status, options: Options, log: AdapterLog) -> None:
        self._status = status
        self._origins = options.allowed_origins
        self._max_body_bytes = options.max_message_bytes
        self._log = log
        self._gate = CallGate(total=options.max_calls, per_principal=options.max_calls_per_principal)
        self._endpoints: Endpoints | None = None
        self._close_streams: Callable[[], None] = lambda: None
        self._leaving = False
        self._draining = False

    def connect(self, legacy: LegacyEndpoint, modern: ModernEndpoint, close_streams: Callable[[], None]) -> None:
        """Say who carries out calls, and how open streams are ended."""
        self._endpoints = (legacy, modern)
        self._close_streams = close_streams

    def leave(self) -> None:
        """Begin nothing new that another machine could carry out; go on with all that lives here."""
        self._leaving = True

    def drain(self) -> None:
        """Take no new calls and end the open streams."""
        self._draining = True
        self._close_streams()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = exchange_of(scope, receive, send, self._max_body_bytes)
        if exchange.path == "/health":
            await respond(exchange, 200 if self._status.is_ready else 503, self._status.body())
        elif exchange.path.rstrip("/") == "/mcp":
            streaming = await self._guarded(exchange)
            if streaming is not None:
                await streaming()
        else:
            await respond(exchange, 404)

    async def _guarded(self, exchange: Exchange) -> Streaming | None:
        """Turn every failure into an answer; what is returned is still to be done, and fails no more."""
        try:
            return await self._mcp(exchange)
        except (ClientDisconnected, ClientGone):
            return None
        except BodyTooLarge:
            await refuse(exchange, Refusal(code=INVALID_REQUEST, message="the body is too large", http_status=413))
        except TooManyCalls:
            await self._unavailable(exchange, Refusal(code=NOT_READY, message="too many requests are running"))
        except AdapterFailure as failure:
            text = f"{failure.cause.value}: {failure.detail}"
            await self._unavailable(exchange, Refusal(code=NOT_READY, message=text))
        except CannotWrite as error:
            await self._unavailable(exchange, Refusal(code=UPSTREAM_LOST, message=str(error), http_status=503))
        except Exception as error:  # noqa: BLE001 - the edge of the application: nothing may leave a client without an answer
            self._log.event("internal-error", type=type(error).__name__, message=str(error))
            await refuse(exchange, Refusal(code=INTERNAL_ERROR, message="internal error", http_status=500))
        return None

    async def _mcp(self, exchange: Exchange) -> Streaming | None:
        refusal = check_origin(exchange, self._origins)
        if refusal is not None:
            await refuse(exchange, refusal)
            return None
        if exchange.method in {"GET", "DELETE", "POST"}:
            return await self._ready_only(exchange)
        await respond(exchange, 405, headers=((b"allow", b"GET, POST, DELETE"),))
        return None

    async def _ready_only(self, exchange: Exchange) -> Streaming | None:
        if self._draining or self._endpoints is None or not self._status.serves:
            state = "draining" if self._draining else self._status.state.value
            await self._unavailable(exchange, Refusal(code=NOT_READY, message=f"the server is {state}"))
        elif exchange.method == "POST":
            return await self._counted(exchange, self._endpoints)
        else:
            return await self._stream_verb(exchange, self._endpoints[0])
        return None

    async def _counted(self, exchange: Exchange, endpoints: Endpoints) -> Streaming | None:
        """A request counts until it is over, which for a stream is when it ends."""
        principal = exchange.principal
        self._gate.enter(principal)
        streaming = None
        try:
            streaming = await self._post(exchange, endpoints)
        finally:
            if streaming is None:
                self._gate.leave(principal)
        return None if streaming is None else self._counted_stream(principal, streaming)

    def _counted_stream(self, principal: str, streaming: Streaming) -> Streaming:
        async def counted() -> None:
            try:
                await streaming()
            finally:
                self._gate.leave(principal)

        return counted

    async def _unavailable(self, exchange: Exchange, refusal: Refusal) -> None:
        await respond(exchange, 503, refusal.body(None), headers=_RETRY_SOON)

    async def _stream_verb(self, exchange: Exchange, legacy: LegacyEndpoint) -> Streaming | None:
        has_session = exchange.header(SESSION_HEADER) is not None
        if era_of_stream(version_header=exchange.header(VERSION_HEADER), session_header=has_session) is Era.MODERN:
            await respond(exchange, 405, headers=_ALLOW_POST)
        elif exchange.method == "GET":
            return await legacy.get(exchange)
        else:
            await legacy.delete(exchange)
        return None

    async def _post(self, exchange: Exchange, endpoints: Endpoints) -> Streaming | None:
        refusal = check_post(exchange)
        if refusal is not None:
            await refuse(exchange, refusal)
            return None
        try:
            text = decode_line(await read_body(exchange))
            if text.lstrip().startswith("["):
                await _legacy_batch(exchange, text, endpoints[0])
                return None
            message = read_message(text)
        except MalformedJson as error:
            await refuse(exchange, Refusal(code=PARSE_ERROR, message=f"Parse error: {error}"))
        except InvalidMessage as error:
            await refuse(exchange, Refusal(code=INVALID_REQUEST, message=f"Invalid request: {error}"))
        else:
            if self._leaving and belongs_elsewhere(exchange, message):
                await respond(exchange, 503, headers=(ELSEWHERE, *_RETRY_SOON))
            else:
                return await _dispatch(exchange, message, endpoints)
        return None


async def _legacy_batch(exchange: Exchange, text: str, legacy: LegacyEndpoint) -> None:
    if exchange.header(SESSION_HEADER) is None:
        await refuse(exchange, Refusal(code=INVALID_REQUEST, message="a batch is no request of this revision"))
    else:
        await legacy.post_batch(exchange, text)


async def _dispatch(exchange: Exchange, message: Message, endpoints: Endpoints) -> Streaming | None:
    legacy, modern = endpoints
    era = era_of_post(
        version_header=exchange.header(VERSION_HEADER),
        session_header=exchange.header(SESSION_HEADER) is not None,
        method=message.method,
        meta_version=META_VERSION in message.meta,
    )
    if era is Era.MODERN:
        return await modern.post(exchange, message)
    await legacy.post(exchange, message)
    return None
