"""The snapshot, indexed once: planning ten thousand servers must not scan ten thousand machines for each."""

from dataclasses import dataclass

from reconciler.core.machine_health import GONE
from reconciler.core.setbacks import Setback
from reconciler.core.types import ObservedMachine, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetIndex:
    """What exists, by app and by server."""

    ours: dict[str, list[ObservedMachine]]
    """Living machines of this fleet, by app, sorted by name."""
    foreign: dict[str, frozenset[str]]
    """Names of living machines that are not ours, by app."""
    silent: dict[str, frozenset[str]]
    """Those of them whose host does not answer, so that nobody knows whether they are ours after all."""
    apps: frozenset[str]
    setbacks: dict[str, tuple[Setback, ...]]
    """By server."""
    blocked: frozenset[str]
    """Servers that cannot be resolved now."""


def index_of(snapshot: Snapshot) -> FleetIndex:
    """The index of one snapshot, in time linear in its size."""
    ours: dict[str, list[ObservedMachine]] = {}
    foreign: dict[str, set[str]] = {}
    silent: dict[str, set[str]] = {}
    for machine in snapshot.observation.machines:
        if machine.state in GONE:
            continue
        if machine.fleet == snapshot.fleet and machine.server:
            ours.setdefault(machine.app, []).append(machine)
        else:
            foreign.setdefault(machine.app, set()).add(machine.name)
            if not machine.host_ok and not machine.fleet:
                silent.setdefault(machine.app, set()).add(machine.name)
    for machines in ours.values():
        if len(machines) > 1:
            machines.sort(key=lambda machine: (len(machine.name), machine.name, machine.id))
    return FleetIndex(
        ours=ours,
        foreign={app: frozenset(names) for app, names in foreign.items()},
        silent={app: frozenset(names) for app, names in silent.items()},
        apps=frozenset(app.name for app in snapshot.observation.apps) | ours.keys(),
        setbacks=_by_server(snapshot.setbacks),
        blocked=frozenset(problem.server for problem in snapshot.blocked if problem.server),
    )


def _by_server(setbacks: tuple[Setback, ...]) -> dict[str, tuple[Setback, ...]]:
    found: dict[str, list[Setback]] = {}
    for setback in setbacks:
        found.setdefault(setback.server, []).append(setback)
    return {server: tuple(sorted(items, key=_key)) for server, items in found.items()}


def _key(setback: Setback) -> tuple[str, str, str, str]:
    return (setback.machine, setback.digest, setback.not_before.isoformat(), setback.code)
