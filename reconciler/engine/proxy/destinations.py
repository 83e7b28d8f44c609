"""Carries out the routing decision: waits, wakes, or tells why there is no machine for a request."""

from dataclasses import dataclass
from typing import assert_never

from reconciler.engine.clock import NANOSECONDS, Clock
from reconciler.engine.inventory import Inventory
from reconciler.engine.keeper import Keeper
from reconciler.engine.logbook import LogBook, Origin
from reconciler.engine.operations import Operations
from reconciler.engine.proxy.candidates import Candidates
from reconciler.engine.proxy.routing import Demand, Hold, Nobody, Send, Wake, decide
from reconciler.engine.refusals import Refusal


class NoDestination(Exception):
    """No machine takes this request; the reason is in the app's log too."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"[{code}] {message}")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    machine_id: str
    port: int
    preferred_missed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
    inventory: Inventory
    keeper: Keeper
    operations: Operations
    candidates: Candidates
    clock: Clock
    logs: LogBook
    region: str
    wake_s: float

    async def find(self, app: str, demand: Demand) -> Destination:
        """A machine that is ready, waited for at most `wake_s`. Any number of callers start a sleeping one once.

        Raises:
            NoDestination: there is none, or none in time.
        """
        deadline_ns = self.clock.now_ns() + int(self.wake_s * NANOSECONDS)
        while True:
            found = self._look(app, demand)
            if found is not None:
                return found
            left_s = (deadline_ns - self.clock.now_ns()) / NANOSECONDS
            if left_s <= 0:
                raise self.refused(app, "PM03", f"machine was not ready within {self.wake_s:g} s")
            await self.clock.wait(self.inventory.next_change(app), left_s)

    def _look(self, app: str, demand: Demand) -> Destination | None:
        """One look; None means to look again after the next change."""
        if self.inventory.app(app) is None:
            raise NoDestination("PR03", f"no app {app}")
        decision = decide(self.candidates.of(app), demand)
        match decision:
            case Send():
                return self._endpoint(decision)
            case Wake():
                self._wake(app, decision.machine_id)
            case Hold():
                pass
            case Nobody():
                raise self.refused(app, decision.code, decision.message, demand.forced)
            case _:
                assert_never(decision)
        return None

    def _endpoint(self, decision: Send) -> Destination | None:
        run = self.keeper.run_of(decision.machine_id)
        if run is None or run.exit is not None:
            return None
        return Destination(machine_id=decision.machine_id, port=run.port, preferred_missed=decision.preferred_missed)

    def _wake(self, app: str, machine_id: str) -> None:
        machine = self.inventory.machine(machine_id)
        if machine is None:
            return
        try:
            self.operations.require_lease(machine, "")
            self.operations.start(machine)
        except Refusal as refusal:
            raise self.refused(
                app, "PM01", f'machines API returned an error: "{refusal.text}"', machine_id
            ) from refusal

    def refused(self, app: str, code: str, message: str, machine_id: str = "") -> NoDestination:
        """The refusal, written to the app's log as Fly Proxy does."""
        origin = Origin(app=app, instance=machine_id, region=self.region, provider="proxy")
        self.logs.write(origin, f"[{code}] {message}", level="error", code=code)
        return NoDestination(code, message)
