"""From what a `FleetView` tells to the documents that pages and API show."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.core.actions import Pass
from reconciler.core.cost import PRICES_AS_OF
from reconciler.core.log_causes import explain
from reconciler.core.savings import Usage
from reconciler.core.types import Revision, ServerState, ServerStatus
from reconciler.loop.ports import LogLine, Transition
from reconciler.web.appearance import STATES
from reconciler.web.changes import since_it_worked
from reconciler.web.clients import mcp_servers, vscode_servers
from reconciler.web.documents import (
    ExplanationDocument,
    FleetDocument,
    LogLineDocument,
    LogsDocument,
    PassesDocument,
    RevisionDocument,
    RevisionReference,
    ServerDocument,
    ServerPageDocument,
    TransitionDocument,
    UsageDocument,
)
from reconciler.web.errors import NotKnown
from reconciler.web.filters import NO_FACTS, Choices, ServerFilter, choices, filtered
from reconciler.web.hosts import commit_url
from reconciler.web.paging import Part, part_of
from reconciler.web.plans import pass_document, pass_summary, problem_document, revision_reference
from reconciler.web.view import FleetView, ServerFacts

MOST_TRANSITIONS: Final = 500
"""Changes of one server that its band of time is drawn from."""
LONGEST_LINE: Final = 2_000
"""Characters of a log line on a page."""
REVISION_PASSES: Final = 10
"""Passes of one revision that its page looks through."""
UNWELL: Final = frozenset({ServerState.FAILED, ServerState.DEGRADED, ServerState.HELD})
"""States that a log may explain. What a healthy server logs is none of a cause."""
EVERY_SERVER: Final = ServerFilter()
SERVERS_A_PAGE: Final = 40
"""Rows of the fleet's table; with them a page stays below 100 KB."""
NOTHING_USED: Final[Mapping[str, Usage]] = {}
NOTHING_KNOWN: Final[Mapping[str, ServerFacts]] = {}
_ORDER: Final = {str(state): place for place, state in enumerate(STATES)}
COMMIT: Final = re.compile(r"[0-9a-f]{7,40}|worktree:[0-9a-f]{1,64}")
"""A commit, abbreviated or not, or the digest of uncommitted files (`Revision.commit`)."""


def fleet_document(view: FleetView, wanted: ServerFilter = EVERY_SERVER) -> FleetDocument:
    """The fleet now, with those of its servers that are wanted, by name."""
    statuses, facts = view.statuses(), view.facts()
    ordered = sorted(filtered(statuses, facts, wanted), key=lambda status: status.server)
    return _fleet_document(view, _Shown(all=statuses, shown=ordered, facts=facts, usages=view.usages()))


