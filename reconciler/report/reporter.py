"""The `Reporter` port: one that writes to GitHub, and one that has nowhere to write.

Reporting never fails a pass, and holds it up for a few seconds at most, to read logs. The wish is made durable and the
outbox sends it in its own time; the wiring runs `GitHubReporter.run` in its task group, and commands that end call
`drain`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import anyio
import structlog

from reconciler.core.actions import Pass
from reconciler.core.types import Revision, Trigger
from reconciler.errors import CatwalkError
from reconciler.loop.ports import Logs
from reconciler.report.explanations import Explanations
from reconciler.report.letters import key_of
from reconciler.report.outbox import Outbox
from reconciler.report.statuses import (
    CommitStatus,
    StatusState,
    beginning_statuses,
    commit_statuses,
    is_commit,
    is_deployment,
    is_superseded,
    superseded,
)
from reconciler.report.wording import LINES_READ, Background, details_of, unwell_servers

_log = structlog.get_logger(__name__)


class NullReporter:
    """For a source that is not on GitHub, or for which there is no token."""

    async def begin(self, begun: Pass) -> None:
        """Nothing to do, as for `report`."""

    async def report(self, finished: Pass) -> None:
        """Nothing to do: the dashboard and the command line tell the same."""


MOST_TAILS: Final = 5
"""Unwell servers whose logs are quoted: a fleet-wide outage has one cause, and one log shows it."""
TAILS_TIMEOUT_S: Final = 3.0
"""The longest that reporting holds a pass up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """How a reporter writes."""

    public_url: str = ""
    """Where readers of GitHub find the dashboard; empty when they cannot reach it."""
    detailed: bool = False
    """Whether there are check runs, which tell more than a line."""
    repeats: bool = False
    """Whether a pass that was asked for makes new runs though nothing changed: GitHub waits for one after "Re-run". Not
    for a command, which somebody may have put on a schedule."""
    directory: str = ""
    """The followed directory inside the repository; empty for its root."""
    logs: Logs | None = None
    """Where logs come from; none leaves them out."""


class GitHubReporter:
    """Writes what a pass found as commit statuses or check runs."""

    __slots__ = ("_explanations", "_outbox", "_settings")

    def __init__(
        self,
        outbox: Outbox,
        *,
        public_url: str = "",
        settings: ReportSettings | None = None,
        explanations: Explanations | None = None,
    ) -> None:
        self._outbox = outbox
        self._settings = settings or ReportSettings(public_url=public_url)
        self._explanations = explanations or Explanations(self._settings.logs)

    async def begin(self, begun: Pass) -> None:
        """Says of a commit on which nothing stands yet that it is being applied.

        Where something stands it stays until the pass has found out otherwise: drift that is repaired is no news about
        the commit, and a commit has few posts.
        """
        try:
            standing = {letter.key for letter in await self._outbox.letters()}
            wanted = beginning_statuses(begun, public_url=self._settings.public_url)
            await self._outbox.want([status for status in wanted if key_of(status) not in standing])
        except CatwalkError as fault:
            _log.error("report_failed", pass_number=begun.number, problem=str(fault))

    async def report(self, finished: Pass) -> None:
        """Puts into the outbox what should stand now; saying the same again changes nothing, unless a person asked."""
        asked = self._settings.repeats and finished.trigger is Trigger.COMMAND
        try:
            wanted = await self._wanted(finished)
            if self._settings.detailed:
                wanted = await self._with_details(wanted, finished, asked=asked)
            await self._outbox.want(wanted, again=asked)
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
        explained = await self._explanations.of(finished)
        fresh = commit_statuses(
            finished, public_url=self._settings.public_url, reported=reported, explanations=explained
        )
        return [*_left_behind(standing, finished), *fresh]

    async def _with_details(self, wanted: list[CommitStatus], finished: Pass, *, asked: bool) -> list[CommitStatus]:
        """Details for what is news, because most passes change nothing and logs are dear."""
        standing = {letter.key: letter.wanted for letter in await self._outbox.letters()}
        current = {_commit_of(finished.revision), _commit_of(finished.applied_revision)}
        fresh = [status for status in wanted if status.sha in current]
        news = [status for status in fresh if asked or standing.get(key_of(status)) != status]
        if not news:
            return wanted
        background = Background(directory=self._settings.directory, logs=await self._logs(news, finished))
        return [
            replace(status, details=details_of(status, finished, background)) if status in news else status
            for status in wanted
        ]

    async def _logs(self, news: Sequence[CommitStatus], finished: Pass) -> dict[str, list[str]]:
        """The logs of servers that the news is about; what cannot be read in time is left out."""
        found: dict[str, list[str]] = {}
        logs = self._settings.logs
        if logs is None or not finished.fleet:
            return found
        with anyio.move_on_after(TAILS_TIMEOUT_S):
            for server in unwell_servers(news, finished)[:MOST_TAILS]:
                try:
                    lines = await logs.recent(f"{finished.fleet}-{server}", limit=LINES_READ)
                except CatwalkError as fault:
                    _log.info("log_unavailable", server=server, problem=str(fault))
                    continue
                found[server] = [line.message for line in lines]
        return found


def _left_behind(standing: list[CommitStatus], finished: Pass) -> list[CommitStatus]:
    """Statuses that wait for an answer on commits that no pass will look at again; deployments end otherwise."""
    newest = finished.revision
    if newest is None or not is_commit(newest):
        return []
    current = {newest.commit, _commit_of(finished.applied_revision)}
    waiting = (status for status in standing if status.state is StatusState.PENDING and not is_superseded(status))
    left = (status for status in waiting if status.sha not in current and not is_deployment(status))
    return [superseded(status, by=newest) for status in left]


def _commit_of(revision: Revision | None) -> str:
    return revision.commit if revision else ""
