"""What the handlers work with, and how they ask for it.

Litestar passes one `Site` to every handler of this room as the dependency `site`; there is no global state.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jinja2 import Environment
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import SkipValidation

from reconciler.loop.ports import Clock
from reconciler.web.events import LiveStreams
from reconciler.web.rendering import templates
from reconciler.web.view import FleetView

if TYPE_CHECKING:
    from reconciler.web.audit import AuditDesk
    from reconciler.web.tools import ToolDesk

Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None] | None]
"""Lets a request through or raises; Litestar's own `Guard` with its gaps filled in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One fleet's pages."""

    view: FleetView
    clock: Clock
    templates: Environment = field(default_factory=templates)
    streams: LiveStreams = field(default_factory=LiveStreams)
    tools: "ToolDesk | None" = None
    """Who asks servers for their tools; None where nobody can."""
    audit: "AuditDesk | None" = None
    """Who knows who did what; None where nothing is written down."""


AskedSite = NamedDependency[SkipValidation[Site]]
"""The parameter type by which a handler asks for its site: it is ours, so Litestar need not look inside."""
