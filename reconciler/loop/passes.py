"""One pass: gates, desired state, observe, plan, apply, observe, verdict, record, report.

A pass always ends in a `Pass` that is recorded and reported, also when it crashed; only cancellation goes through. It
never acts on what it could not read: without a revision in force nothing is planned, and without durable intents
nothing is applied. Passes of one fleet must not overlap; the queue sees to that.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, field

import structlog

from reconciler.core.actions import Pass, Plan
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.problems import Problem
from reconciler.core.types import Observation, Trigger
from reconciler.loop.desired import Desired
from reconciler.loop.draft import Draft
from reconciler.loop.faults import crashed, problems_of, stack_of
from reconciler.loop.progress import PassFinished, PassStarted
from reconciler.loop.reading import DesiredReader
from reconciler.loop.rollout import RollOut
from reconciler.loop.setup import PassSettings, Ports
from reconciler.loop.signals import Signals
from reconciler.loop.tracing import Step, span

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.loop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a pass would do now. Nothing was changed to find out."""

    plan: Plan | None
    """None when no revision can be used; `problems` say why."""
    manifests: ManifestSet | None
    problems: tuple[Problem, ...] = ()
    """Why servers are blocked, or why the newest revision is not the one that was planned."""
    warnings: tuple[Problem, ...] = ()
    observation: Observation = field(default_factory=Observation)


class Reconciler:
    """Brings one fleet to what its source says, one pass at a time."""

    def __init__(self, ports: Ports, settings: PassSettings) -> None:
        self._ports = ports
        self._reader = DesiredReader(ports, settings)
        self._roll_out = RollOut(ports, settings, self._reader)

    async def run_pass(self, trigger: Trigger, *, signals: Signals | None = None, expected_digest: str = "") -> Pass:
        """Runs one pass to its end and tells what came of it. Every failure is in the result.

        Args:
            trigger: why; a health pass reads the source again only if something about it was unsettled, and a command
                tries again what is held.
            signals: what may cut the pass short; nothing does if there are none.
            expected_digest: the digest of the plan that somebody agreed to; another plan is not applied.
        """
        draft = Draft(
            trigger=trigger,
            started_at=self._ports.clock.now(),
            signals=signals or Signals(),
            expected_digest=expected_digest,
        )
        with span(Step.PASS, trigger=trigger.value) as told:
            await self._guard(draft, self._work(draft))
            await self._guard(draft, self._record(draft))
            await self._guard(draft, self._report(draft))
            finished = draft.finish(self._ports.clock.now())
            told.note(number=finished.number, settled=finished.settled, problems=len(finished.problems))
        self._ports.progress.on_event(PassFinished(finished=finished))
        return finished

    @property
    def in_force(self) -> Desired | None:
        """The desired state that the last pass read; none before the first one."""
        return self._reader.in_force

    async def preview(self) -> Preview:
        """The plan of now, without applying or recording anything.

        Raises:
            CatwalkError: the fleet could not be observed, or the memory not be read.
        """
        desired = await self._reader.read(Trigger.COMMAND, look_only=True)
        if desired.accepted is None:
            return Preview(plan=None, manifests=None, problems=desired.problems)
        observation = await self._ports.fleet.observe()
        return Preview(
            plan=await self._roll_out.plan(desired, observation),
            manifests=desired.accepted.manifests,
            problems=desired.problems,
            warnings=desired.warnings,
            observation=observation,
        )

    async def _guard(self, draft: Draft, step: Awaitable[None]) -> None:
        """Turns whatever a step raises into problems of the pass."""
        try:
            await step
        except Exception as error:  # noqa: BLE001  # The edge of the loop: a pass that crashed is still reported.
            problems = problems_of(error)
            draft.problems.extend(problem for problem in problems if problem not in draft.problems)
            if crashed(problems):
                log.error("pass-crashed", number=draft.number, fault=type(error).__name__, stack=stack_of(error))

    async def _work(self, draft: Draft) -> None:
        draft.statuses = tuple((await self._roll_out.health.last()).values())
        draft.number = await self._ports.memory.next_number()
        started = PassStarted(number=draft.number, trigger=draft.trigger, at=draft.started_at)
        self._ports.progress.on_event(started)
        for gate in self._ports.gates:
            await gate.check()
        with span(Step.READ):
            draft.desired = await self._reader.read(draft.trigger, retry_held=draft.trigger is Trigger.COMMAND)
        if draft.desired.accepted is not None:
            await self._roll_out.run(draft, draft.desired)

    async def _report(self, draft: Draft) -> None:
        with span(Step.REPORT):
            await self._ports.reporter.report(draft.finish(self._ports.clock.now()))

    async def _record(self, draft: Draft) -> None:
        if draft.number:
            await self._ports.memory.record_pass(draft.finish(self._ports.clock.now()))
