"""The page of a server's tools: what each does, what it takes, and a form to try it, for those who may call it.

Looking at the page asks the server, and so wakes it if it sleeps; no other page does. A form is taken only from this
site's own pages: browsers send a password along with requests that other sites make (Fetch standard, `Origin`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol, cast
from urllib.parse import quote, urlsplit

from litestar import MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.enums import RequestEncodingType
from litestar.exceptions import PermissionDeniedException
from litestar.params import Body, FromPath

from reconciler.core.digests import JSON
from reconciler.errors import CatwalkError, SourceError, Unavailable
from reconciler.web.fleets import known_status
from reconciler.web.paging import PageNumber, part_of
from reconciler.web.rendering import page
from reconciler.web.site import AskedSite, Site

LARGEST_ARGUMENTS: Final = 64 * 1024
"""Characters of a form."""
MOST_SHOWN: Final = 30_000
"""Characters of a result."""
LONGEST_DESCRIPTION: Final = 1_000
LONGEST_SCHEMA: Final = 2_000
TOOLS_A_PAGE: Final = 15
AnyRequest = Request[Any, Any, State]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFacts:
    """One tool as its server describes it."""

    name: str
    title: str = ""
    description: str = ""
    schema: Mapping[str, object]
    """JSON Schema of its arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """What came of a call."""

    result: Mapping[str, object]
    is_error: bool


class ToolDesk(Protocol):
    """Asks servers, as the person who is signed in."""

    async def tools(self, server: str, authorization: str) -> Sequence[ToolFacts]:
        """The tools of a server that the person may call.

        Raises:
            Refused: the person may not, or the server answers with an error.
            Unavailable: it does not answer.
        """
        ...

    async def call(self, server: str, tool: str, arguments: Mapping[str, JSON], authorization: str) -> ToolAnswer:
        """Runs a tool.

        Raises:
            Refused: the person may not, or the server answers with an error.
            Unavailable: it does not answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolForm:
    """What the form sends."""

    tool: str
    arguments: str


Form = Annotated[ToolForm, Body(media_type=RequestEncodingType.URL_ENCODED)]


@get("/servers/{name:str}/tools", media_type=MediaType.HTML, include_in_schema=False)
async def show_tools(
    request: AnyRequest, site: AskedSite, name: FromPath[str], number: PageNumber = 1
) -> Response[str]:
    return await _page(site, request, _Shown(server=name, number=number))


@post("/servers/{name:str}/tools", media_type=MediaType.HTML, include_in_schema=False, status_code=200)
async def try_tool(
    request: AnyRequest, site: AskedSite, name: FromPath[str], data: Form, number: PageNumber = 1
) -> Response[str]:
    _refuse_other_sites(request)
    known_status(site.view, name)
    try:
        arguments = _arguments(data.arguments)
        answer = await _desk(site).call(name, data.tool, arguments, request.headers.get("authorization", ""))
        shown = {"tool": data.tool, "text": _readable(answer.result), "is_error": answer.is_error}
    except CatwalkError as error:
        shown = {"tool": data.tool, "text": error.problem.message, "is_error": True}
    return await _page(site, request, _Shown(server=name, number=number, answer=shown, given=data))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What a page of tools is about."""

    server: str
    number: int
    answer: Mapping[str, object] | None = None
    given: ToolForm | None = None
    """What was tried on this page, and what came of it."""


async def _page(site: Site, request: AnyRequest, shown: _Shown) -> Response[str]:
    name = shown.server
    status = known_status(site.view, name)
    tools: Sequence[ToolFacts] = ()
    fault = ""
    try:
        tools = await _desk(site).tools(name, request.headers.get("authorization", ""))
    except CatwalkError as error:
        fault = error.problem.message
    part = part_of(tools, shown.number, TOOLS_A_PAGE)

    def address(page_number: int) -> str:
        return f"/servers/{quote(name)}/tools?page={page_number}"

    values = {
        "server": name,
        "state": status.state,
        "part": part,
        "tools": [_told(tool, shown) for tool in part.items],
        "fault": fault,
        "page_address": address,
        "fleet_name": site.view.fleet,
    }
    return page(site.templates, "tools.html", values, now=site.clock.now())


def _told(tool: ToolFacts, shown: _Shown) -> dict[str, object]:
    """A tool as the page has it; what is too long to read is cut, and clients get all of it."""
    given, answer = shown.given, shown.answer
    return {
        "name": tool.name,
        "title": tool.title,
        "description": _cut(tool.description, LONGEST_DESCRIPTION),
        "schema": _cut(_readable(tool.schema), LONGEST_SCHEMA),
        "arguments": given.arguments if given and given.tool == tool.name else example_arguments(tool.schema),
        "answer": answer if answer and answer["tool"] == tool.name else None,
    }


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}\n… {len(text) - longest} more characters"


def example_arguments(schema: Mapping[str, object]) -> str:
    """Arguments to begin with: what is required, each with a default, the first choice, or an empty value."""
    known, required = _object(schema.get("properties")), schema.get("required")
    names = map(str, cast("list[object]", required)) if isinstance(required, list) else ()
    return json.dumps({name: _example(_object(known[name])) for name in names if name in known}, indent=2)


def _example(facts: Mapping[str, object]) -> object:
    choices = facts.get("enum")
    if "default" in facts:
        return facts["default"]
    if isinstance(choices, list) and choices:
        return cast("list[object]", choices)[0]
    empty: dict[str, object] = {"string": "", "number": 0, "integer": 0, "boolean": False, "array": [], "object": {}}
    return empty.get(str(facts.get("type")), "")


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _arguments(text: str) -> Mapping[str, JSON]:
    if len(text) > LARGEST_ARGUMENTS:
        raise SourceError("bad-arguments", f"the arguments have more than {LARGEST_ARGUMENTS} characters")
    try:
        read: object = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise SourceError("bad-arguments", f"the arguments are no JSON: {error}") from error
    if not isinstance(read, dict):
        raise SourceError("bad-arguments", "the arguments must be a JSON object")
    return cast("dict[str, JSON]", read)


def _readable(value: Mapping[str, object]) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return _cut(text, MOST_SHOWN)


def _refuse_other_sites(request: AnyRequest) -> None:
    """Lets a form through that a page of this site sent.

    Raises:
        PermissionDeniedException: another site did, or it cannot be told.
    """
    origin = request.headers.get("origin", "")
    if not origin or urlsplit(origin).netloc != request.headers.get("host", ""):
        raise PermissionDeniedException("forms are taken from this site's own pages only")


def _desk(site: Site) -> ToolDesk:
    if site.tools is None:
        raise Unavailable("no-tools", "tools cannot be asked for here", hint="use an MCP client")
    return site.tools
