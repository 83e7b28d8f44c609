"""Whether a machine is well, by what was observed of it. The planner goes on only from machines that are.

A machine serves when it runs, every one of its health checks passes, and the proxy may use it. One that sleeps is well
too, as long as it was put to sleep: a crash is not sleep. What has no check result yet proves nothing.
"""

from collections.abc import Collection
from typing import Final

from reconciler.core.types import CheckState, MachineState, ObservedMachine

GONE: Final = frozenset({MachineState.DESTROYED, MachineState.DESTROYING})
RESTING: Final = frozenset(
    {MachineState.STOPPED, MachineState.STOPPING, MachineState.SUSPENDED, MachineState.SUSPENDING}
)
WAKEABLE: Final = frozenset({MachineState.STOPPED, MachineState.SUSPENDED, MachineState.CREATED})
AWAKE: Final = frozenset(
    {
        MachineState.STARTED,
        MachineState.STARTING,
        MachineState.RESTARTING,
        MachineState.UPDATING,
        MachineState.REPLACING,
    }
)
"""Runs, or is on its way to."""


def passing(machine: ObservedMachine) -> bool:
    """Whether there are check results and all of them are good."""
    return bool(machine.checks) and all(check.state is CheckState.PASSING for check in machine.checks)


def unwell(machine: ObservedMachine, mute: Collection[str]) -> bool:
    """Whether a check of it fails, or it speaks no MCP. One that has no results yet is not known to be."""
    return machine.id in mute or any(check.state is CheckState.CRITICAL for check in machine.checks)


def crashed(machine: ObservedMachine) -> bool:
    """Whether its last end was not asked for. Says something about a machine that does not run, and only then."""
    last = machine.last_exit
    return last is not None and not last.requested and last.exit_code != 0


def asleep(machine: ObservedMachine) -> bool:
    """Whether it rests because it was put to rest."""
    return machine.state in RESTING and not crashed(machine)


def serving(machine: ObservedMachine, mute: Collection[str]) -> bool:
    """Whether callers are answered by it now. `mute` names machines that pass their checks and speak no MCP."""
    return (
        machine.state is MachineState.STARTED
        and not machine.cordoned
        and machine.host_ok
        and passing(machine)
        and machine.id not in mute
    )
