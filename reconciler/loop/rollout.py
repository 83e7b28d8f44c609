"""A roll-out: the stages of one plan, each after the one before was seen healthy, and the way back where one was not.

Nothing is remembered between stages but what can be observed: each begins with a plan of what is then true. So a
roll-out that is cut off at any point, by a newer commit, a stop or a kill, is simply gone on with by the next pass.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import anyio.to_thread
import structlog

from reconciler.core.actions import Plan
from reconciler.core.holds import GoodServer
from reconciler.core.plan import plan
from reconciler.core.rollback import has_arrived
from reconciler.core.setbacks import Setback
from reconciler.core.types import Observation, ServerState, ServerStatus, Snapshot, Trigger
from reconciler.errors import CatwalkError, Refused
from reconciler.loop.apply import DONE, Applier, Order
from reconciler.loop.cut_off import CutOff
from reconciler.loop.desired import Desired
from reconciler.loop.draft import Draft
from reconciler.loop.faults import stack_of
from reconciler.loop.health import HealthWindow
from reconciler.loop.loose_secrets import LooseSecrets
from reconciler.loop.progress import PlanMade
from reconciler.loop.reading import DesiredReader
from reconciler.loop.setup import PassSettings, Ports
from reconciler.loop.tracing import Step, span
from reconciler.loop.verdicts import Scene, machines_by_app, servers_tried

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.loop")

_IMPATIENT: Final = frozenset({Trigger.COMMAND, Trigger.COMMIT, Trigger.WEBHOOK})
_HOPELESS: Final = frozenset({ServerState.FAILED, ServerState.HELD, ServerState.SUSPENDED})
MOST_STAGES: Final = 200
"""A bound that no honest roll-out meets: the next pass goes on where this one ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watched:
    scene: Scene
    go_on: bool
    """Whether another stage is due."""


