"""The Litestar application: the data path, health, and whatever the wiring mounts beside them.

The data path is a bare ASGI application that stands in front of Litestar's router. It cannot be a mount: a mount at
`/servers` hides every page below that path, such as the dashboard's `/servers/{name}`, and Litestar has no bare ASGI
routes with a parameter. Standing in front also saves each call the price of the router. Which spellings of the path
count is decided byte by byte in `gateway.decision`; all others are Litestar's and so "not found".

Handlers from other rooms are behind the same rule about `Host`: a dashboard on the user's own machine must not be
readable by a web page that gave its own name the address 127.0.0.1. Health is not behind it, because probes come with
the address of the machine.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import structlog
from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.plugins import PluginProtocol
from litestar.types import (
    ASGIApp,
    ControllerRouterHandler,
    LifeSpanReceive,
    LifeSpanScope,
    LifeSpanSend,
    Receive,
    Scope,
    Send,
)

from gateway.admission import Admission
from gateway.aggregate.endpoint import AggregateEndpoint, is_aggregate_path
from gateway.decision import is_server_path
from gateway.edge import edge_protocol
from gateway.endpoint import ServerEndpoint
from gateway.oauth.pages import metadata_handlers
from gateway.problems import Answer, Problem, ProblemKind, Refused, code_of_status, internal_fault, problem_members
from gateway.relay import Relay
from gateway.routing import RouteTable
from gateway.settings import GatewaySettings

_log = structlog.get_logger("gateway")
_PROBLEM_JSON = "application/problem+json"
_AnyRequest = Request[Any, Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether traffic should come here, and if not, what is awaited."""

    is_ready: bool
    detail: str = ""


def create_app(
    settings: GatewaySettings,
    routes: RouteTable,
    readiness: Callable[[], Readiness],
    *,
    route_handlers: Sequence[ControllerRouterHandler] = (),
    plugins: Sequence[PluginProtocol] = (),
) -> "Gateway":
    """The application for an ASGI server. `route_handlers` and `plugins` come from other rooms (the dashboard).

    The data path closes its upstream connections when the application shuts down.

    Raises:
        ValueError: the session key is too short.
    """
    relay = Relay(settings.relay)

    endpoint = ServerEndpoint(settings, routes, relay)
    aggregate = AggregateEndpoint(settings, routes, endpoint, endpoint.quotas)
    edge = endpoint.edge(aggregate.core)

    @asynccontextmanager
    async def relay_lifetime(_: Litestar) -> AsyncGenerator[None, None]:
        async with edge.dialling.running(), aggregate.running():
            try:
                yield
            finally:
                await relay.aclose()

    handlers = [*metadata_handlers(settings.resource_metadata), *route_handlers]
    guarded = Router(path="/", route_handlers=handlers, middleware=[HostGuard(Admission(settings))])
    app = Gateway(
        route_handlers=[*_health_handlers(readiness), guarded],
        exception_handlers={HTTPException: _on_http_error, Refused: _on_refusal, Exception: _on_fault},
        lifespan=[relay_lifetime],
        plugins=plugins,
        openapi_config=None,
        logging_config=None,
    )
    app.endpoint = endpoint
    app.aggregate = aggregate
    app.http_protocol = edge_protocol(edge)
    return app


class Gateway(Litestar):
    """Litestar with the data path in front of it. Made by `create_app`."""

    __slots__ = ("aggregate", "endpoint", "http_protocol")

    endpoint: ServerEndpoint
    aggregate: AggregateEndpoint
    http_protocol: type[asyncio.Protocol]
    """For `uvicorn.Config(app, http=app.http_protocol)`: carries most calls below ASGI, at a fraction of the price. The
    application works without it all the same."""

    async def __call__(
        self, scope: Scope | LifeSpanScope, receive: Receive | LifeSpanReceive, send: Send | LifeSpanSend
    ) -> None:
        """Handle one connection: an MCP call goes to the data path, everything else through Litestar."""
        if scope["type"] != "lifespan" and is_server_path(scope["raw_path"]):
            await self.endpoint(scope, cast("Receive", receive), cast("Send", send))
        elif scope["type"] != "lifespan" and is_aggregate_path(scope["raw_path"]):
            await self.aggregate(scope, cast("Receive", receive), cast("Send", send))
        else:
            await super().__call__(scope, receive, send)


class HostGuard(ASGIMiddleware):
    """Refuses requests whose `Host` is not one of ours, for handlers that are not the data path."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Let the request through, or raise Refused."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        self._admission.check(host=hosts[0] if len(hosts) == 1 else None, origin=None)
        await next_app(scope, receive, send)


def _health_handlers(readiness: Callable[[], Readiness]) -> list[ControllerRouterHandler]:
    @get("/healthz", media_type=MediaType.JSON, sync_to_thread=False, include_in_schema=False)
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @get("/readyz", media_type=MediaType.JSON, sync_to_thread=False, include_in_schema=False)
    def readyz() -> dict[str, str]:
        state = readiness()
        if not state.is_ready:
            raise Refused(Problem(kind=ProblemKind.NOT_READY, detail=state.detail, headers=((b"retry-after", b"1"),)))
        return {"status": "ok"}

    return [healthz, readyz]


def _on_refusal(_: _AnyRequest, error: Refused) -> Response[Any]:
    return _response(error.problem.answer())


def _on_http_error(request: _AnyRequest, error: HTTPException) -> Response[Any]:
    """Litestar's own errors, and those that handlers of other rooms raise, in the shape of all others."""
    match error.status_code:
        case 404:
            return _response(Problem(kind=ProblemKind.NOT_FOUND, detail="There is no such page.").answer())
        case 405:
            return _response(_method_not_allowed(error).answer())
        case status if status >= 500:
            return _on_fault(request, error)
        case status:
            return _plain_problem(status, error)


def _on_fault(_: _AnyRequest, error: Exception) -> Response[Any]:
    _log.error("unhandled_fault", exc_info=error)
    return _response(internal_fault().answer())


def _method_not_allowed(error: HTTPException) -> Problem:
    allow = (error.headers or {}).get("allow", "")
    return Problem(
        kind=ProblemKind.METHOD_NOT_ALLOWED,
        detail=f"This address allows {allow}.",
        headers=((b"allow", allow.encode("ascii")),),
    )


def _plain_problem(status: int, error: HTTPException) -> Response[Any]:
    code = code_of_status(status)
    title = code.replace("-", " ").capitalize()
    members = problem_members(code=code, status=status, title=title, detail=error.detail)
    if error.extra:
        members["errors"] = error.extra
    return Response(members, status_code=status, media_type=_PROBLEM_JSON, headers=error.headers)


def _response(answer: Answer) -> Response[Any]:
    headers = {name.decode("ascii"): value.decode("ascii") for name, value in answer.headers}
    media_type = headers.pop("content-type")
    headers.pop("content-length")
    return Response(answer.body, status_code=answer.status, media_type=media_type, headers=headers)
