"""The places of a server's machines, and which machine stands in which.

A server has as many slots as machines may exist. The machine of slot 2 of `time` is called `time-2`, or `time-2-` and
eight hexadecimal digits when it was made beside another machine of that slot, to replace it. A name says which slot a
machine stands in and nothing else; which version it runs is told by its digest. Names are unique among the machines of
an app and follow from what is observed, so that a create that is repeated is refused and leads to the machine to adopt.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.core.machine_health import AWAKE, asleep, serving, unwell
from reconciler.core.types import DesiredMachine, DesiredServer, ObservedMachine

SUFFIX_DIGITS: Final = 8
_PLACE: Final = re.compile(rf"([1-9][0-9]{{0,3}})(?:-[0-9a-f]{{{SUFFIX_DIGITS}}})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One place: the machine that should stand in it, and those that do."""

    number: int
    wanted: DesiredMachine
    current: ObservedMachine | None
    """The machine at the wanted version; the best of them where there are several."""
    others: tuple[ObservedMachine, ...]
    """All others of the slot, the best first."""

    @property
    def best(self) -> ObservedMachine | None:
        """The machine at the wanted version, else the best of the others, else none."""
        return self.current or next(iter(self.others), None)

    @property
    def silent(self) -> bool:
        """Whether the host of its best machine does not answer, so that nobody knows what runs there."""
        best = self.best
        return best is not None and not best.host_ok


def slot_number(server: str, machine_name: str) -> int:
    """Which slot a name stands for, counted from 1; 0 for a name that Catwalk does not give."""
    if not machine_name.startswith(f"{server}-"):
        return 0
    found = _PLACE.fullmatch(machine_name, len(server) + 1)
    return int(found[1]) if found else 0


def free_name(wanted: DesiredMachine, taken: Collection[str]) -> str:
    """The name of a new machine: the plain one, else with the beginning of its digest, else with another suffix.

    The last happens only where a machine was changed by hand and still bears the digest that it no longer has.
    """
    name, suffix = wanted.name, wanted.digest
    while name in taken:
        name = f"{wanted.name}-{suffix[:SUFFIX_DIGITS]}"
        suffix = hashlib.sha256(suffix.encode("utf-8")).hexdigest()
    return name


def arrange(
    server: DesiredServer, machines: Sequence[ObservedMachine], mute: Collection[str]
) -> tuple[list[Slot], list[ObservedMachine]]:
    """The slots of a server in their order, and the machines that stand in none of them, highest slot first."""
    found: dict[int, list[ObservedMachine]] = {}
    for machine in machines:
        found.setdefault(slot_number(server.spec.name, machine.name), []).append(machine)
    slots = [
        _slot(number, wanted, found.pop(number, ()), mute) for number, wanted in enumerate(server.machines, start=1)
    ]
    return slots, list(_surplus(found))


def _slot(number: int, wanted: DesiredMachine, machines: Sequence[ObservedMachine], mute: Collection[str]) -> Slot:
    if len(machines) == 1:
        machine = machines[0]
        if matches(wanted, machine):
            return Slot(number=number, wanted=wanted, current=machine, others=())
        return Slot(number=number, wanted=wanted, current=None, others=(machine,))
    ranked = sorted(machines, key=lambda machine: _rank(machine, mute))
    current = next((machine for machine in ranked if matches(wanted, machine)), None)
    others = tuple(machine for machine in ranked if machine is not current)
    return Slot(number=number, wanted=wanted, current=current, others=others)


def matches(wanted: DesiredMachine, machine: ObservedMachine) -> bool:
    """Whether a machine is what is wanted. A config that its host hides is believed to be what the digest says."""
    return (
        machine.digest == wanted.digest
        and machine.region == wanted.region
        and (machine.config == wanted.config or not machine.config)
    )


def _rank(machine: ObservedMachine, mute: Collection[str]) -> tuple[bool, bool, bool, int, int, str, str]:
    """The machine that serves first; among equals the one with the plain name.

    One that is awake and known to be unwell comes after one that sleeps well: who waits for it may wait for ever.
    """
    return (
        not serving(machine, mute),
        not machine.host_ok,
        machine.cordoned,
        _hopelessness(machine, mute),
        len(machine.name),
        machine.name,
        machine.id,
    )


def _hopelessness(machine: ObservedMachine, mute: Collection[str]) -> int:
    """From 0 for a machine that is awake or coming to 3 for one that has crashed."""
    if machine.state in AWAKE:
        return 2 if unwell(machine, mute) else 0
    return 1 if asleep(machine) else 3


def _surplus(found: dict[int, list[ObservedMachine]]) -> Iterator[ObservedMachine]:
    for number in sorted(found, reverse=True):
        yield from found[number]
