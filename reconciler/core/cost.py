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

from reconciler.core.actions import Create, Destroy, DestroyApp, Plan, Update
from reconciler.core.types import Guest, ObservedMachine

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


def running_cost(machines: Iterable[ObservedMachine]) -> MonthlyCost:
    """What the machines that exist cost. One whose host hides its config has no price."""
    return _total(_guests(machines))


def planned_cost(machines: Iterable[ObservedMachine], plan: Plan) -> MonthlyCost:
    """What the fleet will cost once the whole plan is done, what it defers included.

    Servers that the plan leaves alone (held, suspended, not to be resolved now) cost what they cost. While a machine is
    being replaced there is one more for some minutes, which a month does not notice.

    Args:
        machines: those of the fleet that exist.
        plan: made from them.
    """
    machines = tuple(machines)
    actions = [*plan.actions, *(waiting.action for waiting in plan.deferred)]
    gone = {(action.app, action.machine_id) for action in actions if isinstance(action, Destroy)}
    gone_apps = {action.app for action in actions if isinstance(action, DestroyApp)}
    configs = {(found.app, found.id): found.config for found in machines if found.app not in gone_apps}
    configs |= {
        (action.app, action.machine_id): action.machine.config for action in actions if isinstance(action, Update)
    }
    servers = {found.app: found.server for found in machines}
    kept = [(servers[app], config) for (app, machine_id), config in configs.items() if (app, machine_id) not in gone]
    made = [(action.server, action.machine.config) for action in actions if isinstance(action, Create)]
    return _total((server, _guest(config)) for server, config in (*kept, *made))


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
        yield machine.server, _guest(machine.config)


def _guest(config: str) -> Guest | None:
    size = json.loads(config).get("guest") if config else None
    return Guest(**size) if size else None
