"""`/api`: the JSON behind the dashboard, for programs. Read only."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from litestar import Litestar, Router, get
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.params import FromPath, QueryParameter
from litestar.response import ServerSentEvent

from reconciler.errors import CatwalkError, InternalFault
from reconciler.web.answers import ERRORS, answer_problem
from reconciler.web.asking import FILTER, Wanted
from reconciler.web.audit import read_audit
from reconciler.web.documents import (
    FleetDocument,
    LogsDocument,
    PassesDocument,
    RevisionDocument,
    ServerPageDocument,
)
from reconciler.web.fleets import (
    fleet_document,
    known_status,
    logs_document,
    passes_document,
    revision_document,
    revision_passes,
    server_page_document,
)
from reconciler.web.pulls import ProposalsDocument, StateDocument, pull_document, pulls_document, state_document
from reconciler.web.rendering import answer_headers
from reconciler.web.site import AskedSite, Guard, Site

Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="How many at most.")]
After = Annotated[datetime | None, QueryParameter(description="Only what is newer.")]
API_VERSION: Final = "1"
DESCRIPTION: Final = (
    "What the fleet does, why, and since when. Read only. Errors are application/problem+json (RFC 9457)."
)


@get("/fleet", summary="The fleet now, whole or filtered", responses=ERRORS, dependencies=FILTER)
async def read_fleet(site: AskedSite, wanted: Wanted) -> FleetDocument:
    return fleet_document(site.view, wanted)


@get("/servers/{name:str}", summary="One server: verdict, client configuration, history", responses=ERRORS)
async def read_server(site: AskedSite, name: FromPath[str]) -> ServerPageDocument:
    return await server_page_document(site.view, name)


@get("/servers/{name:str}/logs", summary="The newest log lines of a server, oldest first", responses=ERRORS)
async def read_logs(site: AskedSite, name: FromPath[str], limit: Limit = 200) -> LogsDocument:
    return await logs_document(site.view, name, limit=limit)


@get("/servers/{name:str}/logs/tail", summary="Log lines as they are written, as events", include_in_schema=False)
async def follow_log(site: AskedSite, name: FromPath[str], after: After = None) -> ServerSentEvent:
    known_status(site.view, name)
    site.streams.check_room()
    lines = site.streams.tail(site.view.log_tail(name), after)
    return ServerSentEvent(lines, headers={**answer_headers(), "X-Accel-Buffering": "no"})


@get("/passes", summary="The newest passes", responses=ERRORS)
async def read_passes(site: AskedSite, limit: Limit = 50) -> PassesDocument:
    return await passes_document(site.view, limit=limit)


@get("/revisions/{commit:str}", summary="What became of one commit", responses=ERRORS)
async def read_revision(site: AskedSite, commit: FromPath[str]) -> RevisionDocument:
    passes = await revision_passes(site.view, commit)
    return revision_document(site.view, passes, sorted(passes[0].statuses, key=lambda status: status.server))


@get("/pulls", summary="Proposed commits, newest first", responses=ERRORS)
async def read_pulls(site: AskedSite, limit: Limit = 50) -> ProposalsDocument:
    return await pulls_document(site.view, limit=limit)


@get("/pulls/{number:int}", summary="What the commits of a pull request would do", responses=ERRORS)
async def read_pull(site: AskedSite, number: FromPath[int]) -> ProposalsDocument:
    return await pull_document(site.view, number)


@get("/state", summary="What is in force, for plans that are made elsewhere", responses=ERRORS)
async def read_state(site: AskedSite) -> StateDocument:
    return await state_document(site.view)


@get("/events", summary="Hints that something changed, as server-sent events", include_in_schema=False)
async def follow_events(site: AskedSite) -> ServerSentEvent:
    site.streams.check_room()
    return ServerSentEvent(site.streams.messages(site.view), headers={**answer_headers(), "X-Accel-Buffering": "no"})


READERS: Final[tuple[HTTPRouteHandler, ...]] = (
    read_fleet,
    read_server,
    read_logs,
    follow_log,
    read_passes,
    read_revision,
    read_pulls,
    read_pull,
    read_state,
    read_audit,
    follow_events,
)


def api_router(site: Site, guards: Sequence[Guard]) -> Router:
    """All of `/api`, with the document that describes it at `/api/schema`."""
    return Router(
        "/api",
        route_handlers=[*READERS, _schema_handler(openapi_document())],
        dependencies={"site": Provide(lambda: site, sync_to_thread=False)},
        guards=list(guards),
        exception_handlers={HTTPException: answer_problem, CatwalkError: answer_problem},
        response_headers=answer_headers(),
    )


def _schema_handler(document: dict[str, object]) -> HTTPRouteHandler:
    @get("/schema", include_in_schema=False)
    async def read_schema() -> dict[str, object]:
        return document

    return read_schema


def openapi_document() -> dict[str, object]:
    """The OpenAPI document of `/api` alone.

    It is made by an application of its own: the one that the gateway runs has other routes and perhaps no document.
    """
    described = Litestar(
        [Router("/api", route_handlers=READERS, dependencies={"site": Provide(_no_site, sync_to_thread=False)})],
        openapi_config=OpenAPIConfig(title="Catwalk", version=API_VERSION, description=DESCRIPTION),
        logging_config=None,
    )
    return described.openapi_schema.to_schema()


def _no_site() -> Site:
    raise InternalFault("no-site", "the application that describes the API serves nothing")
