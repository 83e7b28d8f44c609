"""A list of all servers: asked for side by side, each within its time, merged into one.

A server that sleeps, is slow or dead never fails a list. Its last known list stands in, or its part is missing; either
is said in the result and the log. Only where no server gave anything is the answer an error, because an empty list
would be believed. Pages of servers are followed, so that most lists are one page; where one is longer, the cursor
names the server and its own cursor, sealed, and the next page goes on there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog

from gateway.access import ANONYMOUS
from gateway.aggregate.attention import Attention
from gateway.aggregate.inner import Collected
from gateway.aggregate.known import Asker, KnownLists
from gateway.aggregate.latecomers import Latecomers
from gateway.aggregate.parts import (
    Listing,
    Missing,
    Page,
    Part,
    UnreadablePart,
    decoded,
    merged,
    read_answer,
    read_part,
)
from gateway.aggregate.seals import BadToken, Purpose, Seals
from gateway.aggregate.settings import AggregateSettings
from gateway.aggregate.visit import Visit
from gateway.problems import UPSTREAM_FAULT_CODE
from gateway.protocol.errors import INVALID_PARAMS, METHOD_NOT_FOUND, Refusal
from gateway.protocol.scan import json_object

_log = structlog.get_logger("gateway")
_MAX_PAGES = 20
_MAX_ITEMS = 2000
_UNSERVED_TTL_MS = 60_000
_SHOWN_CHARACTERS = 200
AskServer = Callable[[str, str, str | None], Awaitable[Collected]]
"""From server, method and cursor to the server's answer."""


class Unavailable(Exception):
    """A server could not be asked."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class RefusedRequest(Exception):
    """The request is answered with an error."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """How one client's servers are asked."""

    visit: Visit
    asker: Asker
    ask: AskServer
    key: object
    """Whose open streams are told of what comes later: a session's, or a principal's."""


class Gatherer:
    """Makes merged lists for one gateway."""

    def __init__(self, settings: AggregateSettings, known: KnownLists, seals: Seals, attention: Attention) -> None:
        self._settings = settings
        self._known = known
        self._seals = seals
        self._attention = attention
        self.latecomers = Latecomers()

    async def answer(self, inquiry: Inquiry, listing: Listing, cursor: object) -> str:
        """The result of a list request, as JSON text.

        Raises:
            RefusedRequest: the cursor is none of ours, or no server gave anything.
        """
        view = inquiry.visit.view
        place = self._place(inquiry.visit, listing, cursor)
        page = await self.page(inquiry, listing, place)
        if page.next_place is None:
            return page.result(None, is_modern=inquiry.visit.is_modern)
        values = (listing.method, *page.next_place)
        sealed = self._seals.seal(Purpose.CURSOR, view.principal, values)
        return page.result(sealed, is_modern=inquiry.visit.is_modern)

    async def page(self, inquiry: Inquiry, listing: Listing, place: tuple[str, str | None] | None = None) -> Page:
        """A page of a merged list, from a server and its cursor on.

        Raises:
            RefusedRequest: no server gave anything.
        """
        view = inquiry.visit.view
        start, cursor = place or ("", None)
        servers = [server for server in view.servers if server >= start]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self.part(inquiry, listing, server, cursor if server == start else None))
                for server in servers
            ]
        parts = [task.result() for task in tasks]
        if parts and all(isinstance(part, Missing) for part in parts):
            raise RefusedRequest(_nothing(parts))
        page = merged(listing, parts, self._rename(inquiry, listing))
        return page if view.principal == ANONYMOUS else replace(page, is_public=False)

    async def part(self, inquiry: Inquiry, listing: Listing, server: str, cursor: str | None) -> Part | Missing:
        """One server's part, in time."""
        sleeping = self._known.of_sleeping(inquiry.asker, server, listing) if cursor is None else None
        if sleeping is not None:
            return sleeping
        try:
            async with asyncio.timeout(self._settings.list_timeout_s):
                part = await _followed(inquiry, listing, server, cursor)
        except TimeoutError:
            cause = f"no answer within {self._settings.list_timeout_s:g} s"
            late = (inquiry.key, inquiry.asker, listing, server)
            self.latecomers.wait_for(late, lambda: self._catch_up(inquiry, listing, server))
        except (UnreadablePart, Unavailable) as error:
            cause = str(error)
        else:
            if cursor is None and part.next_cursor is None:
                self._known.keep(inquiry.asker, listing, part)
            return part
        _log.warning("aggregate_part_missing", server=server, method=listing.method, cause=cause)
        old = self._known.old(inquiry.asker, server, listing, cause) if cursor is None else None
        return old or Missing(server=server, cause=cause)

    async def _catch_up(self, inquiry: Inquiry, listing: Listing, server: str) -> None:
        """The part that did not come in time."""
        try:
            part = await _followed(inquiry, listing, server, None)
        except (UnreadablePart, Unavailable):
            return
        if part.next_cursor is None:
            self._known.keep(inquiry.asker, listing, part)
        self._attention.list_changed(inquiry.key, listing.notice)

    def _rename(self, inquiry: Inquiry, listing: Listing) -> Callable[[str, str], str]:
        if listing in {Listing.TOOLS, Listing.PROMPTS}:
            return inquiry.visit.view.names.exposed
        return self._known.ownership(inquiry.asker, inquiry.visit.view).exposed

    def _place(self, visit: Visit, listing: Listing, cursor: object) -> tuple[str, str | None] | None:
        if cursor is None:
            return None
        try:
            values = self._seals.open(Purpose.CURSOR, visit.view.principal, cursor) if isinstance(cursor, str) else ()
        except BadToken:
            values = ()
        if len(values) != 3 or values[0] != listing.method:
            raise RefusedRequest(Refusal(code=INVALID_PARAMS, message="Invalid cursor"))
        return values[1], values[2]


async def _followed(inquiry: Inquiry, listing: Listing, server: str, cursor: str | None) -> Part:
    part = await _page_of(inquiry, listing, server, cursor)
    pages = 1
    while part.next_cursor is not None and pages < _MAX_PAGES and len(part.items) < _MAX_ITEMS:
        part = part.joined(await _page_of(inquiry, listing, server, part.next_cursor))
        pages += 1
    return part


async def _page_of(inquiry: Inquiry, listing: Listing, server: str, cursor: str | None) -> Part:
    answer = await inquiry.ask(server, listing.method, cursor)
    if not answer.is_whole:
        raise UnreadablePart("its answer broke off")
    message = read_answer(decoded(answer.body))
    if "result" in message.members:
        return read_part(server, listing, message)
    error = json_object(message.members["error"].value)
    if error.get("code") == METHOD_NOT_FOUND:
        return Part(server=server, ttl_ms=_UNSERVED_TTL_MS, is_public=True)
    raise UnreadablePart(str(error.get("message", "it refused"))[:_SHOWN_CHARACTERS])


def _nothing(parts: list[Part | Missing]) -> Refusal:
    causes = {part.server: part.cause for part in parts if isinstance(part, Missing)}
    text = "; ".join(f"{server}: {cause}" for server, cause in causes.items())
    return Refusal(
        code=UPSTREAM_FAULT_CODE,
        message=f"No server could be asked: {text}"[:1000],
        data={"unavailable": causes},
        http_status=502,
    )
