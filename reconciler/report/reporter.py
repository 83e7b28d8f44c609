"""The `Reporter` port: one that writes to GitHub, and one that has nowhere to write.

Reporting never holds a pass up and never fails one. The wish is made durable and the outbox sends it in its own time;
the wiring runs `GitHubReporter.run` in its task group, and commands that end call `drain`.
"""

import structlog

from reconciler.core.actions import Pass
from reconciler.core.types import Revision
from reconciler.errors import CatwalkError
from reconciler.report.outbox import Outbox
from reconciler.report.statuses import CommitStatus, StatusState, commit_statuses, is_commit, is_superseded, superseded

_log = structlog.get_logger(__name__)


class NullReporter:
    """For a source that is not on GitHub, or for which there is no token."""

    async def report(self, finished: Pass) -> None:
        """Nothing to do: the dashboard and the command line tell the same."""


class GitHubReporter:
    """Writes what a pass found as commit statuses."""

    __slots__ = ("_outbox", "_public_url")

    def __init__(self, outbox: Outbox, *, public_url: str = "") -> None:
        """`public_url` is where readers of GitHub find the dashboard; empty when they cannot reach it."""
        self._outbox, self._public_url = outbox, public_url

    async def report(self, finished: Pass) -> None:
        """Puts into the outbox what should stand now; saying the same again changes nothing."""
        try:
            await self._outbox.want(await self._wanted(finished))
        except CatwalkError as fault:
            _log.error("report_failed", pass_number=finished.number, problem=str(fault))

    async def run(self) -> None:
        """Sends forever; ends only by cancellation."""
        await self._outbox.run()

    async def drain(self, *, timeout_s: float) -> bool:
        """Sends what waits, for at most `timeout_s`; gives whether all was said. The rest waits for the next run."""
        return await self._outbox.drain(timeout_s=timeout_s)

    async def _wanted(self, finished: Pass) -> list[CommitStatus]:
        standing = [letter.wanted for letter in await self._outbox.letters()]
        applied = finished.applied_revision
        reported = {status.context for status in standing if applied and status.sha == applied.commit}
        fresh = commit_statuses(finished, public_url=self._public_url, reported=reported)
        return [*_left_behind(standing, finished), *fresh]


def _left_behind(standing: list[CommitStatus], finished: Pass) -> list[CommitStatus]:
    """Statuses that wait for an answer on commits that no pass will look at again."""
    newest = finished.revision
    if newest is None or not is_commit(newest):
        return []
    current = {newest.commit, _commit_of(finished.applied_revision)}
    waiting = (status for status in standing if status.state is StatusState.PENDING and not is_superseded(status))
    return [superseded(status, by=newest) for status in waiting if status.sha not in current]


def _commit_of(revision: Revision | None) -> str:
    return revision.commit if revision else ""
