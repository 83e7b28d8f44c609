"""The events of a run for a person: one line a change of state, with colour where the terminal has it."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, assert_never

from rich.console import Console
from rich.text import Text

from reconciler.cli.plan_text import summary as plan_summary
from reconciler.cli.problems import problem_text
from reconciler.core.action_words import summary as action_summary
from reconciler.core.problems import Problem
from reconciler.core.types import OutcomeKind, ServerState, ServerStatus
from reconciler.loop.progress import (
    ActionFinished,
    ActionStarted,
    PassFinished,
    PassStarted,
    PlanMade,
    ProgressEvent,
    RevisionAccepted,
    RevisionRefused,
    ServerChanged,
    ServerRemoved,
    WarningsChanged,
)

STATE_STYLES: Final = {
    ServerState.PENDING: "dim",
    ServerState.INSTALLING: "cyan",
    ServerState.STARTING: "cyan",
    ServerState.READY: "green",
    ServerState.IDLE: "blue",
    ServerState.DEGRADED: "yellow",
    ServerState.FAILED: "red",
    ServerState.HELD: "yellow",
    ServerState.SUSPENDED: "dim",
}
NAME_WIDTH: Final = 14
STATE_WIDTH: Final = 10


class TextProgress:
    """Prints what a person wants to know, and keeps quiet about the rest."""

    def __init__(self, console: Console, now: Callable[[], datetime]) -> None:
        self._console = console
        self._now = now

    def on_event(self, event: ProgressEvent) -> None:
        match event:
            case PassStarted() | PassFinished() | ActionStarted():
                return
            case RevisionAccepted():
                revision = event.revision
                self._say("fleet", "revision", f"{revision.branch} {revision.short} {revision.subject}", "cyan")
            case RevisionRefused():
                self._refuse(event)
            case WarningsChanged():
                self._warn(event.added)
            case PlanMade():
                self._say("fleet", "plan", plan_summary(event.plan), "cyan")
            case ActionFinished():
                self._action(event)
            case ServerChanged():
                self._server(event.status)
            case ServerRemoved():
                self._say(event.server, "removed", "", "dim")
            case _:
                assert_never(event)

    def _server(self, status: ServerStatus) -> None:
        self._say(status.server, status.state, status_detail(status), STATE_STYLES[status.state])

    def _action(self, event: ActionFinished) -> None:
        """Only what failed or came out otherwise than asked: the states of the servers tell the rest."""
        outcome = event.outcome
        if outcome.kind is OutcomeKind.FAILED:
            reason = str(outcome.problem) if outcome.problem else outcome.detail
            self._say(outcome.action.server, "failed", f"{action_summary(outcome.action)}: {reason}", "red")

    def _refuse(self, event: RevisionRefused) -> None:
        commit = event.revision.short if event.revision else "the source"
        stays = f"{event.in_force.short} stays in force" if event.in_force else "waiting for a commit that mends it"
        self._say("fleet", "refused", f"{commit} cannot be used; {stays}", "red")
        for problem in event.problems:
            self._console.print(problem_text(problem), soft_wrap=True)

    def _warn(self, problems: tuple[Problem, ...]) -> None:
        for problem in problems:
            self._say(problem.server or "fleet", "warning", str(problem), "yellow")

    def _say(self, subject: str, word: str, detail: str, style: str) -> None:
        line = Text.assemble(
            (f"{self._now():%H:%M:%S}  ", "dim"),
            (f"{subject:<{NAME_WIDTH}} ", "bold"),
            (f"{word:<{STATE_WIDTH}} ", style),
            detail,
        )
        self._console.print(line, soft_wrap=True)


def status_detail(status: ServerStatus) -> str:
    """What stands behind the state: tools of a server that is well, cause and text of one that is not."""
    if status.state is ServerState.READY:
        return f"{status.package}, {len(status.tools)} tools"
    cause = f"{status.cause}: " if status.cause else ""
    hint = f" (fix: {status.problem.hint})" if status.problem and status.problem.hint else ""
    return f"{cause}{status.detail}{hint}"
