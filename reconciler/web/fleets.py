"""From what a `FleetView` tells to the documents that pages and API show."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from reconciler.core.actions import Pass
from reconciler.core.cost import PRICES_AS_OF
from reconciler.core.log_causes import explain
from reconciler.core.savings import Usage
from reconciler.core.types import Revision, ServerState, ServerStatus
from reconciler.loop.ports import LogLine
from reconciler.web.clients import mcp_servers, vscode_servers
from reconciler.web.documents import (
    ExplanationDocument,
    FleetDocument,
    LogLineDocument,
    LogsDocument,
    PassDocument,
    PassesDocument,
    RevisionDocument,
    RevisionReference,
    ServerDocument,
    ServerPageDocument,
    TransitionDocument,
    UsageDocument,
)
from reconciler.web.errors import NotKnown
from reconciler.web.plans import pass_document, pass_summary, problem_document, revision_reference
from reconciler.web.view import FleetView

HISTORY_PASSES: Final = 200
"""Passes that a server's history looks through. At one health pass every few seconds most change nothing."""
REVISION_PASSES: Final = 50
"""Passes of one revision that its page looks through."""
UNWELL: Final = frozenset({ServerState.FAILED, ServerState.DEGRADED, ServerState.HELD})
"""States that a log may explain. What a healthy server logs is none of a cause."""
COMMIT: Final = re.compile(r"[0-9a-f]{7,40}|worktree:[0-9a-f]{1,64}")
"""A commit, abbreviated or not, or the digest of uncommitted files (`Revision.commit`)."""


def fleet_document(view: FleetView) -> FleetDocument:
    """The whole fleet now."""
    newest = view.newest_pass()
    servers = _servers(view.statuses(), view, view.usages())
    return FleetDocument(
        fleet=view.fleet,
        revision=_reference(newest.revision if newest else None),
        applied_revision=_reference(newest.applied_revision if newest else None),
        checked_at=newest.finished_at if newest else None,
        settled=newest.settled if newest else False,
        counts=dict(sorted(Counter(server.state for server in servers).items())),
        problems=[problem_document(problem) for problem in newest.problems] if newest else [],
        servers=servers,
        cost=_total(server.usage.cost for server in servers if server.usage),
        saved=_total(server.usage.saved for server in servers if server.usage),
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
    passes = await view.passes(limit=HISTORY_PASSES)
    return ServerPageDocument(
        server=server_document(status, view, view.usages().get(name)),
        client_configuration=mcp_servers(urls),
        vscode_configuration=vscode_servers(urls),
        history=list(transitions(name, passes)),
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


async def passes_document(view: FleetView, *, limit: int) -> PassesDocument:
    """The newest passes, in a line each."""
    return PassesDocument(passes=[pass_summary(finished) for finished in await view.passes(limit=limit)])


async def revision_document(view: FleetView, commit: str) -> RevisionDocument:
    """What became of a commit, which may be abbreviated to seven digits.

    Raises:
        NotKnown: this is no commit, or no remembered pass looked at it.
        Unavailable: the history cannot be read now.
    """
    if not COMMIT.fullmatch(commit):
        raise NotKnown("revision", commit)
    passes = await view.passes(limit=REVISION_PASSES, revision=commit)
    if not passes or passes[0].revision is None:
        raise NotKnown("revision", commit)
    return _revision_document(view, passes[0].revision, passes)


def _revision_document(view: FleetView, revision: Revision, passes: Sequence[Pass]) -> RevisionDocument:
    newest, now = passes[0], view.newest_pass()
    in_force = now is not None and now.applied_revision is not None and now.applied_revision.commit == revision.commit
    return RevisionDocument(
        revision=revision_reference(revision),
        committed_at=revision.committed_at,
        in_force=in_force,
        looked_at=newest.finished_at,
        problems=[problem_document(problem) for problem in newest.problems],
        servers=_servers(newest.statuses, view, {}),
        passes=list(_passes_with_work(passes)),
    )


def _passes_with_work(passes: Sequence[Pass]) -> Iterator[PassDocument]:
    for finished in passes:
        plan = finished.plan
        if plan is not None and (plan.actions or plan.held):
            yield pass_document(finished)


def transitions(server: str, passes: Sequence[Pass]) -> Iterator[TransitionDocument]:
    """When the verdict on a server changed, newest first; `passes` come newest first."""
    told = list(_verdicts(server, passes))
    for newer, (finished, status) in enumerate(told, start=1):
        older = told[newer][1] if newer < len(told) else None
        if older is None or _judgement(older) != _judgement(status):
            yield TransitionDocument(
                at=min(status.since or finished.finished_at, finished.finished_at),
                state=status.state,
                cause=status.cause,
                detail=status.detail,
                revision=_reference(finished.applied_revision),
                pass_number=finished.number,
            )


def _verdicts(server: str, passes: Sequence[Pass]) -> Iterator[tuple[Pass, ServerStatus]]:
    for finished in passes:
        for status in finished.statuses:
            if status.server == server:
                yield finished, status


def _judgement(status: ServerStatus) -> tuple[object, ...]:
    return status.state, status.cause, status.revision


def known_status(view: FleetView, name: str) -> ServerStatus:
    """The verdict on one server.

    Raises:
        NotKnown: the fleet has no server of that name.
    """
    for status in view.statuses():
        if status.server == name:
            return status
    raise NotKnown("server", name)


def server_document(status: ServerStatus, view: FleetView, usage: Usage | None = None) -> ServerDocument:
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
    )


def _servers(statuses: Sequence[ServerStatus], view: FleetView, usages: Mapping[str, Usage]) -> list[ServerDocument]:
    ordered = sorted(statuses, key=lambda status: status.server)
    return [server_document(status, view, usages.get(status.server)) for status in ordered]


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
