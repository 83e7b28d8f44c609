"""One pass: gates, desired state, observe, plan, apply, observe, verdict, record, report.

A pass always ends in a `Pass` that is recorded and reported, also when it crashed; only cancellation goes through. It
never acts on what it could not read: without a revision in force nothing is planned, and without durable intents
nothing is applied. Passes of one fleet must not overlap; the queue sees to that.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import datetime

import anyio
import structlog

from reconciler.core.actions import Outcome, Pass, Plan
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.plan import plan
from reconciler.core.problems import Problem
from reconciler.core.types import Observation, ServerStatus, Snapshot, Trigger
from reconciler.errors import Refused
from reconciler.loop.apply import DONE, Applier, Order
from reconciler.loop.desired import Accepted, Desired
from reconciler.loop.faults import crashed, problems_of, stack_of
from reconciler.loop.health import HealthWindow
from reconciler.loop.progress import PassFinished, PassStarted, PlanMade
from reconciler.loop.reading import DesiredReader
from reconciler.loop.setup import PassSettings, Ports
from reconciler.loop.verdicts import Scene

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


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A pass while it runs: what is known so far, so that a crash in any step still leaves an honest record."""

    trigger: Trigger
    started_at: datetime
    woken: anyio.Event
    stopping: anyio.Event
    expected_digest: str
    number: int = 0
    desired: Desired | None = None
    plan: Plan | None = None
    outcomes: tuple[Outcome, ...] = ()
    statuses: tuple[ServerStatus, ...] = ()
    problems: list[Problem] = field(default_factory=list[Problem])

    def finish(self, now: datetime) -> Pass:
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
            outcomes=self.outcomes,
            statuses=self.statuses,
        )


class Reconciler:
    """Brings one fleet to what its source says, one pass at a time."""

    def __init__(self, ports: Ports, settings: PassSettings) -> None:
        self._ports = ports
        self._reader = DesiredReader(ports, settings)
        self._applier = Applier(ports.fleet, ports.memory, ports.progress, concurrency=settings.concurrency)
        self._health = HealthWindow(ports, settings)

    async def run_pass(
        self,
        trigger: Trigger,
        *,
        woken: anyio.Event | None = None,
        stopping: anyio.Event | None = None,
        expected_digest: str = "",
    ) -> Pass:
        """Runs one pass to its end and tells what came of it. Every failure is in the result.

        Args:
            trigger: why; a health pass reads the source again only if something about it was unsettled.
            woken: ends the health window early when it is set.
            stopping: keeps further actions from beginning when it is set. Those that have begun always end.
            expected_digest: the digest of the plan that somebody agreed to; another plan is not applied.
        """
        draft = _Draft(
            trigger=trigger,
            started_at=self._ports.clock.now(),
            woken=woken or anyio.Event(),
            stopping=stopping or anyio.Event(),
            expected_digest=expected_digest,
        )
        await self._guard(draft, self._work(draft))
        await self._guard(draft, self._record(draft))
        await self._guard(draft, self._ports.reporter.report(draft.finish(self._ports.clock.now())))
        finished = draft.finish(self._ports.clock.now())
        self._ports.progress.on_event(PassFinished(finished=finished))
        return finished

    async def preview(self) -> Preview:
        """The plan of now, without applying or recording anything.

        Raises:
            CatwalkError: the fleet could not be observed, or the memory not be read.
        """
        desired = await self._reader.read(Trigger.COMMAND)
        if desired.accepted is None:
            return Preview(plan=None, manifests=None, problems=desired.problems)
        observation = await self._ports.fleet.observe()
        return Preview(
            plan=await self._plan(desired, desired.accepted, observation),
            manifests=desired.accepted.manifests,
            problems=desired.problems,
            warnings=desired.warnings,
            observation=observation,
        )

    async def _guard(self, draft: _Draft, step: Awaitable[None]) -> None:
        """Turns whatever a step raises into problems of the pass."""
        try:
            await step
        except Exception as error:  # noqa: BLE001  # The edge of the loop: a pass that crashed is still reported.
            problems = problems_of(error)
            draft.problems.extend(problem for problem in problems if problem not in draft.problems)
            if crashed(problems):
                log.error("pass-crashed", number=draft.number, fault=type(error).__name__, stack=stack_of(error))

    async def _work(self, draft: _Draft) -> None:
        draft.statuses = tuple((await self._health.last()).values())
        draft.number = await self._ports.memory.next_number()
        started = PassStarted(number=draft.number, trigger=draft.trigger, at=draft.started_at)
        self._ports.progress.on_event(started)
        for gate in self._ports.gates:
            await gate.check()
        draft.desired = await self._reader.read(draft.trigger)
        if draft.desired.accepted is not None:
            await self._converge(draft, draft.desired, draft.desired.accepted)

    async def _converge(self, draft: _Draft, desired: Desired, accepted: Accepted) -> None:
        observation = await self._ports.fleet.observe()
        draft.plan = await self._plan(desired, accepted, observation)
        _check_digest(draft.plan, draft.expected_digest)
        await self._apply(draft, draft.plan, desired)
        await self._keep_good(draft, desired, accepted)
        if draft.outcomes:
            observation = await self._ports.fleet.observe()
        scene = Scene(
            desired=desired, observation=observation, outcomes=draft.outcomes, previous=await self._health.last()
        )
        draft.statuses = await self._health.watch(scene, draft.woken)

    async def _plan(self, desired: Desired, accepted: Accepted, observation: Observation) -> Plan:
        snapshot = Snapshot(
            fleet=accepted.manifests.fleet,
            revision=accepted.revision,
            desired=desired.resolved,
            observation=observation,
            blocked=desired.blocked,
            owned_apps=await self._ports.memory.owned_apps(),
        )
        return await anyio.to_thread.run_sync(plan, snapshot)

    async def _apply(self, draft: _Draft, made: Plan, desired: Desired) -> None:
        if made.empty:
            return
        self._ports.progress.on_event(PlanMade(plan=made))
        order = Order(
            number=draft.number,
            plan=made,
            revision=made.revision,
            secrets=desired.secrets,
            stopping=draft.stopping,
        )
        applied = await self._applier.apply(order)
        draft.outcomes = applied.outcomes
        draft.problems.extend(applied.problems)

    async def _keep_good(self, draft: _Draft, desired: Desired, accepted: Accepted) -> None:
        """A revision is good when its manifests were accepted and nothing of its plan failed or was skipped."""
        done = all(outcome.kind in DONE for outcome in draft.outcomes)
        if desired.refusal is None and done:
            await self._reader.keep_good(accepted)

    async def _record(self, draft: _Draft) -> None:
        if draft.number:
            await self._ports.memory.record_pass(draft.finish(self._ports.clock.now()))


def _check_digest(made: Plan, expected_digest: str) -> None:
    if expected_digest and made.digest != expected_digest:
        raise Refused(
            "plan-changed",
            f"the plan is no longer {expected_digest[:12]} but {made.digest[:12]}; nothing was applied",
            hint="read the new plan, then apply that one",
        )