def servers_part(statuses: Sequence[ServerStatus], number: int) -> Part[ServerStatus]:
    """A page of servers, those in trouble first."""
    ordered = sorted(statuses, key=lambda status: (_ORDER[status.state], status.server))
    return part_of(ordered, number, SERVERS_A_PAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPage:
    """One page of the fleet's table."""

    document: FleetDocument
    part: Part[ServerStatus]
    """Of the servers that are wanted."""
    choices: Choices


def fleet_page(view: FleetView, wanted: ServerFilter, number: int) -> FleetPage:
    """A page of the servers that are wanted, trouble first; the nearest one where there is none of that number."""
    statuses, facts = view.statuses(), view.facts()
    part = servers_part(filtered(statuses, facts, wanted), number)
    document = _fleet_document(view, _Shown(all=statuses, shown=part.items, facts=facts, usages=view.usages()))
    return FleetPage(document=document, part=part, choices=choices(facts))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What is read of a view, once for everything that needs it."""

    all: Sequence[ServerStatus]
    shown: Sequence[ServerStatus]
    facts: Mapping[str, ServerFacts]
    usages: Mapping[str, Usage]


def _fleet_document(view: FleetView, shown: _Shown) -> FleetDocument:
    newest = view.newest_pass()
    known = {status.server for status in shown.all}
    usages = [usage for name, usage in shown.usages.items() if name in known]
    servers = [server_document(status, view, shown.usages, shown.facts) for status in shown.shown]
    return FleetDocument(
        fleet=view.fleet,
        revision=_reference(newest.revision if newest else None),
        applied_revision=_reference(newest.applied_revision if newest else None),
        checked_at=newest.finished_at if newest else None,
        settled=newest.settled if newest else False,
        counts=dict(sorted(Counter(status.state.value for status in shown.all).items())),
        problems=[problem_document(problem) for problem in newest.problems] if newest else [],
        servers=servers,
        cost=_total(_cents(usage.cost) for usage in usages),
        saved=_total(_cents(usage.saved) for usage in usages),
        prices_as_of=PRICES_AS_OF,
        client_configuration=mcp_servers({server.name: server.mcp_url for server in servers}),
    )


async def server_page_document(view: FleetView, name: str) -> ServerPageDocument:
    """One server.

    Raises:
        NotKnown: the fleet has no server of that name.
        Unavailable: the history cannot be read now.
    """
    status = known_status(view, name)
    urls = {name: view.mcp_url(name)}
    changes = await view.transitions(name, limit=MOST_TRANSITIONS)
    return ServerPageDocument(
        server=server_document(status, view, view.usages(), view.facts()),
        client_configuration=mcp_servers(urls),
        vscode_configuration=vscode_servers(urls),
        history=[_transition(change) for change in changes],
        since_it_worked=await since_it_worked(view, status, changes),
    )


async def logs_document(view: FleetView, name: str, *, limit: int) -> LogsDocument:
    """The newest lines of a server.

    Raises:
        NotKnown: the fleet has no server of that name.
        Unavailable: the log service does not answer.
    """
    status = known_status(view, name)
    lines = await view.log_lines(name, limit=limit)
    return LogsDocument(
        server=name,
        lines=[_log_line(line) for line in lines],
        explanation=_explanation(lines) if status.state in UNWELL else None,
    )


def fitting(logs: LogsDocument, characters: int) -> LogsDocument:
    """The newest lines that have room in a page, long ones cut."""
    room, kept = characters, list[LogLineDocument]()
    for line in reversed(logs.lines):
        message = line.message if len(line.message) <= LONGEST_LINE else f"{line.message[:LONGEST_LINE]}…"
        room -= len(message)
        if room < 0 and kept:
            break
        kept.append(line.model_copy(update={"message": message}))
    return logs.model_copy(update={"lines": kept[::-1]})


async def passes_document(view: FleetView, *, limit: int) -> PassesDocument:
    """The newest passes, in a line each."""
    return PassesDocument(passes=[pass_summary(line) for line in await view.history(limit=limit)])


async def revision_passes(view: FleetView, commit: str) -> Sequence[Pass]:
    """Passes over a commit, which may be abbreviated to seven digits, newest first; at least one.

    Raises:
        NotKnown: this is no commit, or no remembered pass looked at it.
        Unavailable: the history cannot be read now.
    """
    if not COMMIT.fullmatch(commit):
        raise NotKnown("revision", commit)
    passes = await view.passes(commit, limit=REVISION_PASSES)
    if not passes:
        raise NotKnown("revision", commit)
    return passes


def revision_document(
    view: FleetView, passes: Sequence[Pass], statuses: Sequence[ServerStatus], *, most_actions: int | None = None
) -> RevisionDocument:
    """What became of a commit.

    Args:
        view: the fleet.
        passes: what `revision_passes` found.
        statuses: the verdicts that are told, in that order.
        most_actions: how many of each pass are told; all where it is left out.

    Raises:
        NotKnown: the passes looked at no commit.
    """
    newest, now = passes[0], view.newest_pass()
    revision = newest.revision
    if revision is None:
        raise NotKnown("revision", "")
    in_force = now is not None and now.applied_revision is not None and now.applied_revision.commit == revision.commit
    return RevisionDocument(
        revision=revision_reference(revision),
        committed_at=revision.committed_at,
        commit_url=commit_url(revision.source, revision.commit),
        in_force=in_force,
        looked_at=newest.finished_at,
        problems=[problem_document(problem) for problem in newest.problems],
        servers=[server_document(status, view) for status in statuses],
        passes=[pass_document(finished, most_actions) for finished in passes if _has_work(finished)],
    )


def _has_work(finished: Pass) -> bool:
    plan = finished.plan
    return plan is not None and bool(plan.actions or plan.held)


def _transition(change: Transition) -> TransitionDocument:
    revision = Revision(commit=change.revision, branch="", source="") if change.revision else None
    return TransitionDocument(
        at=change.at,
        state=change.state,
        cause=change.cause,
        detail=change.detail,
        revision=_reference(revision),
        pass_number=change.pass_number,
    )


def known_status(view: FleetView, name: str) -> ServerStatus:
    """The verdict on one server.

    Raises:
        NotKnown: the fleet has no server of that name.
    """
    for status in view.statuses():
        if status.server == name:
            return status
    raise NotKnown("server", name)


def server_document(
    status: ServerStatus,
    view: FleetView,
    usages: Mapping[str, Usage] = NOTHING_USED,
    facts: Mapping[str, ServerFacts] = NOTHING_KNOWN,
) -> ServerDocument:
    """One server, with what else is known of it by its name."""
    known, usage = facts.get(status.server, NO_FACTS), usages.get(status.server)
    return ServerDocument(
        name=status.server,
        state=status.state,
        since=status.since,
        cause=status.cause,
        detail=status.detail,
        problem=problem_document(status.problem) if status.problem else None,
        package=status.package,
        revision=status.revision,
        machine_id=status.machine_id,
        tools=list(status.tools),
        mcp_url=view.mcp_url(status.server),
        usage=_usage(usage) if usage is not None else None,
        owner=known.owner,
        labels=dict(known.labels),
        description=known.description,
    )


def _usage(usage: Usage) -> UsageDocument:
    return UsageDocument(
        since=usage.since,
        awake_s=round(usage.awake_s, 1),
        asleep_s=round(usage.asleep_s, 1),
        wakes=usage.wakes,
        last_wake_s=usage.last_wake_s,
        cost=_cents(usage.cost),
        saved=_cents(usage.saved),
    )


def _cents(dollars: float | None) -> float | None:
    """Four digits: a server that sleeps a lot costs less than a cent."""
    return None if dollars is None else round(dollars, 4)


def _total(dollars: Iterable[float | None]) -> float:
    return round(sum(found for found in dollars if found is not None), 4)


def _reference(revision: Revision | None) -> RevisionReference | None:
    return revision_reference(revision) if revision else None


def _explanation(lines: Sequence[LogLine]) -> ExplanationDocument | None:
    found = explain([line.message for line in lines])
    return ExplanationDocument(cause=found.cause, line=found.line, fix=found.fix) if found is not None else None


def _log_line(line: LogLine) -> LogLineDocument:
    return LogLineDocument(at=line.at, machine_id=line.machine_id, level=line.level, message=line.message)
