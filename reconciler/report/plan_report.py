"""What a plan of a proposed commit says on its pull request: a check `catwalk/plan`, and the text of a comment. Pure.

The plan's digest stands in the one line, because another plan with the same counts is news.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from reconciler.core.actions import Action, Create, Destroy, DestroyApp, Plan, Update
from reconciler.core.problems import Problem
from reconciler.report.details import CheckDetails, cut_markdown
from reconciler.report.statuses import CommitStatus, StatusState
from reconciler.report.text import counted, one_line, with_tail
from reconciler.report.wording import annotations_of, plan_text, told_problems

PLAN: Final = "catwalk/plan"
LONGEST_IN_THE_OPEN: Final = 30
"""Lines of a plan in a comment; a longer one is folded away."""


def plan_status(plan: Plan, *, target_url: str = "") -> CommitStatus:
    """That a proposed commit can be applied, and what applying it would do."""
    return CommitStatus(
        sha=plan.revision.commit,
        context=PLAN,
        state=StatusState.SUCCESS,
        description=with_tail(_counts(plan), f" (plan {plan.digest[:7]})"),
        target_url=target_url,
        details=CheckDetails(summary=cut_markdown(plan_text(plan)), external_id=plan.digest),
    )


def refused_plan(sha: str, problems: Sequence[Problem], *, target_url: str = "", directory: str = "") -> CommitStatus:
    """That a proposed commit would be refused, with every problem on its line."""
    others = f" (+{len(problems) - 1} more)" if len(problems) > 1 else ""
    return CommitStatus(
        sha=sha,
        context=PLAN,
        state=StatusState.FAILURE,
        description=with_tail(str(problems[0]), others) if problems else "it cannot be planned",
        target_url=target_url,
        details=CheckDetails(
            summary=cut_markdown("\n".join(told_problems(problems)) or "It cannot be planned."),
            annotations=annotations_of(problems, directory),
        ),
    )


def plan_comment(plan: Plan, *, target_url: str = "") -> str:
    """The text of the comment: what would be done, folded away where it is long, and how to do it."""
    text = plan_text(plan)
    heading = f"### Catwalk plan for `{plan.revision.short}`: {_counts(plan)}"
    if text.count("\n") >= LONGEST_IN_THE_OPEN:
        text = f"<details><summary>Show the plan</summary>\n\n{cut_markdown(text, most_bytes=50_000)}\n\n</details>"
    link = f"\n\n[Plan `{plan.digest[:7]}` on the dashboard]({target_url})" if target_url else ""
    return f"{heading}\n\n{text}{link}"


def _counts(plan: Plan) -> str:
    """`2 to create, 1 to update`: machines and apps, as a reader counts them."""
    kinds = Counter(word for action in plan.actions if (word := _word(action)))
    told = [f"{kinds[word]} to {word}" for word in ("create", "update", "destroy") if kinds[word]]
    others = len(plan.actions) - kinds.total()
    told += [counted(others, "other step")] if others else []
    told += [f"{len(plan.held)} held"] if plan.held else []
    return one_line(", ".join(told)) or "no changes"


def _word(action: Action) -> str:
    """What a person counts; the steps around it are counted together."""
    if isinstance(action, Create):
        return "create"
    if isinstance(action, Update):
        return "update"
    return "destroy" if isinstance(action, Destroy | DestroyApp) else ""