class RollOut:
    """Brings the fleet to what is desired, in stages."""

    def __init__(self, ports: Ports, settings: PassSettings, reader: DesiredReader) -> None:
        self._ports = ports
        self._settings = settings
        self._reader = reader
        self._applier = Applier(ports.fleet, ports.memory, ports.progress, concurrency=settings.servers_at_once)
        self.health = HealthWindow(ports, settings)
        self._loose_secrets = LooseSecrets(ports.loose_secrets)
        self._cut_off = CutOff(ports.intents, lists_lag_s=settings.lists_lag_s)
        self._agreed_apps: frozenset[str] = frozenset()
        """What the memory knew of agreed removals at the last plan."""

    async def run(self, draft: Draft, desired: Desired) -> None:
        """Plans, applies and watches until nothing is left to come, or until the pass is cut short.

        Raises:
            CatwalkError: the fleet or the memory could not be read, or the plan is not the one that was agreed to.
        """
        observation = await self._observe()
        scene = Scene(desired=desired, observation=observation, previous=await self.health.last())
        for _ in range(MOST_STAGES):
            made = await self._next(draft, scene)
            await self._agree(draft, made)
            draft.take(made)
            await self._keep_agreed(draft.leaving_apps, scene)
            if await self._apply(draft, made, scene.desired):
                scene = replace(scene, observation=await self._observe(glance=True))
            await self._keep_good(draft, scene.desired)
            with span(Step.WATCH):
                watched = await self._watch(draft, made, scene)
            scene = watched.scene
            if not watched.go_on:
                break
        await self._reader.keep_good_servers(_arrived(scene, draft.statuses))

    async def plan(
        self,
        desired: Desired,
        observation: Observation,
        *,
        agreed: frozenset[str] = frozenset(),
        retry_from: datetime | None = None,
    ) -> Plan:
        """What would be done now, and what after it.

        Args:
            desired: what the fleet is brought to.
            observation: what exists.
            agreed: apps whose removal an earlier stage has begun: the budget was asked then, or a person was.
            retry_from: what failed before this time waits no longer.

        Raises:
            CatwalkError: the memory does not answer.
        """
        assert desired.accepted is not None
        memory = self._ports.memory
        self._agreed_apps = await memory.agreed_apps()
        now = self._ports.clock.now()
        snapshot = Snapshot(
            fleet=desired.accepted.manifests.fleet,
            revision=desired.accepted.revision,
            desired=desired.resolved,
            observation=observation,
            blocked=desired.blocked,
            owned_apps=await memory.owned_apps(),
            now=now,
            setbacks=(*_due(await memory.setbacks(), retry_from), *await self._cut_off.setbacks(now)),
            loose_secrets=await self._loose_secrets.apps(),
            prune=desired.accepted.manifests.prune,
            confirmed_prunes=await memory.confirmed_prunes(),
            confirmed_apps=agreed | self._agreed_apps,
            former_dependencies=self._reader.former_dependencies,
            mute_machines=self.health.mute_machines,
            gone_back=desired.gone_back,
        )
        with span(Step.PLAN) as told:
            made = await anyio.to_thread.run_sync(plan, snapshot)
            told.note(actions=len(made.actions), deferred=len(made.deferred), held=len(made.held))
        return made

    async def _observe(self, *, glance: bool = False) -> Observation:
        """What exists now. Each pass begins with a full look, so that a tick finds whatever is unwell.

        Raises:
            CatwalkError: nothing could be read.
        """
        with span(Step.OBSERVE) as told:
            observation = await self._ports.fleet.observe(glance=glance)
            told.note(machines=len(observation.machines), complete=observation.complete)
        return observation

    async def _next(self, draft: Draft, scene: Scene) -> Plan:
        """The plan of the next stage. A new commit and a command try at once what failed before them."""
        retry_from = draft.started_at if draft.trigger in _IMPATIENT else None
        return await self.plan(scene.desired, scene.observation, agreed=draft.leaving_apps, retry_from=retry_from)

    async def _keep_agreed(self, leaving: frozenset[str], scene: Scene) -> None:
        """Remembers what leaves before it does, so that the next process ends what this one began.

        An app that is declared again is no longer meant, nor is one that is gone.

        Raises:
            CatwalkError: the memory does not answer; then nothing is removed.
        """
        seen, declared = scene.observation, {spec.app for spec in scene.desired.specs}
        agreed = (self._agreed_apps | leaving) - declared
        if seen.complete:
            agreed &= {app.name for app in seen.apps} | {machine.app for machine in seen.machines}
        if agreed != self._agreed_apps:
            await self._ports.memory.keep_agreed_apps(agreed)

    async def _agree(self, draft: Draft, made: Plan) -> None:
        """The first plan of a pass is the one that people see, and the one that was agreed to if any was."""
        if draft.plan is not None:
            return
        draft.plan = made
        _check_digest(made, draft.expected_digest)
        if made.actions:
            self._ports.progress.on_event(PlanMade(plan=made))
            await self._tell_beginning(draft)

    async def _tell_beginning(self, draft: Draft) -> None:
        """Readers learn of it before anything is done. What cannot be told stops nothing."""
        try:
            await self._ports.reporter.begin(draft.finish(self._ports.clock.now()))
        except Exception as error:  # noqa: BLE001  # A reporter that breaks must not keep a fleet from being repaired.
            log.error("beginning-not-told", fault=type(error).__name__, stack=stack_of(error))

    async def _apply(self, draft: Draft, made: Plan, desired: Desired) -> bool:
        """Whether anything was tried, so that the fleet is worth another look."""
        order = Order(
            number=draft.number,
            plan=made,
            revision=made.revision,
            secrets=desired.secrets,
            signals=draft.signals,
        )
        await self._loose_secrets.begin(made.actions)
        applied = await self._applier.apply(order)
        draft.add_outcomes(applied.outcomes)
        draft.problems.extend(applied.problems)
        await self._loose_secrets.end(applied.outcomes)
        return bool(applied.outcomes)

    async def _watch(self, draft: Draft, made: Plan, scene: Scene) -> _Watched:
        """Looks until another stage can begin, until nothing is left to come, or until the pass is cut short."""
        began_at = self._ports.clock.now()
        while True:
            setbacks = await self._ports.memory.setbacks()
            previous = await self.health.last()
            scene = replace(scene, outcomes=draft.all_outcomes, setbacks=setbacks, previous=previous)
            draft.statuses = await self.health.look(scene)
            if (gone_back := await self._send_back(draft, scene)) is not scene.desired:
                draft.desired = gone_back
                return _Watched(scene=replace(scene, desired=gone_back), go_on=True)
            if await self._can_go_on(draft, made, scene):
                return _Watched(scene=scene, go_on=True)
            coming = self.health.worth_waiting(scene.desired, draft.statuses)
            if not coming and not self._awaits(draft, scene.desired, began_at):
                return _Watched(scene=scene, go_on=False)
            if await self._ports.pause(draft.signals.woken, self._settings.look_again_s):
                return _Watched(scene=scene, go_on=False)
            scene = replace(scene, observation=await self._observe_again(scene))

    async def _send_back(self, draft: Draft, scene: Scene) -> Desired:
        """What is desired after servers went back whose new configuration has failed; often the same as before."""
        if draft.signals.reason_to_stop():
            return scene.desired
        tried = servers_tried(scene)
        return await self._reader.hold_failed(
            scene.desired, [status for status in draft.statuses if status.server in tried]
        )

    async def _can_go_on(self, draft: Draft, made: Plan, scene: Scene) -> bool:
        """Whether what waited in the plan can be done now, or what was not seen when it was made.

        Never while outcomes could not be recorded: without setbacks the same failure would be tried again at once.
        """
        if not (made.deferred or draft.adopted) or draft.problems or draft.signals.reason_to_stop():
            return False
        fresh = await self._next(draft, scene)
        draft.take(fresh)
        return bool(fresh.actions)

    def _awaits(self, draft: Draft, desired: Desired, began_at: datetime) -> bool:
        """Whether the plan waits for a server that may still become what it waits for.

        A verdict can run ahead of the plan: the list does not show a new machine yet, and the old one is well.
        """
        hopeless = {status.server for status in draft.statuses if status.state in _HOPELESS}
        awaited = {waiting.awaits for waiting in draft.waiting if waiting.awaits} - hopeless
        elapsed = self._ports.clock.now() - began_at
        patience = [server.spec.health.grace_s for server in desired.servers if server.spec.name in awaited]
        return elapsed.total_seconds() < max(patience, default=0.0)

    async def _observe_again(self, scene: Scene) -> Observation:
        """One look that fails in the middle of the window is no news about the servers."""
        try:
            return await self._observe(glance=True)
        except CatwalkError:
            return scene.observation

    async def _keep_good(self, draft: Draft, desired: Desired) -> None:
        """A revision is good when its manifests were accepted and nothing of its plan failed or was skipped."""
        done = all(outcome.kind in DONE for outcome in draft.all_outcomes)
        if desired.accepted is not None and desired.refusal is None and done:
            await self._reader.keep_good(desired.accepted)


