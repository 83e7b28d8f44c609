"""The machines of an app as the routing decision sees them, and the requests that each is busy with."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from reconciler.engine.checking import checks_of
from reconciler.engine.clock import NANOSECONDS, Clock
from reconciler.engine.inventory import Inventory
from reconciler.engine.proxy.routing import Candidate, Readiness
from reconciler.engine.records import CheckStatus, Goal, Machine, State

FACTS_KEPT = 4096
HOPELESS_EXITS = 2
"""After more exits than this in the restart window, a request no longer waits for the next start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What routing needs of a configuration, worked out once for each version."""

    checks: tuple[str, ...]
    autostart: bool


class Candidates:
    def __init__(self, *, inventory: Inventory, clock: Clock, wake_s: float) -> None:
        self._inventory = inventory
        self._clock = clock
        self._wake_s = wake_s
        self._facts: dict[str, _Facts] = {}
        self._load: Counter[str] = Counter()

    def of(self, app: str) -> list[Candidate]:
        return [
            Candidate(machine_id=machine.id, readiness=self._readiness(machine), load=self._load[machine.id])
            for machine in self._inventory.machines_of(app)
            if machine.state is not State.DESTROYED
        ]

    @contextmanager
    def busy(self, machine_id: str) -> Generator[None]:
        """Counts one request under way."""
        self._load[machine_id] += 1
        try:
            yield
        finally:
            self._load[machine_id] -= 1
            if not self._load[machine_id]:
                del self._load[machine_id]

    def is_young(self, machine: Machine) -> bool:
        """Whether it started so recently that not listening yet is no fault."""
        return self._clock.now_ns() - machine.started_ns < self._wake_s * NANOSECONDS

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
        # One that is just being stopped can be woken once it has.
        return Readiness.ASLEEP if machine.state in {State.STOPPED, State.SUSPENDED} else Readiness.COMING

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
    return _Facts(
        checks=tuple(check.name for check in checks_of(machine.config) if check.routes),
        autostart=any(service.autostart for service in machine.config.services or ()),
    )
