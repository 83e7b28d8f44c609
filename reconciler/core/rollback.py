"""Whether a new configuration of a server has failed, and whether it has proved itself. Pure.

A revision is to blame for what its own configuration does: a package that does not start, a variable that is missing, a
process that is no MCP server. It is not to blame for a platform that refuses, a registry that does not answer or a
source that cannot be read: going back would mend none of these.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from reconciler.core.types import Cause, DesiredServer, ObservedMachine, ServerSpec, ServerState, ServerStatus

BLAMELESS: Final = frozenset({Cause.PLATFORM, Cause.SOURCE, Cause.REGISTRY_UNAVAILABLE})
"""Causes that another configuration would meet as well."""
PROVED: Final = frozenset({ServerState.READY, ServerState.IDLE})


def has_failed(spec: ServerSpec, status: ServerStatus, *, now: datetime) -> bool:
    """Whether the configuration that the status speaks of is not going to become healthy.

    A server that is up and does not do what it should is given its grace, because its first answer may be late.
    """
    if status.cause in BLAMELESS:
        return False
    if status.state is ServerState.FAILED:
        return True
    overdue = status.since is not None and (now - status.since).total_seconds() >= spec.health.grace_s
    return status.state is ServerState.DEGRADED and overdue


def has_arrived(desired: DesiredServer, machines: Sequence[ObservedMachine], status: ServerStatus) -> bool:
    """Whether all machines are as desired and the server was seen healthy, so that it can be gone back to."""
    wanted = {machine.digest for machine in desired.machines}
    found = [machine.digest for machine in machines]
    complete = len(found) == len(desired.machines) and all(digest in wanted for digest in found)
    return complete and status.state in PROVED


def is_tried(desired: DesiredServer, machines: Sequence[ObservedMachine]) -> bool:
    """Whether some machine has the desired configuration, so that its failure can be told from that of an older one."""
    wanted = {machine.digest for machine in desired.machines}
    return any(machine.digest in wanted for machine in machines)


def of_desired(desired: DesiredServer, machines: Sequence[ObservedMachine]) -> tuple[ObservedMachine, ...]:
    """The machines that already have the desired configuration; all of them where none has.

    While a new version comes up beside the old one, the new one speaks for the server: that the old one is well says
    nothing about the revision.
    """
    wanted = {machine.digest for machine in desired.machines}
    return tuple(machine for machine in machines if machine.digest in wanted) or tuple(machines)