def _due(setbacks: tuple[Setback, ...], retry_from: datetime | None) -> tuple[Setback, ...]:
    """Setbacks from before a time, their wait over. What they tell about a full host or region stays."""
    if retry_from is None:
        return setbacks
    return tuple(
        replace(found, not_before=retry_from) if found.failed_at is None or found.failed_at < retry_from else found
        for found in setbacks
    )


def _arrived(scene: Scene, statuses: tuple[ServerStatus, ...]) -> tuple[GoodServer, ...]:
    """The servers that were seen healthy with all their machines as the revision asks."""
    machines = machines_by_app(scene.desired, scene.observation)
    trials, accepted = scene.desired.trials, scene.desired.accepted
    assert accepted is not None
    found = [(trials[status.server].desired, status) for status in statuses if status.server in trials]
    return tuple(
        GoodServer(server=status.server, digest=desired.digest, revision=accepted.revision)
        for desired, status in found
        if desired is not None and has_arrived(desired, machines.get(desired.spec.app, ()), status)
    )


def _check_digest(made: Plan, expected_digest: str) -> None:
    if expected_digest and made.digest != expected_digest:
        raise Refused(
            "plan-changed",
            f"the plan is no longer {expected_digest[:12]} but {made.digest[:12]}; nothing was applied",
            hint="read the new plan, then apply that one",
        )
