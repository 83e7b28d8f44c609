"""`/audit` and `/api/audit`: who did what, newest first, for those who may know.

Whoever may use every tool of every server sees all lines; everybody else sees what was done under their own name. A
line holds names and a result, never arguments, so that there is nothing on this page to hide from those who see it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Final, Protocol
from urllib.parse import urlencode

from litestar import MediaType, Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter, SkipValidation

from reconciler.core.audit import AuditKind, AuditQuery, AuditResult, KeptLine
from reconciler.errors import Unavailable
from reconciler.web.answers import ERRORS
from reconciler.web.documents import Document
from reconciler.web.rendering import page
from reconciler.web.site import AskedSite, Site

SHOWN_LINES: Final = 50
"""Lines of one page."""
LONGEST_NAME: Final = 256
AnyRequest = Request[Any, Any, State]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReader:
    """Who looks at the audit."""

    sees_all: bool
    name: str = ""
    """Whose lines are shown where not all are."""


class AuditDesk(Protocol):
    """Knows the audit, and who may read what of it."""

    def reader(self, authorization: str) -> AuditReader:
        """Who looks, by the header of the request.

        Raises:
            NotAllowed: it is not known who.
        """
        ...

    async def lines(self, query: AuditQuery) -> Sequence[KeptLine]:
        """Lines, newest first.

        Raises:
            Unavailable: the store does not answer.
        """
        ...


class AuditLineDocument(Document):
    """Equal deeds within a few seconds."""

    number: int
    """Grows with time; `before` takes it."""
    at: datetime
    """When the last of them ended."""
    kind: str
    """`call`, `try` (from the page of a server's tools), `prune` (a removal agreed to) or `sign-in` (a refused one)."""
    who: str
    """The name of a token, or a person as the identity provider calls them; empty where nobody is known."""
    server: str
    method: str
    """The MCP method; for what is no call, the place."""
    tool: str
    result: str
    """`ok`, `refused`, `failed`, or `left` where the caller did not wait."""
    detail: str
    times: int
    slowest_ms: float


class AuditDocument(Document):
    """A page of the audit, newest first."""

    lines: list[AuditLineDocument]
    older: int | None
    """What to give as `before` for the next page; null on the last one."""
    sees_all: bool
    """Whether these are everybody's lines, or those of the caller alone."""


Name = Annotated[str, QueryParameter(max_length=LONGEST_NAME, description="Exactly this one.")]
Word = Annotated[str, QueryParameter(max_length=LONGEST_NAME)]
Kind = Annotated[AuditKind | None, QueryParameter(description="Only lines of this kind.")]
Result = Annotated[AuditResult | None, QueryParameter(description="Only lines that ended like this.")]
Before = Annotated[int, QueryParameter(ge=0, description="Only lines older than this number.")]
Lines = Annotated[int, QueryParameter(ge=1, le=500, description="How many at most.")]
Asked = NamedDependency[SkipValidation[AuditQuery]]


def asked_by_program(kind: Kind = None, result: Result = None, server: Name = "", who: Name = "") -> AuditQuery:
    """What a program asks for, which must be exact."""
    return AuditQuery(kind=kind, result=result, server=server, who=who)


def asked_by_form(kind: Word = "", result: Word = "", server: Name = "", who: Name = "") -> AuditQuery:
    """What a form asks for: it sends empty fields for what it leaves open, and a word that is none narrows nothing."""
    return AuditQuery(
        kind=AuditKind(kind) if kind in set(AuditKind) else None,
        result=AuditResult(result) if result in set(AuditResult) else None,
        server=server.strip(),
        who=who.strip(),
    )


async def audit_document(site: Site, authorization: str, query: AuditQuery) -> AuditDocument:
    """What the reader may see of what is asked for.

    Raises:
        NotAllowed: it is not known who looks.
        Unavailable: there is no audit here, or the store does not answer.
    """
    desk = _desk(site)
    reader = desk.reader(authorization)
    allowed = query if reader.sees_all else replace(query, who=reader.name)
    found = await desk.lines(replace(allowed, limit=query.limit + 1))
    shown = found[: query.limit]
    older = shown[-1].number if len(found) > len(shown) else None
    return AuditDocument(lines=[_line(kept) for kept in shown], older=older, sees_all=reader.sees_all)


@get(
    "/audit",
    media_type=MediaType.HTML,
    include_in_schema=False,
    dependencies={"asked": Provide(asked_by_form, sync_to_thread=False)},
)
async def show_audit(request: AnyRequest, site: AskedSite, asked: Asked, before: Before = 0) -> Response[str]:
    query = replace(asked, before=before, limit=SHOWN_LINES)
    document = await audit_document(site, request.headers.get("authorization", ""), query)
    parts = dict(query.parts())
    values = {
        "document": document,
        "asked": parts,
        "older": _address({**parts, "before": str(document.older)}) if document.older is not None else "",
        "newest": _address(parts) if before else "",
        "kinds": list(AuditKind),
        "results": list(AuditResult),
        "known": {status.server for status in site.view.statuses()},
        "fleet_name": site.view.fleet,
    }
    return page(site.templates, "audit.html", values, now=site.clock.now())


@get(
    "/audit",
    summary="Who did what, newest first",
    responses=ERRORS,
    dependencies={"asked": Provide(asked_by_program, sync_to_thread=False)},
)
async def read_audit(
    request: AnyRequest, site: AskedSite, asked: Asked, before: Before = 0, limit: Lines = SHOWN_LINES
) -> AuditDocument:
    query = replace(asked, before=before, limit=limit)
    return await audit_document(site, request.headers.get("authorization", ""), query)


def _address(parameters: dict[str, str]) -> str:
    return f"/audit?{urlencode(parameters)}" if parameters else "/audit"


def _line(kept: KeptLine) -> AuditLineDocument:
    line, deed = kept.line, kept.line.deed
    return AuditLineDocument(
        number=kept.number,
        at=line.at,
        kind=deed.kind,
        who=deed.who,
        server=deed.server,
        method=deed.method,
        tool=deed.tool,
        result=deed.result,
        detail=deed.detail,
        times=line.times,
        slowest_ms=round(line.slowest_ms, 1),
    )


def _desk(site: Site) -> AuditDesk:
    if site.audit is None:
        raise Unavailable("no-audit", "nothing is written down here")
    return site.audit
