"""A pass while it runs: what is known so far, so that a crash in any step still leaves an honest record."""

from dataclasses import dataclass, field
from datetime import datetime

from reconciler.core.actions import Create, Deferred, DestroyApp, Outcome, Pass, Plan
from reconciler.core.problems import Problem
from reconciler.core.types import OutcomeKind, ServerStatus, Trigger
from reconciler.loop.apply import DONE
from reconciler.loop.desired import Desired
from reconciler.loop.signals import Signals


@dataclass(slots=True, kw_only=True)
class Draft:
    """What a pass has come to."""

    trigger: Trigger
    started_at: datetime
    signals: Signals
    expected_digest: str
    number: int = 0
    desired: Desired | None = None
    plan: Plan | None = None
    """The plan of the first stage, which tells the whole change: what is done at once and what follows when."""
    outcomes: dict[str, tuple[Outcome, ...]] = field(default_factory=dict[str, tuple[Outcome, ...]])
    """By app. An action that failed is forgotten when a later stage of the same pass made up for it."""
    waiting: tuple[Deferred, ...] = ()
    """What waits in the newest plan."""
    leaving_apps: frozenset[str] = frozenset()
    """Apps whose removal was planned in this pass, within the budget or by a person's word."""
    statuses: tuple[ServerStatus, ...] = ()
    problems: list[Problem] = field(default_factory=list[Problem])

    def take(self, made: Plan) -> None:
        """Learns from the newest plan what waits and what leaves."""
        self.waiting = made.deferred
        planned = (*made.actions, *(waiting.action for waiting in made.deferred))
        self.leaving_apps |= {action.app for action in planned if isinstance(action, DestroyApp)}

    def add_outcomes(self, outcomes: tuple[Outcome, ...]) -> None:
        """Takes in what a stage came to."""
        apps = dict.fromkeys(outcome.action.app for outcome in outcomes)
        for app in apps:
            kept = tuple(outcome for outcome in self.outcomes.get(app, ()) if outcome.kind in DONE)
            self.outcomes[app] = (*kept, *(outcome for outcome in outcomes if outcome.action.app == app))

    @property
    def all_outcomes(self) -> tuple[Outcome, ...]:
        return tuple(outcome for found in self.outcomes.values() for outcome in found)

    @property
    def adopted(self) -> bool:
        """Whether machines existed that the plan did not know of: then there may be more to do than it says."""
        return any(
            outcome.kind is OutcomeKind.ADOPTED and isinstance(outcome.action, Create) for outcome in self.all_outcomes
        )

    def finish(self, now: datetime) -> Pass:
        """The record of the pass as it stands."""
        accepted = self.desired.accepted if self.desired else None
        return Pass(
            number=self.number,
            trigger=self.trigger,
            started_at=self.started_at,
            finished_at=now,
            fleet=accepted.manifests.fleet if accepted else "",
            revision=self.desired.looked_at if self.desired else None,
            applied_revision=accepted.revision if accepted else None,
            problems=(*(self.desired.problems if self.desired else ()), *self.problems),
            plan=self.plan,
            outcomes=self.all_outcomes,
            waiting=self.waiting,
            statuses=self.statuses,
            gateway=accepted.manifests.gateway if accepted else None,
        )
