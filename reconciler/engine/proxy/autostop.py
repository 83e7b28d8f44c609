"""The loop that puts idle machines to sleep: every tick at most one in each region of each app, as Fly Proxy does.

Decision and stop happen in one step of the event loop, so a request never meets a machine that was about to be stopped:
it finds one that is leaving, waits, and wakes it. Health checks do not pass the proxy and keep nothing awake.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from reconciler.engine.clock import NANOSECONDS, Clock
from reconciler.engine.config import Service
from reconciler.engine.history import Source
from reconciler.engine.inventory import Inventory
from reconciler.engine.logbook import LogBook, Origin
from reconciler.engine.operations import Operations
from reconciler.engine.proxy.candidates import Candidates
from reconciler.engine.proxy.idleness import Autostop, Started, spare
from reconciler.engine.proxy.loads import Loads
from reconciler.engine.proxy.routing import Readiness
from reconciler.engine.records import Goal, Machine, State
from reconciler.engine.refusals import Refusal
from reconciler.engine.settings import Timings

log = structlog.get_logger()
PRIMARY_REGION = "PRIMARY_REGION"
"""The variable by which Fly's tools tell a machine the primary region of its app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutostopLoop:
    inventory: Inventory
    operations: Operations
    candidates: Candidates
    loads: Loads
    clock: Clock
    logs: LogBook
    timings: Timings
    idle_after_s: Callable[[str], float | None]
    """From an app to its own idle time, where it has one."""

    async def run(self) -> None:
        """Makes a pass every `autostop_tick_s` until it is cancelled."""
        never = asyncio.Event()
        while True:
            await self.clock.wait(never, self.timings.autostop_tick_s)
            try:
                self.make_pass()
            except Exception:
                # The edge of the loop: a fault in one pass must not end the engine.
                log.exception("autostop-pass-failed")

    def make_pass(self) -> None:
        """Puts to sleep what is in excess now, at most one machine of an app in a region."""
        groups: defaultdict[tuple[str, str], list[Machine]] = defaultdict(list)
        for machine in self.inventory.machines():
            if machine.state is State.STARTED and machine.goal is Goal.RUN and not machine.cordoned:
                groups[machine.app, machine.region].append(machine)
        for (app, _), machines in groups.items():
            if not self.loads.is_awaited(app):
                self._relieve(machines)
        self.loads.keep_only(machine.id for machine in self.inventory.machines())

    def _relieve(self, machines: list[Machine]) -> None:
        chosen = spare([self._started(machine) for machine in machines])
        if chosen is None:
            return
        machine = next(one for one in machines if one.id == chosen.machine_id)
        try:
            self.operations.require_lease(machine, "")
            self._put_to_sleep(machine, chosen.autostop)
        except Refusal as refusal:
            # Somebody else is at work on it; there is another tick.
            log.debug("autostop-refused", machine=machine.id, reason=refusal.text)
            return
        left = len(machines) - 1
        origin = Origin(app=machine.app, instance=machine.id, region=machine.region, provider="proxy")
        message = f"App {machine.app} has excess capacity, autostopping machine {machine.id}."
        self.logs.write(origin, f"{message} {left} out of {len(machines)} machines left running")

    def _put_to_sleep(self, machine: Machine, how: Autostop) -> None:
        """A machine that cannot be suspended is stopped instead, as on Fly."""
        if how is Autostop.SUSPEND:
            try:
                self.operations.suspend(machine, Source.PROXY)
            except Refusal as refusal:
                log.debug("suspend-refused", machine=machine.id, reason=refusal.text)
            else:
                return
        self.operations.stop(machine, source=Source.PROXY)

    def _started(self, machine: Machine) -> Started:
        candidate = self.candidates.candidate(machine)
        busy = candidate.load > 0 or self.loads.requests(machine.id) > 0
        since_ns = max(self.loads.active_ns(machine.id), machine.started_ns)
        rested = self.clock.now_ns() - since_ns >= self._idle_after_s(machine.app) * NANOSECONDS
        services = machine.config.services or ()
        return Started(
            machine_id=machine.id,
            is_over_soft=candidate.is_over_soft,
            is_idle=rested and not busy,
            is_ready=candidate.readiness is Readiness.READY,
            autostop=_autostop(services),
            least_running=max(_least_running(services), default=0) if self._is_primary(machine) else 0,
        )

    def _idle_after_s(self, app: str) -> float:
        own_s = self.idle_after_s(app)
        return self.timings.autostop_idle_s if own_s is None else own_s

    def _is_primary(self, machine: Machine) -> bool:
        """Without a word about it, the region of the app's first machine is the primary one."""
        named = (machine.config.env or {}).get(PRIMARY_REGION)
        first = next(self.inventory.machines_of(machine.app))
        return machine.region == (named or first.region)


def _autostop(services: tuple[Service, ...]) -> Autostop:
    """The gentlest wish of a machine's services counts; one without services is nobody's to stop."""
    wishes = {Autostop(service.autostop) for service in services}
    if not wishes or Autostop.OFF in wishes:
        return Autostop.OFF
    return Autostop.SUSPEND if wishes == {Autostop.SUSPEND} else Autostop.STOP


def _least_running(services: tuple[Service, ...]) -> Iterator[int]:
    return (service.min_machines_running or 0 for service in services)
