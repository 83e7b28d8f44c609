"""What a pass has to say on which commit, decided from the pass alone. Pure.

Three contexts: `catwalk/sync` on the revision that was looked at (is the fleet as the commit asks?), `catwalk/health`
on the revision in force (do its servers answer?), and `catwalk/health/{server}` for a server that is unwell, so that
the list on a commit stays short. Success needs proof; everything that is still on its way is pending. Descriptions
begin with the cause, because GitHub shows their beginning, and stay the same as long as the state does, because every
change is a post.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from reconciler.core.actions import Deferred, Held, Pass
from reconciler.core.problems import Problem, Remedy
from reconciler.core.types import OutcomeKind, Revision, ServerState, ServerStatus
from reconciler.report.details import CheckDetails
from reconciler.report.text import counted, one_line, with_tail

SYNC: Final = "catwalk/sync"
HEALTH: Final = "catwalk/health"
SERVER_PREFIX: Final = "catwalk/health/"
DEPLOYMENT_PREFIX: Final = "deployment/"
"""Before the name of an environment: a context that is no status at GitHub, but the newest word of a deployment."""
MOST_SERVER_CONTEXTS: Final = 20
"""A fleet-wide outage must not write a thousand contexts; `catwalk/health` counts the rest."""

SETTLING: Final = frozenset({ServerState.PENDING, ServerState.INSTALLING, ServerState.STARTING})
_SUPERSEDED: Final = "superseded by "
WELL: Final = frozenset({ServerState.READY, ServerState.IDLE, ServerState.SUSPENDED})


class StatusState(StrEnum):
    """GitHub's states of a commit status (REST docs, "Create a commit status")."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    """The commit is wrong, or what it asks for does not work."""
    ERROR = "error"
    """Catwalk or its surroundings are at fault, not the commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitStatus:
    """One status on one commit."""

    sha: str
    context: str
    """GitHub compares contexts without case; ours are lower case."""
    state: StatusState
    description: str
    """One line of 140 characters at most."""
    target_url: str = ""
    """The page that answers the next question; empty when there is none to link to."""
    details: CheckDetails | None = field(default=None, compare=False)
    """What a check run tells besides. It is no news by itself: the plan and the log of every pass differ a little."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    state: StatusState
    description: str


def commit_statuses(
    finished: Pass,
    *,
    public_url: str = "",
    reported: Collection[str] = (),
    explanations: Mapping[str, str] | None = None,
) -> tuple[CommitStatus, ...]:
    """Every status that should stand after this pass.

    `public_url` is the address of the dashboard; empty links nowhere. `reported` names the contexts that stand on the
    applied commit already: a server among them that is well again, or gone, is told so, else its failure would stay.
    `explanations` says by server why it is unwell, where its log tells more than the verdict.
    Uncommitted files have no commit to write on and give nothing.
    """
    health = _Health(finished, public_url, explanations or {})
    return tuple(_sync(finished, public_url)) + tuple(health.statuses(reported))


def beginning_statuses(begun: Pass, *, public_url: str = "") -> tuple[CommitStatus, ...]:
    """What stands on the revision in force while it is applied for the first time; success needs the proof first."""
    revision = begun.applied_revision
    if revision is None or not is_commit(revision):
        return ()
    applying = _Verdict(StatusState.PENDING, "being applied")
    return tuple(_status(revision, context, applying, public_url) for context in (SYNC, HEALTH))


def superseded(status: CommitStatus, *, by: Revision) -> CommitStatus:
    """A status that was still pending when a newer revision took over: nothing will ever answer it."""
    return CommitStatus(
        sha=status.sha,
        context=status.context,
        state=status.state,
        description=superseded_by(by.short),
        target_url=status.target_url,
    )


def superseded_by(name: str) -> str:
    """The description of what something else has ended."""
    return f"{_SUPERSEDED}{name}"


def is_superseded(status: CommitStatus) -> bool:
    return status.description.startswith(_SUPERSEDED)


def is_deployment(status: CommitStatus) -> bool:
    """Whether it is the word of a deployment."""
    return status.context.startswith(DEPLOYMENT_PREFIX)


def is_commit(revision: Revision | None) -> bool:
    """Whether a revision is a commit that GitHub can know."""
    return revision is not None and ":" not in revision.commit


def _sync(finished: Pass, public_url: str) -> Iterator[CommitStatus]:
    revision = finished.revision
    if revision is not None and is_commit(revision):
        yield _status(revision, SYNC, _sync_verdict(finished, revision), public_url)


def _sync_verdict(finished: Pass, revision: Revision) -> _Verdict:
    problems = _problems(finished)
    if problems:
        return _Verdict(_state_of(problems), _told(problems))
    if any(outcome.kind is OutcomeKind.FAILED for outcome in finished.outcomes):
        return _Verdict(StatusState.FAILURE, "an action failed")
    if held := _held_up(finished):
        return _Verdict(StatusState.PENDING, f"held: {held[0].summary}: {held[0].reason}")
    if finished.waiting:
        return _Verdict(StatusState.PENDING, _told_waiting(finished.waiting))
    if not finished.settled or finished.applied_revision is None or finished.applied_revision.commit != revision.commit:
        return _Verdict(StatusState.PENDING, "being applied")
    return _Verdict(StatusState.SUCCESS, f"{counted(len(finished.statuses), 'server')} as declared")


