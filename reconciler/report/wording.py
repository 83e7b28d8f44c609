"""What check runs tell besides the one line: the plan, what came of it, why a server is unwell, with its log. Pure.

All of it may be read by everybody who may read the repository. So it is made of what plans and verdicts say, of texts
that have passed redaction, and whatever a server or a registry wrote is shown as code, never as Markdown.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from reconciler.core.action_words import summary as words_of
from reconciler.core.actions import Outcome, Pass, Plan
from reconciler.core.log_causes import Explanation, explain
from reconciler.core.problems import Problem, Remedy
from reconciler.core.types import OutcomeKind, ServerStatus
from reconciler.report.details import (
    Annotation,
    AnnotationLevel,
    CheckDetails,
    code_block,
    code_span,
    cut_markdown,
    table_row,
)
from reconciler.report.statuses import HEALTH, SERVER_PREFIX, SYNC, CommitStatus, is_unwell
from reconciler.report.text import counted

LINES_SHOWN: Final = 40
"""Newest log lines of an unwell server: what follows is on the page of the server."""
LINES_READ: Final = 300
"""Newest log lines in which the cause is looked for."""
LONGEST_LINE: Final = 400
_TAIL_BYTES: Final = 12_000
_MARKS: Final = {
    OutcomeKind.APPLIED: "done",
    OutcomeKind.ADOPTED: "done before",
    OutcomeKind.FAILED: "**failed**",
    OutcomeKind.SKIPPED: "not tried",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """What is known beside a pass."""

    directory: str = ""
    """The followed directory inside the repository; empty for its root."""
    logs: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """The newest log lines of unwell servers, oldest first, redacted."""


def details_of(status: CommitStatus, finished: Pass, background: Background) -> CheckDetails | None:
    """What the check run of a status tells besides; none where the line says it all."""
    if status.context == SYNC:
        return _sync(status, finished, background)
    if status.context == HEALTH:
        return _health(status, finished.statuses, background)
    name = status.context.removeprefix(SERVER_PREFIX)
    server = next((one for one in finished.statuses if one.server == name), None)
    return None if server is None else _server(status, server, background)


def unwell_servers(news: Sequence[CommitStatus], finished: Pass) -> list[str]:
    """The servers whose trouble these statuses tell, by name."""
    unwell = sorted(status.server for status in finished.statuses if is_unwell(status))
    told = {status.context.removeprefix(SERVER_PREFIX) for status in news}
    return unwell if HEALTH in told else [server for server in unwell if server in told]


def plan_text(plan: Plan) -> str:
    """What a plan would do, in Markdown."""
    lines = [f"- {code_span(words_of(action))}: {code_span(action.reason)}" for action in plan.actions]
    lines += [f"- held: {code_span(held.summary)}: {code_span(held.reason)}" for held in plan.held]
    lines += [f"- later: {code_span(words_of(later.action))}: when {later.until}" for later in plan.deferred]
    return "\n".join(lines) or "Nothing is to be done."


def annotations_of(problems: Sequence[Problem], directory: str) -> tuple[Annotation, ...]:
    """A mark for each problem that has a place in the source."""
    return tuple(_annotation(problem, directory) for problem in problems if problem.location is not None)


def _annotation(problem: Problem, directory: str) -> Annotation:
    assert problem.location is not None
    hint = f" ({problem.hint})" if problem.hint else ""
    return Annotation(
        path=str(PurePosixPath(directory) / problem.location.file),
        line=max(problem.location.line, 1),
        message=f"{problem.message}{hint}",
        title=problem.code,
        level=AnnotationLevel.FAILURE if problem.remedy is Remedy.FIX_SOURCE else AnnotationLevel.WARNING,
    )


def _sync(status: CommitStatus, finished: Pass, background: Background) -> CheckDetails:
    problems = problems_of(finished)
    parts = [code_span(status.description), *told_problems(problems), *_told_plan(finished.plan)]
    return CheckDetails(
        summary=cut_markdown("\n\n".join(parts)),
        text=cut_markdown(_outcomes(finished.outcomes)) if finished.outcomes else "",
        annotations=annotations_of(problems, background.directory),
        external_id=finished.plan.digest if finished.plan is not None else "",
    )


def problems_of(finished: Pass) -> tuple[Problem, ...]:
    """Everything that went wrong in a pass, each once."""
    failed = [outcome.problem for outcome in finished.outcomes if outcome.problem is not None]
    unwell = [status.problem for status in finished.statuses if status.problem is not None]
    return tuple(dict.fromkeys([*finished.problems, *failed, *unwell]))


def told_problems(problems: Sequence[Problem]) -> Iterator[str]:
    """A list of the problems, if there are any."""
    if problems:
        yield "\n".join(f"- {code_span(str(problem))}" for problem in problems)


def _told_plan(plan: Plan | None) -> Iterator[str]:
    if plan is not None and not plan.empty:
        yield f"### Plan {code_span(plan.digest[:12])}: {counted(len(plan.actions), 'change')}\n\n{plan_text(plan)}"


def _outcomes(outcomes: Sequence[Outcome]) -> str:
    rows = [table_row("server", "change", "outcome"), table_row("---", "---", "---")]
    rows += [
        table_row(code_span(one.action.server), code_span(words_of(one.action)), _MARKS[one.kind]) for one in outcomes
    ]
    return "\n".join(rows)


def _health(status: CommitStatus, statuses: Sequence[ServerStatus], background: Background) -> CheckDetails:
    rows = [table_row("server", "state", "cause"), table_row("---", "---", "---")]
    for one in sorted(statuses, key=lambda status: status.server):
        cause = code_span(f"{one.cause}: {one.detail}" if one.cause else one.detail) if one.cause or one.detail else ""
        rows.append(table_row(code_span(one.server), str(one.state), cause))
    tails = [tail for one in statuses for tail in _tail(one.server, background)]
    return CheckDetails(
        summary=cut_markdown("\n".join([code_span(status.description), "", *rows])),
        text=cut_markdown("\n\n".join(tails)),
    )


def _server(status: CommitStatus, server: ServerStatus, background: Background) -> CheckDetails:
    facts = [("package", server.package), ("machine", server.machine_id), ("revision", server.revision)]
    told = [f"- {name}: {code_span(value)}" for name, value in facts if value]
    problems = [server.problem] if server.problem is not None else []
    return CheckDetails(
        summary=cut_markdown("\n".join([code_span(status.description), "", *told])),
        text=cut_markdown("\n\n".join(_tail(server.server, background))),
        annotations=annotations_of(problems, background.directory),
    )


def _tail(server: str, background: Background) -> Iterator[str]:
    lines = background.logs.get(server, ())
    if not lines:
        return
    shown = [line[:LONGEST_LINE] for line in lines[-LINES_SHOWN:]]
    parts = [f"### {code_span(server)}: log", *_told_explanation(explain(lines)), code_block("\n".join(shown))]
    yield cut_markdown("\n\n".join(parts), most_bytes=_TAIL_BYTES)


def _told_explanation(found: Explanation | None) -> Iterator[str]:
    if found is not None:
        yield f"**{found.cause}**: {code_span(found.line[:LONGEST_LINE])}"
        yield f"{found.fix}."
