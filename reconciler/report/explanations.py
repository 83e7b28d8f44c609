"""Why servers are unwell, read from their logs, and remembered for as long as nothing about them changes.

A line of a log differs at every start by a time or an address, and every other word on a commit is a post. So the first
explanation of a trouble stays until the trouble is another one. Reading logs is dear: a few servers a pass, for a few
seconds.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import anyio
import structlog

from reconciler.core.actions import Pass
from reconciler.core.log_causes import explain
from reconciler.core.types import Cause, ServerStatus
from reconciler.errors import CatwalkError
from reconciler.loop.ports import Logs
from reconciler.report.statuses import is_unwell
from reconciler.report.wording import LINES_READ

MOST_A_PASS: Final = 5
"""Servers whose logs are read in one pass: a fleet-wide outage has one cause, and one log shows it."""
TIMEOUT_S: Final = 3.0
"""The longest that it holds a pass up."""
MOST_TRIES: Final = 3
"""Passes in which a log without an explanation is looked at again: logs come later than verdicts."""
VAGUE: Final = frozenset(
    {None, Cause.CRASH_LOOP, Cause.TIMEOUT, Cause.INSTALL_FAILED, Cause.NOT_AN_MCP_SERVER, Cause.UNREACHABLE}
)
"""Verdicts that say that it broke and not why."""

_log = structlog.get_logger(__name__)
_Trouble = tuple[object, ...]


class Explanations:
    """The explanations of one fleet."""

    def __init__(self, logs: Logs | None) -> None:
        self._logs = logs
        self._known: dict[str, tuple[_Trouble, str]] = {}
        self._tries: dict[str, tuple[_Trouble, int]] = {}

    async def of(self, finished: Pass) -> Mapping[str, str]:
        """What explains the trouble of unwell servers, by name, each in a line: `cause: the line of the log`."""
        unwell = {status.server: status for status in finished.statuses if is_unwell(status) and status.cause in VAGUE}
        self._known = {name: known for name, known in self._known.items() if _is_about(known[0], unwell.get(name))}
        self._tries = {name: tried for name, tried in self._tries.items() if _is_about(tried[0], unwell.get(name))}
        if self._logs is not None and finished.fleet:
            waiting = [status for name, status in sorted(unwell.items()) if self._is_due(name)]
            with anyio.move_on_after(TIMEOUT_S):
                for status in waiting[:MOST_A_PASS]:
                    await self._look(status, finished.fleet, self._logs)
        return {name: text for name, (_, text) in self._known.items()}

    def _is_due(self, name: str) -> bool:
        return name not in self._known and self._tries.get(name, ((), 0))[1] < MOST_TRIES

    async def _look(self, status: ServerStatus, fleet: str, logs: Logs) -> None:
        trouble = _trouble(status)
        self._tries[status.server] = (trouble, self._tries.get(status.server, ((), 0))[1] + 1)
        try:
            lines = await logs.recent(f"{fleet}-{status.server}", limit=LINES_READ)
        except CatwalkError as fault:
            _log.info("log_unavailable", server=status.server, problem=str(fault))
            return
        if (text := _explained([line.message for line in lines])) is not None:
            self._known[status.server] = (trouble, text)


def _explained(lines: Sequence[str]) -> str | None:
    found = explain(lines)
    return None if found is None else f"{found.cause}: {found.line}"


def _trouble(status: ServerStatus) -> _Trouble:
    return status.state, status.cause, status.detail, status.revision


def _is_about(trouble: _Trouble, status: ServerStatus | None) -> bool:
    return status is not None and trouble == _trouble(status)
