"""What each revision's deployment should say, decided from passes alone, and the reporter that wants it said.

A deployment is the story of one roll-out: in progress, perhaps failed for a while, then successful when the fleet is
as the commit asks and its servers answer, and inactive once a newer revision has taken its place. What happens to the
servers after a success is no part of it: `catwalk/health` tells that. So a failure never follows a success, and six
posts are enough for every story.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from reconciler.core.actions import Pass
from reconciler.core.types import OutcomeKind, Revision
from reconciler.errors import CatwalkError
from reconciler.report.explanations import Explanations
from reconciler.report.letters import Letter, key_of
from reconciler.report.outbox import Outbox
from reconciler.report.statuses import (
    DEPLOYMENT_PREFIX,
    HEALTH,
    SYNC,
    CommitStatus,
    StatusState,
    beginning_statuses,
    commit_statuses,
    is_superseded,
    superseded,
)

_GRAVITY: Final = (StatusState.FAILURE, StatusState.ERROR, StatusState.PENDING, StatusState.SUCCESS)

_log = structlog.get_logger(__name__)


def environment_of(fleet: str, overlay: str) -> str:
    """The name of the environment at GitHub: the fleet, or `fleet/overlay`; empty while the fleet has no name."""
    return f"{fleet}/{overlay}" if fleet and overlay else fleet


def beginning_deployment(begun: Pass, environment: str, *, public_url: str = "") -> Sequence[CommitStatus]:
    """The deployment of the revision in force, in progress; none for uncommitted files or a nameless fleet."""
    begun_statuses = beginning_statuses(begun, public_url=public_url) if environment else ()
    return [_as_deployment(status, environment) for status in begun_statuses if status.context == SYNC]


def deployment(
    finished: Pass, environment: str, *, public_url: str = "", explanations: Mapping[str, str] | None = None
) -> Sequence[CommitStatus]:
    """The deployment of the revision in force after a pass: successful when both sync and health are.

    While a newer revision is refused nothing is said of sync on this one: then nothing of the pass may be undone.
    """
    applied = finished.applied_revision
    if applied is None or not environment:
        return ()
    said = commit_statuses(finished, public_url=public_url, explanations=explanations)
    both = {status.context: status for status in said if status.sha == applied.commit}
    found = [both[context] for context in (SYNC, HEALTH) if context in both]
    if HEALTH in both and SYNC not in both and _is_undone(finished):
        found = [replace(both[HEALTH], state=StatusState.PENDING)]
    complete = HEALTH in both or any(status.state is not StatusState.SUCCESS for status in found)
    if not found or not complete:
        return ()
    return [_as_deployment(min(found, key=_gravity), environment)]


def overtaken(letters: Sequence[Letter], wanted: CommitStatus, by: Revision) -> Sequence[CommitStatus]:
    """Deployments of the same environment that a newer revision has ended.

    What never got an answer ends at once; what is in use ends when the newer one is; a failure stays what it was.
    """
    rolled_out = wanted.state is StatusState.SUCCESS
    others = (one for one in letters if one.wanted.sha != wanted.sha and one.wanted.context == wanted.context)
    ended = (one.wanted for one in others if not is_superseded(one.wanted) and _is_over(one, rolled_out))
    return [replace(superseded(status, by=by), state=StatusState.PENDING) for status in ended]


class DeploymentReporter:
    """Wants deployments said by the outbox. Implements `Reporter`."""

    __slots__ = ("_explanations", "_outbox", "_overlay", "_public_url")

    def __init__(self, outbox: Outbox, explanations: Explanations, *, overlay: str = "", public_url: str = "") -> None:
        self._outbox, self._explanations = outbox, explanations
        self._overlay, self._public_url = overlay, public_url

    async def begin(self, begun: Pass) -> None:
        """Says of a revision of which nothing is said yet that it is in progress; never fails a pass."""
        try:
            standing = {letter.key for letter in await self._outbox.letters()}
            wanted = beginning_deployment(begun, self._environment(begun), public_url=self._public_url)
            await self._outbox.want([status for status in wanted if key_of(status) not in standing])
        except CatwalkError as fault:
            _log.error("report_failed", pass_number=begun.number, problem=str(fault))

    async def report(self, finished: Pass) -> None:
        """Wants said what came of the revision in force, and the end of those before it; never fails a pass."""
        try:
            await self._outbox.want(await self._wanted(finished))
        except CatwalkError as fault:
            _log.error("report_failed", pass_number=finished.number, problem=str(fault))

    async def _wanted(self, finished: Pass) -> list[CommitStatus]:
        explained = await self._explanations.of(finished)
        said = deployment(finished, self._environment(finished), public_url=self._public_url, explanations=explained)
        applied = finished.applied_revision
        if applied is None or not said:
            return []
        letters = await self._outbox.letters()
        return [*said, *(end for status in said for end in overtaken(letters, status, applied))]

    def _environment(self, one: Pass) -> str:
        return environment_of(one.fleet, self._overlay)


def _is_undone(finished: Pass) -> bool:
    return bool(finished.waiting) or any(
        outcome.kind in {OutcomeKind.FAILED, OutcomeKind.SKIPPED} for outcome in finished.outcomes
    )


def _is_over(letter: Letter, rolled_out: bool) -> bool:
    posted = letter.posted
    is_answered = posted is not None and posted.state is not StatusState.PENDING
    said = posted.state if posted is not None and is_answered else letter.wanted.state
    return said is StatusState.PENDING or (said is StatusState.SUCCESS and rolled_out)


def _gravity(status: CommitStatus) -> int:
    return _GRAVITY.index(status.state)


def _as_deployment(status: CommitStatus, environment: str) -> CommitStatus:
    """An error is a failure here: the roll-out failed, whoever is at fault, and each change would be a post."""
    state = StatusState.FAILURE if status.state is StatusState.ERROR else status.state
    return replace(status, context=f"{DEPLOYMENT_PREFIX}{environment}", state=state, details=None)
