"""From plans and passes to documents. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from reconciler.core.action_words import KINDS, summary
from reconciler.core.actions import Action, Create, FieldChange, Outcome, Pass, Plan, PruneRequest, Update
from reconciler.core.problems import Problem
from reconciler.core.types import OutcomeKind, Revision
from reconciler.loop.ports import PassSummary
from reconciler.web.documents import (
    ActionDocument,
    DeferredDocument,
    Document,
    FieldChangeDocument,
    HeldDocument,
    PassDocument,
    PassSummaryDocument,
    ProblemDocument,
    PruneRequestDocument,
    RevisionReference,
)

Tried = tuple[Action, Outcome | None]

LONGEST_VALUE: Final = 400
"""Characters of a field's value on a page. Whole files can be values; the commit shows them better."""


def problem_document(problem: Problem) -> ProblemDocument:
    place = problem.location
    return ProblemDocument(
        code=problem.code,
        message=problem.message,
        hint=problem.hint,
        remedy=problem.remedy,
        server=problem.server,
        file=place.file if place else None,
        line=place.line if place else None,
        column=place.column if place else None,
    )


def revision_reference(revision: Revision) -> RevisionReference:
    return RevisionReference(
        commit=revision.commit, short=revision.short, branch=revision.branch, subject=revision.subject
    )


def pass_summary(line: PassSummary) -> PassSummaryDocument:
    revision = Revision(commit=line.commit, branch=line.branch, source="", subject=line.subject)
    return PassSummaryDocument(
        number=line.number,
        trigger=line.trigger,
        started_at=line.started_at,
        finished_at=line.finished_at,
        revision=revision_reference(revision) if line.commit else None,
        settled=line.settled,
        actions=line.actions,
        failed=line.failed,
        problems=line.problems,
    )


def pass_document(finished: Pass, most_actions: int | None = None) -> PassDocument:
    """A pass with the first of its actions; all of them where no number is given."""
    plan = finished.plan
    held = plan.held if plan else ()
    actions = _with_outcomes(plan, finished.outcomes) if plan else []
    return PassDocument(
        number=finished.number,
        trigger=finished.trigger,
        started_at=finished.started_at,
        finished_at=finished.finished_at,
        plan_digest=plan.digest if plan else "",
        actions=[_action(action, outcome) for action, outcome in _first(actions, most_actions)],
        action_count=len(actions),
        deferred=_deferred(plan, finished.outcomes)[:most_actions] if plan else [],
        held=[HeldDocument(server=item.server, summary=item.summary, reason=item.reason) for item in held],
        prune=_prune(plan.prune) if plan and plan.prune else None,
        unchanged=list(plan.unchanged) if plan else [],
    )


class PlanDocument(Document):
    """A plan that was not carried out."""

    digest: str
    actions: list[ActionDocument]
    action_count: int = 0
    """How many there are; a page shows the first."""
    deferred: list[DeferredDocument]
    """What follows when what it waits for has come."""
    held: list[HeldDocument]
    prune: PruneRequestDocument | None
    unchanged: list[str]


def plan_document(plan: Plan, most_actions: int | None = None) -> PlanDocument:
    """A plan with the first of its actions; all of them where no number is given."""
    return PlanDocument(
        digest=plan.digest,
        actions=[_action(action, None) for action in plan.actions[:most_actions]],
        action_count=len(plan.actions),
        deferred=_deferred(plan, ())[:most_actions],
        held=[HeldDocument(server=item.server, summary=item.summary, reason=item.reason) for item in plan.held],
        prune=_prune(plan.prune) if plan.prune else None,
        unchanged=list(plan.unchanged),
    )


def _with_outcomes(plan: Plan, outcomes: Sequence[Outcome]) -> list[Tried]:
    """Actions are values, so an outcome finds its action by equality, also after both came back from a store.

    A pass may go through several stages: what followed the plan is known by its outcome alone.
    """
    found, planned = _Finder(outcome.action for outcome in outcomes), _Finder(plan.actions)
    followed = [outcome.action for outcome in outcomes if planned.place(outcome.action) is None]
    every = (*plan.actions, *followed)
    places = [found.place(action) for action in every]
    return [(action, None if place is None else outcomes[place]) for action, place in zip(every, places, strict=True)]


class _Finder:
    """Finds equal actions among thousands: comparing those of one server costs less than hashing all of each."""

    def __init__(self, actions: Iterable[Action]) -> None:
        self._by_server: dict[tuple[type[Action], str], list[tuple[int, Action]]] = {}
        for place, action in enumerate(actions):
            self._by_server.setdefault((type(action), action.server), []).append((place, action))

    def place(self, action: Action) -> int | None:
        """Of the last one that is equal; none where there is none."""
        alike = self._by_server.get((type(action), action.server), [])
        return next((place for place, known in reversed(alike) if known == action), None)


def _first(actions: list[Tried], most: int | None) -> list[Tried]:
    """As many as there is room for; where that is not all, what failed comes first."""
    if most is None or len(actions) <= most:
        return actions
    return sorted(actions, key=lambda pair: pair[1] is None or pair[1].kind is not OutcomeKind.FAILED)[:most]


def _deferred(plan: Plan, outcomes: Sequence[Outcome]) -> list[DeferredDocument]:
    done = {outcome.action for outcome in outcomes}
    return [
        DeferredDocument(
            kind=KINDS[type(waiting.action)],
            server=waiting.action.server,
            summary=summary(waiting.action),
            reason=waiting.action.reason,
            changes=_changes(waiting.action),
            until=waiting.until,
            not_before=waiting.not_before,
        )
        for waiting in plan.deferred
        if waiting.action not in done
    ]


def _prune(request: PruneRequest) -> PruneRequestDocument:
    return PruneRequestDocument(
        digest=request.digest, apps=list(request.apps), reason=request.reason, command=request.command
    )


def _action(action: Action, outcome: Outcome | None) -> ActionDocument:
    problem = outcome.problem if outcome else None
    return ActionDocument(
        kind=KINDS[type(action)],
        server=action.server,
        summary=summary(action),
        reason=action.reason,
        changes=_changes(action),
        outcome=outcome.kind if outcome else None,
        outcome_detail=outcome.detail if outcome else "",
        problem=problem_document(problem) if problem else None,
    )


def _changes(action: Action) -> list[FieldChangeDocument]:
    return [_change(change) for change in action.changes] if isinstance(action, Create | Update) else []


def _change(change: FieldChange) -> FieldChangeDocument:
    return FieldChangeDocument(path=change.path, before=_cut(change.before), after=_cut(change.after))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
