"""What a fleet costs a month, from a price table with its source and date.

An estimate for people who decide, never for a program that bills: regions multiply it, transfer adds to it, and a
server that sleeps costs only its root file system. Sizes that the table does not price are said to be unpriced, not
guessed. Source: Fly's published machine prices as of August 2026 (docs: pricing, cost-management): a shared CPU with
256 MB is $1.94 per 30 days, further memory about $5 per GB, a stopped root file system $0.15 per GB.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from reconciler.core.types import Guest, ObservedMachine, ServerSpec

PRICES_AS_OF: Final = "2026-08"
SHARED_CPU_WITH_256_MB: Final = 1.94
MEMORY_PER_GB: Final = 5.0
MEMORY_INCLUDED_MB_PER_CPU: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthlyCost:
    """US dollars per 30 days. `unpriced` names servers of a size that the table does not know."""

    awake: float = 0.0
    """When every machine is awake all the time: the most that it can be."""
    unpriced: tuple[str, ...] = ()


def guest_price(guest: Guest) -> float | None:
    """Dollars per 30 days of one machine that is always awake; none for a size without a price in the table."""
    if guest.cpu_kind != "shared":
        return None
    extra_mb = max(0, guest.memory_mb - MEMORY_INCLUDED_MB_PER_CPU * guest.cpus)
    return SHARED_CPU_WITH_256_MB * guest.cpus + MEMORY_PER_GB * extra_mb / 1024


def monthly_cost(specs: Iterable[ServerSpec]) -> MonthlyCost:
    """What the fleet will cost as the manifest asks for it, at its largest scale."""
    return _total((spec.name, spec.guest) for spec in specs for _ in range(max(1, spec.scale.maximum)))


def running_cost(machines: Iterable[ObservedMachine]) -> MonthlyCost:
    """What the machines that exist cost. One whose host hides its config has no price."""
    return _total(_guests(machines))


def _total(guests: Iterable[tuple[str, Guest | None]]) -> MonthlyCost:
    awake, unpriced = 0.0, set[str]()
    for name, guest in guests:
        price = None if guest is None else guest_price(guest)
        if price is None:
            unpriced.add(name)
        else:
            awake += price
    return MonthlyCost(awake=round(awake, 2), unpriced=tuple(sorted(unpriced)))


def _guests(machines: Iterable[ObservedMachine]) -> Iterator[tuple[str, Guest | None]]:
    for machine in machines:
        size = json.loads(machine.config).get("guest") if machine.config else None
        yield machine.server, Guest(**size) if size else None
