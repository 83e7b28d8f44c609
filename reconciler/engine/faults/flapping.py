"""Health checks that pass and fail in turn: a fault between the check and the record of its result."""

from collections import Counter
from dataclasses import replace

from reconciler.engine.clock import Clock
from reconciler.engine.faults.book import Faults
from reconciler.engine.faults.calls import subject_of
from reconciler.engine.faults.effects import FlappingChecks
from reconciler.engine.inventory import Inventory
from reconciler.engine.records import CheckResult, CheckStatus, Machine
from reconciler.engine.store import Store

OUTPUT = "connect: connection refused"


class FlappingInventory(Inventory):
    """An inventory that keeps results of checks as the rules want them."""

    def __init__(self, *, store: Store, clock: Clock, faults: Faults) -> None:
        super().__init__(store=store, clock=clock)
        self._faults = faults
        self._results: Counter[tuple[str, str, str]] = Counter()

    def put_check(self, machine: Machine, result: CheckResult) -> None:
        planted = self._faults.on_machine(
            subject_of(machine),
            lambda effect: isinstance(effect, FlappingChecks),
            f"check {result.name} of machine {machine.id}",
        )
        if planted and isinstance(planted.rule.effect, FlappingChecks):
            key = (planted.id, machine.id, result.name)
            position = self._results[key] % (planted.rule.effect.passing + planted.rule.effect.critical)
            self._results[key] += 1
            if position >= planted.rule.effect.passing:
                result = replace(result, status=CheckStatus.CRITICAL, output=OUTPUT)
        super().put_check(machine, result)
