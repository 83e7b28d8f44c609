"""Carries out the routing decision: takes a place, waits, wakes, or tells why there is no machine for a request."""

from dataclasses import dataclass, field
from typing import assert_never

from reconciler.engine.clock import NANOSECONDS, Clock
from reconciler.engine.history import Source
from reconciler.engine.inventory import Inventory
from reconciler.engine.keeper import Keeper
from reconciler.engine.logbook import LogBook, Origin
from reconciler.engine.operations import Operations
from reconciler.engine.proxy.candidates import Candidates
from reconciler.engine.proxy.loads import Attachment, Loads
from reconciler.engine.proxy.routing import Demand, Hold, Nobody, Send, Wake, decide
from reconciler.engine.records import State
from reconciler.engine.refusals import Refusal

LOOKS_ON_FLY = 90
"""How often Fly Proxy tries to place a request; its message names the number (docs, "Error codes", PR03)."""


class NoDestination(Exception):
    """No machine takes this request; the reason is in the app's log too, where there is an app."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"[{code}] {message}")
        self.code = code

    @property
    def is_answer_at_fault(self) -> bool:
        """Whether a machine was reached and its answer is of no use: a 502, where the rest is a 503."""
        return self.code.startswith(("PU", "PA"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A machine in which a place was taken for one request; `Destinations.leave` gives it back."""

    machine_id: str
    port: int
    run: int
    """Tells one run of the machine from the next: a connection to one is no connection to the other."""
    preferred_missed: bool


@dataclass(slots=True, kw_only=True)
class Search:
    """One request in search of a machine."""

    app: str
    demand: Demand
    attachment: Attachment
    limit_s: float | None = None
    """Gives up after this, where that is sooner than usual."""
    awaited: set[str] = field(default_factory=set[str])
    """Machines that it has seen on their way. One of them that rests again has failed to start."""
    refused: dict[str, Refusal] = field(default_factory=dict[str, Refusal])
    """Machines that could not be woken."""
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
    inventory: Inventory
    keeper: Keeper
    operations: Operations
    candidates: Candidates
    loads: Loads
    clock: Clock
    logs: LogBook
    region: str
    wake_s: float
    queue_s: float

    async def find(self, search: Search) -> Destination:
        """A place in a machine that is ready, waited for at most `wake_s`, or `queue_s` where all are full.

        Any number of callers start a sleeping machine once.

        Raises:
            NoDestination: there is none, or none in time.
        """
        began_ns = self.clock.now_ns()
        with self.loads.held(search.app):
            while True:
                found = self._look(search)
                if found is not None:
                    return found
                left_s = self._patience_s(search) - (self.clock.now_ns() - began_ns) / NANOSECONDS
                if left_s <= 0:
                    raise self._too_late(search)
                await self.clock.wait(self.inventory.next_change(search.app), left_s)

    def leave(self, destination: Destination) -> None:
        self.loads.leave(destination.machine_id)

    def refused(self, app: str, code: str, message: str, machine_id: str = "") -> NoDestination:
        """The refusal, written to the app's log as Fly Proxy does."""
        self._note(app, f"[{code}] {message}", machine_id, level="error", code=code)
        return NoDestination(code, message)

    def _look(self, search: Search) -> Destination | None:
        """One look; None means to look again after the next change."""
        if self.inventory.app(search.app) is None:
            raise NoDestination("PR03", f"no app {search.app}")
        candidates = self.candidates.of(search.app, search.attachment.machine_id)
        decision = decide([one for one in candidates if one.machine_id not in search.refused], search.demand)
        match decision:
            case Send():
                return self._take(search, decision)
            case Wake():
                return self._wake(search, decision.machine_id)
            case Hold():
                search.awaited |= decision.coming
                search.full = decision.full
            case Nobody():
                raise self._nobody(search, decision)
            case _:
                assert_never(decision)
        return None

    def _take(self, search: Search, decision: Send) -> Destination | None:
        run = self.keeper.run_of(decision.machine_id)
        machine = self.inventory.machine(decision.machine_id)
        if run is None or run.exit is not None or machine is None:
            return None
        self.loads.enter(decision.machine_id)
        search.attachment.move(decision.machine_id)
        if decision.reinforcement:
            self._start(search, decision.reinforcement)
        return Destination(
            machine_id=decision.machine_id,
            port=run.port,
            run=machine.started_ns,
            preferred_missed=decision.preferred_missed,
        )

    def _wake(self, search: Search, machine_id: str) -> Destination | None:
        """Starts the machine; when that is refused, another may do."""
        if machine_id in search.awaited:
            raise self._failed(search, machine_id)
        if not self._start(search, machine_id):
            return self._look(search)
        search.awaited.add(machine_id)
        return None

    def _start(self, search: Search, machine_id: str) -> bool:
        machine = self.inventory.machine(machine_id)
        assert machine is not None, "nothing happens between the decision and what follows from it"
        try:
            self.operations.require_lease(machine, "")
            self.operations.start(machine, Source.PROXY)
        except Refusal as refusal:
            search.refused[machine_id] = refusal
            message = f'machines API returned an error: "{refusal.text}"'
            self._note(search.app, f"[PM01] {message}", machine_id, level="error", code="PM01")
            return False
        self._note(search.app, "Starting machine", machine_id)
        return True

    def _nobody(self, search: Search, decision: Nobody) -> NoDestination:
        if search.awaited:
            machine_id = min(search.awaited)
            machine = self.inventory.machine(machine_id)
            runs = machine is not None and machine.state is State.STARTED
            return self._too_late(search) if runs else self._failed(search, machine_id)
        if search.refused:
            refusal = next(iter(search.refused.values()))
            return NoDestination("PM01", f'machines API returned an error: "{refusal.text}"')
        return self.refused(search.app, decision.code, decision.message, search.demand.forced)

    def _failed(self, search: Search, machine_id: str) -> NoDestination:
        return self.refused(search.app, "PM07", "failed to change machine state: it did not stay started", machine_id)

    def _patience_s(self, search: Search) -> float:
        patience_s = self.queue_s if search.full else self.wake_s
        return patience_s if search.limit_s is None else min(patience_s, search.limit_s)

    def _too_late(self, search: Search) -> NoDestination:
        if search.full:
            message = (
                f"could not find a good candidate within {LOOKS_ON_FLY} attempts at load balancing. "
                "last error: every machine is at its hard limit"
            )
            return self.refused(search.app, "PR03", message)
        machine_id = min(search.awaited, default="")
        return self.refused(
            search.app, "PM03", f"machine was not ready within {self._patience_s(search):g} s", machine_id
        )

    def _note(self, app: str, text: str, machine_id: str, *, level: str = "info", code: str = "") -> None:
        origin = Origin(app=app, instance=machine_id, region=self.region, provider="proxy")
        self.logs.write(origin, text, level=level, code=code)
