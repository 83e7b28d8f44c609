"""Does what a plan says: servers side by side, the actions of one server in order, each intent durable before its act.

The first failure of a server skips the rest of that server and of no other. Once an action has begun it is never
interrupted by a newer revision: a half-done action is the one thing that no later pass can see.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import structlog

from reconciler.core.action_words import KINDS
from reconciler.core.actions import Action, Outcome, Plan
from reconciler.core.problems import Problem, Remedy
from reconciler.core.redact import Redactor
from reconciler.core.types import OutcomeKind, Revision
from reconciler.errors import CatwalkError
from reconciler.loop.concurrency import each
from reconciler.loop.faults import problems_of, stack_of
from reconciler.loop.ports import Fleet, Memory, ServerSecrets
from reconciler.loop.progress import ActionFinished, ActionStarted, Progress
from reconciler.loop.signals import Signals
from reconciler.loop.tracing import Step, span

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.loop")

DONE = frozenset({OutcomeKind.APPLIED, OutcomeKind.ADOPTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One plan with all that its actions need."""

    number: int
    plan: Plan
    revision: Revision
    secrets: Mapping[str, ServerSecrets] = field(repr=False)
    """By server. A server that is being removed needs none."""
    signals: Signals = field(default_factory=Signals)
    """Once one of them says so, actions that have begun end and no other begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    outcomes: tuple[Outcome, ...]
    """One for each action, servers in the order of the plan."""
    problems: tuple[Problem, ...] = ()
    """Outcomes that could not be recorded. What was done is done, and the next pass sees it."""


class Applier:
    """Applies plans through the door to the machines."""

    def __init__(self, fleet: Fleet, memory: Memory, progress: Progress, *, concurrency: int) -> None:
        self._fleet = fleet
        self._memory = memory
        self._progress = progress
        self._concurrency = concurrency

    async def apply(self, order: Order) -> Applied:
        """Applies every action of the plan or tells why not.

        Raises:
            CatwalkError: the intents could not be made durable; then nothing was done.
        """
        if order.plan.empty:
            return Applied(outcomes=())
        await self._memory.record_intents(order.number, order.plan)
        by_server: dict[str, list[Action]] = {}
        for action in order.plan.actions:
            by_server.setdefault(action.app, []).append(action)

        async def run(actions: list[Action]) -> Applied:
            return await self._apply_server(actions, order)

        parts = await each(list(by_server.values()), run, limit=self._concurrency)
        return Applied(
            outcomes=tuple(outcome for part in parts for outcome in part.outcomes),
            problems=tuple(problem for part in parts for problem in part.problems),
        )

    async def _apply_server(self, actions: list[Action], order: Order) -> Applied:
        outcomes: list[Outcome] = []
        problems: list[Problem] = []
        for action in actions:
            if reason := _reason_to_skip(outcomes, order):
                outcome = Outcome(action=action, kind=OutcomeKind.SKIPPED, detail=reason)
            else:
                outcome = await self._apply_one(action, order)
            outcomes.append(outcome)
            problems += await self._remember(order.number, outcome)
        return Applied(outcomes=tuple(outcomes), problems=tuple(problems))

    async def _apply_one(self, action: Action, order: Order) -> Outcome:
        self._progress.on_event(ActionStarted(action=action))
        secrets = order.secrets.get(action.server, {})
        with span(Step.APPLY, server=action.server, action=KINDS[type(action)]) as told:
            try:
                outcome = await self._fleet.apply(action, secrets=secrets, revision=order.revision)
            except Exception as error:  # noqa: BLE001  # One server's fault must not cancel the actions of the others.
                outcome = _failed(action, error)
            told.note(outcome=outcome.kind.value)
        return _redacted(outcome, Redactor(secrets.values()))

    async def _remember(self, number: int, outcome: Outcome) -> tuple[Problem, ...]:
        self._progress.on_event(ActionFinished(outcome=outcome))
        try:
            await self._memory.record_outcome(number, outcome)
        except CatwalkError as error:
            return problems_of(error)
        return ()


def _reason_to_skip(outcomes: list[Outcome], order: Order) -> str:
    """Empty when the next action of a server may begin."""
    if any(outcome.kind is OutcomeKind.FAILED for outcome in outcomes):
        return "an earlier action failed"
    return order.signals.reason_to_stop()


def _failed(action: Action, error: Exception) -> Outcome:
    problem = problems_of(error)[0]
    if problem.remedy is Remedy.REPORT:
        log.error("action-crashed", server=action.server, fault=type(error).__name__, stack=stack_of(error))
    problem = replace(problem, server=action.server)
    return Outcome(action=action, kind=OutcomeKind.FAILED, detail=problem.message, problem=problem)


def _redacted(outcome: Outcome, redact: Redactor) -> Outcome:
    """The Machines API may echo what it was sent, and the door may quote it."""
    problem = outcome.problem
    if problem is not None:
        problem = replace(problem, message=redact(problem.message), hint=redact(problem.hint))
    return replace(outcome, detail=redact(outcome.detail), problem=problem)
