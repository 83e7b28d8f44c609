"""How a server stands: which of its slots are as wanted, and which of those are well."""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.core.machine_health import asleep, serving
from reconciler.core.slots import Slot, arrange
from reconciler.core.types import DesiredServer, ObservedMachine


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One server as it was seen."""

    server: DesiredServer
    slots: tuple[Slot, ...]
    surplus: tuple[ObservedMachine, ...]
    """Machines that stand in no slot, highest slot first."""
    serving: frozenset[str]
    """Ids of machines that answer callers now."""
    well: frozenset[int]
    """Numbers of slots whose machine is as wanted and well."""

    @property
    def ready(self) -> bool:
        """Whether every slot is as wanted and well; then others may build on the server."""
        return len(self.well) == len(self.slots)

    @property
    def unwell(self) -> tuple[Slot, ...]:
        """Slots whose machine is as wanted and not, or not yet, well. A silent host is no statement about a version."""
        return tuple(
            slot for slot in self.slots if slot.current is not None and slot.number not in self.well and not slot.silent
        )

    @property
    def pending(self) -> tuple[Slot, ...]:
        """Slots that need another machine or another version; those with nothing to lose first."""
        found = [slot for slot in self.slots if slot.current is None and not slot.silent]
        return tuple(sorted(found, key=lambda slot: (self._keeps_well(slot), slot.number)))

    def _keeps_well(self, slot: Slot) -> bool:
        return any(machine.id in self.serving or asleep(machine) for machine in slot.others)


def standing_of(server: DesiredServer, machines: Sequence[ObservedMachine], mute: frozenset[str]) -> Standing:
    """How a server stands with the machines of ours that live in its app."""
    slots, surplus = arrange(server, machines, mute)
    serves = frozenset(machine.id for machine in machines if serving(machine, mute))
    awake = sum(slot.current is not None and slot.current.id in serves for slot in slots)
    may_rest = awake >= server.spec.scale.minimum
    return Standing(
        server=server,
        slots=tuple(slots),
        surplus=tuple(surplus),
        serving=serves,
        well=frozenset(slot.number for slot in slots if _is_well(slot, serves, may_rest=may_rest)),
    )


def _is_well(slot: Slot, serves: frozenset[str], *, may_rest: bool) -> bool:
    machine = slot.current
    if machine is None:
        return False
    if machine.id in serves:
        return True
    return may_rest and machine.host_ok and not machine.cordoned and asleep(machine)