def _held_up(finished: Pass) -> list[Held]:
    """What the commit asks for and does not get. A server that the commit itself suspends is as it asks."""
    suspended = {status.server for status in finished.statuses if status.state is ServerState.SUSPENDED}
    return [held for held in (finished.plan.held if finished.plan else ()) if held.server not in suspended]


def _told_waiting(waiting: Sequence[Deferred]) -> str:
    """The first thing that waits, and for what; the same words for as long as it does."""
    first = waiting[0]
    then = "tried again soon" if first.not_before is not None else f"next when {first.until}"
    others = f" (+{len(waiting) - 1} more)" if len(waiting) > 1 else ""
    return with_tail(f"rolling out {first.action.server}: {then}", others)


def _problems(finished: Pass) -> tuple[Problem, ...]:
    """Those of the pass, then those of actions that failed, each once."""
    failed = (outcome.problem for outcome in finished.outcomes if outcome.kind is OutcomeKind.FAILED)
    found = (*finished.problems, *(problem for problem in failed if problem is not None))
    return tuple(dict.fromkeys(found))


_STATES: Final = {
    Remedy.FIX_SOURCE: StatusState.FAILURE,
    Remedy.FIX_ENVIRONMENT: StatusState.ERROR,
    Remedy.REPORT: StatusState.ERROR,
    Remedy.WAIT: StatusState.PENDING,
}
_GRAVITY: Final = tuple(_STATES)
"""A problem in the source comes first: it is what the author of the commit can mend."""


def _state_of(problems: Sequence[Problem]) -> StatusState:
    return _STATES[min((problem.remedy for problem in problems), key=_GRAVITY.index)]


def _told(problems: Sequence[Problem]) -> str:
    """The gravest problem with its place, and how many there are besides."""
    first = min(problems, key=lambda problem: _GRAVITY.index(problem.remedy))
    others = len(problems) - 1
    return with_tail(str(first), f" (+{others} more)" if others else "")


@dataclass(frozen=True, slots=True)
class _Health:
    """What is said of the servers of the revision in force."""

    finished: Pass
    public_url: str
    explanations: Mapping[str, str]

    def statuses(self, reported: Collection[str]) -> Iterator[CommitStatus]:
        finished, public_url = self.finished, self.public_url
        revision = finished.applied_revision
        if revision is None or not is_commit(revision) or (not finished.statuses and finished.plan is None):
            return
        statuses = sorted(finished.statuses, key=lambda status: status.server)
        yield _status(revision, HEALTH, self._verdict(statuses), public_url)
        unwell = [status for status in statuses if is_unwell(status)][:MOST_SERVER_CONTEXTS]
        for status in unwell:
            verdict = _Verdict(StatusState.FAILURE, self._trouble(status))
            yield _status(revision, SERVER_PREFIX + status.server, verdict, public_url, server=status.server)
        yield from _recovered(revision, statuses, public_url, reported)

    def _verdict(self, statuses: Sequence[ServerStatus]) -> _Verdict:
        well = sum(status.state in WELL for status in statuses)
        score = f"{well}/{len(statuses)} healthy"
        unwell = [status for status in statuses if is_unwell(status)]
        if unwell:
            return _Verdict(StatusState.FAILURE, with_tail(self._trouble(unwell[0], named=True), f" ({score})"))
        settling = [status for status in statuses if status.state in SETTLING]
        if settling:
            return _Verdict(StatusState.PENDING, f"{settling[0].state}: {settling[0].server} ({score})")
        return _Verdict(StatusState.SUCCESS, score if statuses else "no servers are declared")

    def _trouble(self, status: ServerStatus, *, named: bool = False) -> str:
        """`cause: detail`, in the words of the log where it tells more than the verdict."""
        cause, detail = str(status.cause or status.state), status.detail
        if status.server in self.explanations:
            cause, _, detail = self.explanations[status.server].partition(": ")
        subject = f"{cause} in {status.server}" if named else cause
        return f"{subject}: {detail}" if detail else subject


def is_unwell(status: ServerStatus) -> bool:
    """Whether a server is neither well nor on its way there."""
    return status.state not in WELL and status.state not in SETTLING


def _recovered(
    revision: Revision, statuses: Sequence[ServerStatus], public_url: str, reported: Collection[str]
) -> Iterator[CommitStatus]:
    known = {SERVER_PREFIX + status.server: status for status in statuses}
    for context in sorted(reported):
        if not context.startswith(SERVER_PREFIX):
            continue
        status = known.get(context)
        server = context.removeprefix(SERVER_PREFIX)
        if status is None:
            yield _status(revision, context, _Verdict(StatusState.SUCCESS, "no longer declared"), public_url)
        elif status.state in WELL:
            verdict = _Verdict(StatusState.SUCCESS, "well again")
            yield _status(revision, context, verdict, public_url, server=server)
        elif status.state in SETTLING:
            verdict = _Verdict(StatusState.PENDING, "coming up again")
            yield _status(revision, context, verdict, public_url, server=server)


def _status(revision: Revision, context: str, verdict: _Verdict, public_url: str, *, server: str = "") -> CommitStatus:
    return CommitStatus(
        sha=revision.commit,
        context=context,
        state=verdict.state,
        description=one_line(verdict.description),
        target_url=_target(revision, public_url, server),
    )


def _target(revision: Revision, public_url: str, server: str) -> str:
    if not public_url:
        return ""
    fragment = f"#server-{quote(server, safe='')}" if server else ""
    return f"{public_url.rstrip('/')}/revisions/{quote(revision.commit, safe='')}{fragment}"
