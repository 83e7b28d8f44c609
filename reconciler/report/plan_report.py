"""What a plan of a proposed commit says on its pull request: a check `catwalk/plan`, and the text of a comment. Pure.

The plan's digest stands in the one line, because another plan with the same counts is news. Everything is made of what
plans hold, which is never a secret; what the author wrote is shown as code.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from reconciler.core.action_words import summary as words
from reconciler.core.actions import Action, Create, CreateApp, DestroyApp, FieldChange, Plan, Update
from reconciler.core.cost import PRICES_AS_OF
from reconciler.core.problems import Problem
from reconciler.core.proposals import ProposedPlan
from reconciler.report.details import CheckDetails, code_span, cut_markdown, table_row
from reconciler.report.statuses import CommitStatus, StatusState
from reconciler.report.text import counted, one_line, with_tail
from reconciler.report.wording import annotations_of, told_problems

PLAN: Final = "catwalk/plan"
LONGEST_IN_THE_OPEN: Final = 30
"""Lines of a plan in a comment; a longer one is folded away."""
LONGEST_VALUE: Final = 200
"""Characters of a field's value."""
_SIGNS: Final = {"+": "add", "~": "change", "-": "remove"}


def begun_status(sha: str, *, target_url: str = "") -> CommitStatus:
    """That a proposed commit is being planned."""
    return CommitStatus(
        sha=sha, context=PLAN, state=StatusState.PENDING, description="being planned", target_url=target_url
    )


def failed_status(sha: str, problem: Problem, *, target_url: str = "") -> CommitStatus:
    """That a proposed commit cannot be planned, which is not the commit's fault."""
    return CommitStatus(
        sha=sha, context=PLAN, state=StatusState.ERROR, description=one_line(str(problem)), target_url=target_url
    )


def plan_status(planned: ProposedPlan, *, target_url: str = "", directory: str = "") -> CommitStatus:
    """That a proposed commit can be applied and what that would do, or why it would be refused."""
    plan = planned.plan
    return CommitStatus(
        sha=planned.revision.commit,
        context=PLAN,
        state=StatusState.SUCCESS if planned.acceptable else StatusState.FAILURE,
        description=_refusal(planned.problems) if planned.problems else _line(planned),
        target_url=target_url,
        details=CheckDetails(
            summary=cut_markdown("\n\n".join(_body(planned))),
            annotations=annotations_of((*planned.problems, *planned.warnings), directory),
            external_id=plan.digest if plan is not None else "",
        ),
    )


def plan_comment(planned: ProposedPlan, *, target_url: str = "") -> str:
    """The text of the comment: what would be done, folded away where it is long, what it costs, and what is wrong."""
    verdict = _counts(planned.plan) if planned.plan is not None else "refused"
    heading = f"### Catwalk plan for {code_span(planned.revision.short)}: {verdict}"
    base = f"\n\nCompared with {code_span(planned.base.short)}, which is in force." if planned.base else ""
    link = f"\n\n[The plan on the dashboard]({target_url})" if target_url else ""
    return f"{heading}{base}\n\n" + "\n\n".join(_body(planned, folds=True)) + link


def _body(planned: ProposedPlan, *, folds: bool = False) -> Iterator[str]:
    for title, problems in (("Problems", planned.problems), ("Warnings", planned.warnings)):
        for told in told_problems(problems):
            yield f"#### {title}\n\n{told}"
    if planned.plan is None:
        return
    text = _plan_text(planned.plan)
    if folds and text.count("\n") >= LONGEST_IN_THE_OPEN:
        text = f"<details><summary>Show the plan</summary>\n\n{cut_markdown(text, most_bytes=50_000)}\n\n</details>"
    yield text
    yield _cost_table(planned)


def _cost_table(planned: ProposedPlan) -> str:
    before, after = planned.cost_before, planned.cost_after
    rows = [
        table_row("a month, all awake", "before", "after", "difference"),
        table_row("---", "---:", "---:", "---:"),
        table_row("on Fly", _dollars(before.awake), _dollars(after.awake), _difference(planned)),
    ]
    unpriced = f" Without a price: {', '.join(map(code_span, after.unpriced))}." if after.unpriced else ""
    return "\n".join(rows) + f"\n\nAn estimate by prices of {PRICES_AS_OF}; servers that sleep cost less.{unpriced}"


def _line(planned: ProposedPlan) -> str:
    """The counts, the money, and the plan's digest, which survives the cut."""
    assert planned.plan is not None
    change = round(planned.cost_after.awake - planned.cost_before.awake, 2)
    money = f"; {_difference(planned)} a month" if change else ""
    return with_tail(f"{_counts(planned.plan)}{money}", f" (plan {planned.plan.digest[:7]})")


def _dollars(amount: float) -> str:
    return f"${amount:.2f}"


def _difference(planned: ProposedPlan) -> str:
    change = round(planned.cost_after.awake - planned.cost_before.awake, 2)
    return f"{'-' if change < 0 else '+'}{_dollars(abs(change))}"


def _refusal(problems: Sequence[Problem]) -> str:
    others = f" (+{len(problems) - 1} more)" if len(problems) > 1 else ""
    return with_tail(str(problems[0]), others)


def _counts(plan: Plan) -> str:
    """`1 to add, 2 to change, 1 to remove`, in servers, as a reader counts them."""
    signs = [_sign(actions) for actions in _by_server(plan).values()]
    told = [f"{signs.count(sign)} to {verb}" for sign, verb in _SIGNS.items() if sign in signs]
    told += [f"{counted(len(plan.held), 'thing')} held"] if plan.held else []
    told += ["a removal to confirm"] if plan.prune is not None else []
    return ", ".join(told) or "no changes"


def _plan_text(plan: Plan) -> str:
    """Server by server: what happens to it, and which fields change."""
    lines = [line for server, actions in sorted(_by_server(plan).items()) for line in _server_lines(server, actions)]
    lines += [f"- held: {code_span(held.server)}: {code_span(f'{held.summary}: {held.reason}')}" for held in plan.held]
    if plan.prune is not None:
        apps = ", ".join(code_span(app) for app in plan.prune.apps)
        lines.append(f"- nothing is removed until somebody agrees: {code_span(plan.prune.reason)}: {apps}")
    return "\n".join(lines) or "Nothing is to be done."


def _by_server(plan: Plan) -> dict[str, list[Action]]:
    found: dict[str, list[Action]] = {}
    for action in (*plan.actions, *(waiting.action for waiting in plan.deferred)):
        found.setdefault(action.server, []).append(action)
    return found


def _sign(actions: Sequence[Action]) -> str:
    if any(isinstance(action, DestroyApp) for action in actions):
        return "-"
    return "+" if any(isinstance(action, CreateApp) for action in actions) else "~"


def _server_lines(server: str, actions: Sequence[Action]) -> Iterator[str]:
    yield f"- **{_SIGNS[_sign(actions)]}** {code_span(server)}"
    yield from (f"  - {code_span(words(action))}: {code_span(action.reason)}" for action in actions)
    changes = [change for action in actions if isinstance(action, Create | Update) for change in action.changes]
    yield from (f"  - {_told_change(change)}" for change in dict.fromkeys(changes))


def _told_change(change: FieldChange) -> str:
    before, after = (
        code_span(value[:LONGEST_VALUE]) if value else "(absent)" for value in (change.before, change.after)
    )
    return f"{code_span(change.path)}: {before} → {after}"
