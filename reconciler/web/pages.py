"""The pages: the fleet, one server, one revision, one pull request. Each is complete without JavaScript."""

from collections.abc import Sequence
from typing import Final

from litestar import MediaType, Response, Router, get
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from reconciler.errors import CatwalkError, Unavailable
from reconciler.web.answers import PageAnswers
from reconciler.web.asking import FILTER, Wanted
from reconciler.web.assets import asset
from reconciler.web.audit import show_audit
from reconciler.web.documents import LogsDocument
from reconciler.web.fleets import (
    fitting,
    fleet_page,
    logs_document,
    passes_document,
    revision_document,
    revision_passes,
    server_page_document,
    servers_part,
)
from reconciler.web.hosts import pull_url
from reconciler.web.paging import PageNumber
from reconciler.web.pulls import pull_document
from reconciler.web.rendering import page
from reconciler.web.site import AskedSite, Guard, Site
from reconciler.web.timeline import timeline
from reconciler.web.tools import show_tools, try_tool

SHOWN_PASSES: Final = 12
"""Passes at the foot of the dashboard."""
SHOWN_ACTIONS: Final = 60
"""Actions of a pass or of a plan on its page; the JSON has all of them."""
SHOWN_LOG_CHARACTERS: Final = 30_000
SHOWN_LOG_LINES: Final = 200
"""Log lines on a server's page; `/api/servers/{name}/logs` has more."""


@get("/", media_type=MediaType.HTML, include_in_schema=False, dependencies=FILTER)
async def show_fleet(site: AskedSite, wanted: Wanted, number: PageNumber = 1) -> Response[str]:
    history = await passes_document(site.view, limit=SHOWN_PASSES)
    shown = fleet_page(site.view, wanted, number)

    def address(page_number: int) -> str:
        return wanted.address(page=str(page_number))

    values = {"shown": shown, "fleet": shown.document, "wanted": wanted, "history": history, "page_address": address}
    return _page(site, "fleet.html", **values)


@get("/servers/{name:str}", media_type=MediaType.HTML, include_in_schema=False)
async def show_server(site: AskedSite, name: FromPath[str]) -> Response[str]:
    document = await server_page_document(site.view, name)
    logs, logs_fault = await _logs(site, name)
    band = timeline(document.history, site.clock.now())
    return _page(site, "server.html", document=document, logs=logs, logs_fault=logs_fault, band=band)


@get("/revisions/{commit:str}", media_type=MediaType.HTML, include_in_schema=False)
async def show_revision(site: AskedSite, commit: FromPath[str], number: PageNumber = 1) -> Response[str]:
    passes = await revision_passes(site.view, commit)
    part = servers_part(passes[0].statuses, number)
    document = revision_document(site.view, passes, part.items, most_actions=SHOWN_ACTIONS)

    def address(page_number: int) -> str:
        return f"/revisions/{document.revision.commit}?page={page_number}"

    return _page(site, "revision.html", document=document, part=part, page_address=address)


@get("/pulls/{number:int}", media_type=MediaType.HTML, include_in_schema=False)
async def show_pull(site: AskedSite, number: FromPath[int]) -> Response[str]:
    newest = site.view.newest_pass()
    source = newest.revision.source if newest is not None and newest.revision is not None else ""
    in_force = newest.applied_revision.commit if newest is not None and newest.applied_revision is not None else ""
    document = await pull_document(site.view, number, most_actions=SHOWN_ACTIONS)
    return _page(
        site,
        "pull.html",
        number=number,
        proposals=document.proposals,
        pull_url=pull_url(source, number),
        in_force=in_force,
    )


async def _logs(site: Site, name: str) -> tuple[LogsDocument, str]:
    """The lines, or why there are none: a log service that is down must not take the rest of the page with it."""
    try:
        return fitting(await logs_document(site.view, name, limit=SHOWN_LOG_LINES), SHOWN_LOG_CHARACTERS), ""
    except Unavailable as fault:
        return LogsDocument(server=name, lines=[]), str(fault)


def _page(site: Site, template: str, **values: object) -> Response[str]:
    return page(site.templates, template, {**values, "fleet_name": site.view.fleet}, now=site.clock.now())


PAGES: Final[tuple[HTTPRouteHandler, ...]] = (
    show_fleet,
    show_server,
    show_tools,
    try_tool,
    show_revision,
    show_pull,
    show_audit,
)


def pages_router(site: Site, guards: Sequence[Guard]) -> Router:
    """The pages with their style sheet; assets need no permission, since an error page wants them too."""
    answers = PageAnswers(site)
    guarded = Router("/", route_handlers=PAGES, guards=list(guards))
    return Router(
        "/",
        route_handlers=[guarded, asset],
        dependencies={"site": Provide(lambda: site, sync_to_thread=False)},
        exception_handlers={HTTPException: answers, CatwalkError: answers},
    )
