"""What the wiring mounts: every route of this room, and the page for addresses that no room knows."""

from collections.abc import Sequence

from litestar import Router

from reconciler.loop.ports import Clock
from reconciler.web.answers import PageAnswers
from reconciler.web.api import api_router
from reconciler.web.audit import AuditDesk
from reconciler.web.pages import pages_router
from reconciler.web.site import Guard, Site
from reconciler.web.tools import ToolDesk
from reconciler.web.view import FleetView


def web_handlers(
    view: FleetView,
    clock: Clock,
    *,
    guards: Sequence[Guard] = (),
    tools: ToolDesk | None = None,
    audit: AuditDesk | None = None,
) -> list[Router]:
    """The routers of pages (`/`, `/servers/{name}`, `/revisions/{sha}`, `/assets/…`) and JSON (`/api/…`).

    `guards` are Litestar guards that pages and API must pass, for where the gateway wants a sign-in. None of the routes
    is a prefix mount, so `/servers/{name}/mcp` and everything else stays with whoever declares it.
    """
    site = Site(view=view, clock=clock, tools=tools, audit=audit)
    return [pages_router(site, guards), api_router(site, guards)]


def unknown_address_handler(view: FleetView, clock: Clock) -> PageAnswers:
    """An exception handler for the application's own 404s, in the looks of the other pages."""
    return PageAnswers(Site(view=view, clock=clock))
