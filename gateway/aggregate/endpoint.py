"""`/mcp` as a bare ASGI application: who calls, in which era, and what every failure becomes.

The rules about hosts, origins, callers and sizes are those of a server's own address. The era is told as a server tells
it, from the version header, the body and the session. Calls that one server carries out are told to the observers by
that server's address; of all others there is one line of the aggregate's own, with `*` for the server.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from gateway.admission import Admission
from gateway.aggregate.batches import post_batch
from gateway.aggregate.core import Core
from gateway.aggregate.gathering import RefusedRequest, Unavailable
from gateway.aggregate.inner import Asgi
from gateway.aggregate.legacy import LegacySide
from gateway.aggregate.media_types import check_media_types
from gateway.aggregate.modern import ModernSide
from gateway.aggregate.sessions import ALL_SERVERS
from gateway.aggregate.stream_verbs import StreamVerbs
from gateway.aggregate.visit import Outlet, Visit
from gateway.calls import NO_BODY, Call
from gateway.client import Client, ClientGone
from gateway.cors import cors_headers, preflight
from gateway.decision import body_too_large
from gateway.headers import read_client_headers
from gateway.observation import EndedCall, Observers
from gateway.problems import Answer, Problem, ProblemKind, Refused, SessionNotFound, internal_fault, session_not_found
from gateway.protocol.errors import INVALID_REQUEST, PARSE_ERROR, Refusal
from gateway.protocol.headers import SESSION_HEADER, VERSION_HEADER
from gateway.protocol.messages import InvalidMessage, Message, decode_line, read_message
from gateway.protocol.revisions import META_VERSION, Era, era_of_post, era_of_stream
from gateway.protocol.scan import MalformedJson
from gateway.quotas import Quotas, told
from gateway.routing import RouteTable
from gateway.settings import GatewaySettings

_log = structlog.get_logger("gateway")
PATH = b"/mcp"
_LOOK_S = 1.0


def is_aggregate_path(path: bytes) -> bool:
    """Whether a path on the wire is the aggregate's; it has one spelling."""
    return path == PATH


