"""The machines of an app as the routing decision and the autostop loop see them."""

from dataclasses import dataclass

from reconciler.engine.checking import checks_of
from reconciler.engine.clock import NANOSECONDS, Clock
from reconciler.engine.inventory import Inventory
from reconciler.engine.proxy.loads import Loads
from reconciler.engine.proxy.routing import Candidate, Limits, Readiness
from reconciler.engine.records import CheckStatus, Goal, Machine, State

FACTS_KEPT = 4096
HOPELESS_EXITS = 2
"""After more exits than this in the restart window, a request no longer waits for the next start."""
ASLEEP = frozenset({State.STOPPED, State.SUSPENDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What routing needs of a configuration, worked out once for each version."""

    checks: tuple[str, ...]
    autostart: bool
    limits: Limits
    counts_connections: bool


class Candidates:
    def __init__(self, *, inventory: Inventory, clock: Clock, loads: Loads, wake_s: float) -> None:
        self._inventory = inventory
        self._clock = clock
        self._loads = loads
        self._wake_s = wake_s
        self._facts: dict[str, _Facts] = {}

    def of(self, app: str, attached: str = "") -> list[Candidate]:
        """The app's machines now; `attached` is the one that the caller's own connection counts for already."""
        return [
            self.candidate(machine, attached)
            for machine in self._inventory.machines_of(app)
            if machine.state is not State.DESTROYED
        ]

    def candidate(self, machine: Machine, attached: str = "") -> Candidate:
        return Candidate(
            machine_id=machine.id,
            readiness=self._readiness(machine),
            load=self._load(machine, attached),
            limits=self._known(machine).limits,
            region=machine.region,
        )

    def is_young(self, machine: Machine) -> bool:
        """Whether it started so recently that not listening yet is no fault."""
        return self._clock.now_ns() - machine.started_ns < self._wake_s * NANOSECONDS

    def _load(self, machine: Machine, attached: str) -> int:
        if self._known(machine).counts_connections:
            return self._loads.connections(machine.id) - (machine.id == attached)
        return self._loads.requests(machine.id)

    def _readiness(self, machine: Machine) -> Readiness:
        if machine.cordoned or machine.goal is Goal.GONE:
            return Readiness.OUT
        if machine.state is State.STARTED and machine.goal is Goal.RUN:
            return self._checked(machine)
        if machine.goal is Goal.RUN:
            return Readiness.OUT if len(machine.exits_ns) > HOPELESS_EXITS else Readiness.COMING
        return self._resting(machine)

    def _resting(self, machine: Machine) -> Readiness:
        if not self._known(machine).autostart or machine.state is State.FAILED:
            return Readiness.OUT
        return Readiness.ASLEEP if machine.state in ASLEEP else Readiness.LEAVING

    def _checked(self, machine: Machine) -> Readiness:
        results = self._inventory.checks(machine.id)
        statuses = [results[name].status if name in results else None for name in self._known(machine).checks]
        if all(status is CheckStatus.PASSING for status in statuses):
            return Readiness.READY
        return Readiness.COMING if self.is_young(machine) else Readiness.OUT

    def _known(self, machine: Machine) -> _Facts:
        facts = self._facts.get(machine.instance_id)
        if facts is None:
            if len(self._facts) >= FACTS_KEPT:
                self._facts.clear()
            facts = self._facts[machine.instance_id] = _facts(machine)
        return facts


def _facts(machine: Machine) -> _Facts:
    services = machine.config.services or ()
    concurrency = next((service.concurrency for service in services if service.concurrency), None)
    soft = concurrency.soft_limit if concurrency else None
    return _Facts(
        checks=tuple(check.name for check in checks_of(machine.config) if check.routes),
        autostart=any(service.autostart for service in services),
        limits=Limits(
            soft=soft if soft is not None else Limits().soft, hard=concurrency.hard_limit if concurrency else None
        ),
        # Connections are what Fly counts where a service does not say.
        counts_connections=concurrency is None or concurrency.type != "requests",
    )
