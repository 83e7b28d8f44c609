"""Machines that are told to move and do not: the fault of a transition that gets stuck.

The state has changed by then (`created`, `replacing`, …) and stays as it is, because the machine's own task is not
woken. When the rule is removed, the task is woken as if the call had just come, which is what the platform does too: a
machine that was stuck in `created` for hours boots by itself one day.
"""

import asyncio
from dataclasses import dataclass

from reconciler.engine.faults.book import Faults
from reconciler.engine.faults.calls import subject_of
from reconciler.engine.faults.effects import StuckTransition
from reconciler.engine.keeper import Halt, Keeper, Surroundings
from reconciler.engine.records import Machine
from reconciler.engine.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    rule_id: str
    state: str
    halt: Halt | None


class HeldKeeper(Keeper):
    """A keeper that some machines do not hear."""

    def __init__(self, around: Surroundings, runtime: Runtime, tasks: asyncio.TaskGroup, faults: Faults) -> None:
        super().__init__(around, runtime, tasks)
        self._faults = faults
        self._held: dict[str, _Held] = {}

    def nudge(self, machine_id: str, halt: Halt | None = None) -> None:
        machine = self._inventory.machine(machine_id)
        rule_id = self._rule_that_holds(machine) if machine else ""
        if machine is None or not rule_id:
            self._held.pop(machine_id, None)
            super().nudge(machine_id, halt)
            return
        self._held[machine_id] = _Held(rule_id=rule_id, state=machine.state, halt=halt)

    def release(self) -> None:
        """Lets go of every machine whose rule was removed."""
        for machine_id, held in tuple(self._held.items()):
            if not self._faults.holds(held.rule_id):
                self.nudge(machine_id, held.halt)

    def _rule_that_holds(self, machine: Machine) -> str:
        """The id of the rule that keeps the machine in its present state, or nothing."""
        held = self._held.get(machine.id)
        if held and held.state == machine.state and self._faults.holds(held.rule_id):
            return held.rule_id
        planted = self._faults.on_machine(
            subject_of(machine),
            lambda effect: isinstance(effect, StuckTransition) and effect.state == machine.state,
            f"machine {machine.id} is {machine.state}",
        )
        return planted.id if planted else ""