class AggregateEndpoint:
    """The aggregate of one gateway. `servers` answers the servers' own addresses."""

    def __init__(
        self, settings: GatewaySettings, routes: RouteTable, servers: Asgi, quotas: Quotas | None = None
    ) -> None:
        """`quotas` count what callers ask for here and at the servers' addresses together."""
        self._settings = settings
        self._quotas = quotas if quotas is not None else Quotas(settings.monotonic, settings.now)
        self._routes = routes
        self._core = Core.of(settings, routes, servers)
        self._admission = Admission(settings)
        self._observers = Observers(settings.observers)
        self._legacy = LegacySide(self._core)
        self._modern = ModernSide(self._core)
        self._verbs = StreamVerbs(self._core, self._legacy)

    @property
    def core(self) -> Core:
        """What both eras share, and the edge with them."""
        return self._core

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Have open streams notice when the fleet or the rules change."""
        async with self._core.gatherer.latecomers.running(), asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch())
            try:
                yield
            finally:
                watch.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != ScopeType.HTTP:
            await send({"type": "websocket.close", "code": 1002, "reason": "MCP does not use WebSockets"})
            return
        client = Client(receive, send)
        headers = list(scope["headers"])
        try:
            single = read_client_headers(headers, self._settings).single
            self._admission.check(host=single.get(b"host"), origin=single.get(b"origin"))
            client.cors = cors_headers(single.get(b"origin"))
            if scope["method"] == "OPTIONS" and b"origin" in single:
                await client.answer(preflight(dict(headers)))
                return
            view = await self._core.callers.view(single.get(b"authorization"))
            _check_verb(scope["method"])
        except Refused as error:
            self._observers.refused(error.problem.kind.code)
            await _answer(client, error.problem.answer())
            return
        visit = Visit(
            client=client,
            view=view,
            http_method=scope["method"],
            raw_headers=headers,
            outlet=Outlet(client),
            first=dict(reversed(headers)),
        )
        await self._observed(visit)

    async def _watch(self) -> None:
        seen = self._core.callers.generation
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._core.callers.generation != seen:
                seen = self._core.callers.generation
                self._core.attention.pulse()

    async def _observed(self, visit: Visit) -> None:
        began_s = self._settings.monotonic()
        try:
            await self._answered(visit)
        finally:
            client = visit.client
            if not visit.told.by_server:
                ended = EndedCall(
                    principal=visit.view.principal,
                    server=ALL_SERVERS,
                    http_method=visit.http_method,
                    method=client.call.method,
                    name=client.call.name,
                    status=client.status,
                    seconds=self._settings.monotonic() - began_s,
                )
                self._observers.call_ended(ended)

    async def _answered(self, visit: Visit) -> None:
        """Turn every failure into an answer."""
        try:
            is_call = visit.http_method == "POST"
            with self._quotas.held(visit.view.grant, is_call=is_call):
                await (self._post(visit) if is_call else self._verbs.handle(visit, _verb_era(visit)))
        except Refused as error:
            await _answer(visit.client, told(error.problem, visit.http_method))
        except SessionNotFound:
            await _answer(visit.client, session_not_found())
        except RefusedRequest as error:
            await visit.refuse(error.refusal, None)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - the edge of a request's task: the fault ends this request only.
            _log.error("unhandled_fault", exc_info=error)
            await _answer(visit.client, internal_fault().answer())

    async def _post(self, visit: Visit) -> None:
        check_media_types(visit.raw_headers)
        body = await self._body(visit.client)
        try:
            text = decode_line(body)
            if text.lstrip().startswith("["):
                await post_batch(self._legacy, visit, text)
                return
            message = read_message(text)
            visit.client.call = Call(message.method, _name_of(message))
        except MalformedJson as error:
            raise _refused(PARSE_ERROR, f"Parse error: {error}") from error
        except InvalidMessage as error:
            raise _refused(INVALID_REQUEST, f"Invalid request: {error}") from error
        await self._dispatch(visit, message)

    async def _dispatch(self, visit: Visit, message: Message) -> None:
        era = era_of_post(
            version_header=visit.header(VERSION_HEADER),
            session_header=visit.header(SESSION_HEADER) is not None,
            method=message.method,
            meta_version=META_VERSION in message.meta,
        )
        visit.told.is_modern = era is Era.MODERN
        try:
            await (self._modern if era is Era.MODERN else self._legacy).post(visit, message)
        except Unavailable as error:
            raise _refused(INVALID_REQUEST, error.cause) from error
        except RefusedRequest as error:
            await visit.refuse(error.refusal, message.raw_id)

    async def _body(self, client: Client) -> bytes:
        pieces: list[bytes] = []
        size, more = 0, True
        while more:
            piece, more = await client.next_piece(self._settings.body_timeout_s)
            pieces.append(piece)
            size += len(piece)
            if size > self._settings.max_body_bytes:
                raise body_too_large(self._settings)
        return b"".join(pieces)


def _name_of(message: Message) -> str:
    params = message.params
    name = params.get("name", params.get("uri"))
    return name if isinstance(name, str) else ""


def _verb_era(visit: Visit) -> Era:
    visit.client.call = NO_BODY
    has_session = visit.header(SESSION_HEADER) is not None
    return era_of_stream(version_header=visit.header(VERSION_HEADER), session_header=has_session)


def _check_verb(method: str) -> None:
    if method not in {"POST", "GET", "DELETE"}:
        allow = (b"allow", b"GET, POST, DELETE")
        raise Refused(
            Problem(kind=ProblemKind.METHOD_NOT_ALLOWED, detail="MCP uses POST, GET and DELETE.", headers=(allow,))
        )


def _refused(code: int, message: str, *, status: int = 400) -> RefusedRequest:
    return RefusedRequest(Refusal(code=code, message=message, http_status=status))


async def _answer(client: Client, answer: Answer) -> None:
    if not client.has_started:
        await client.answer(answer)
