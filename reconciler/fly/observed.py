"""From what the Machines API answers to what the core thinks in. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from reconciler.core.types import Check, CheckState, ExitEvent, MachineState, ObservedMachine
from reconciler.fly.normalise import canonical_config
from reconciler.fly.wire import CheckEntry, EventEntry, ExitEntry, MachineEntry

FLEET_KEY: Final = "catwalk_fleet"
SERVER_KEY: Final = "catwalk_server"
DIGEST_KEY: Final = "catwalk_digest"
REVISION_KEY: Final = "catwalk_revision"

OUTPUT_CHARACTERS: Final = 4096
"""How much of a check's output is kept; the adapter's health page is a few hundred."""
_INSERTED_CHECKS: Final = "bg_deployments_compat"
"""Checks of this name are made up by the API for old clients (fly-go) and were never run."""
_STATES: Final = {state.value: state for state in MachineState} | {
    "creating": MachineState.CREATED,
    "launch_failed": MachineState.FAILED,
}
_FORGETTING: Final = frozenset({"update", "suspend"})
"""What makes an earlier end the past: another version, and rest that only a process which runs can be put to."""
_BEGINNINGS: Final = frozenset({"launch", "update", "start", "restart"})
_CHECK_STATES: Final = {state.value: state for state in CheckState}


def observed_machine(entry: MachineEntry, *, app: str, fleet: str) -> ObservedMachine:
    """One machine. The mark of another fleet counts as no mark: the machine is somebody else's."""
    metadata = entry.metadata
    ours = metadata.get(FLEET_KEY, "") == fleet
    return ObservedMachine(
        app=app,
        id=entry.id,
        name=entry.name,
        state=machine_state(entry),
        region=entry.region,
        instance_id=entry.current_version,
        fleet=fleet if ours else "",
        server=metadata.get(SERVER_KEY, "") if ours else "",
        digest=metadata.get(DIGEST_KEY, "") if ours else "",
        revision=metadata.get(REVISION_KEY, "") if ours else "",
        config=canonical_config(entry.config),
        host_ok=host_ok(entry),
        cordoned=entry.cordoned,
        checks=tuple(_checks(entry)),
        last_exit=last_exit(entry),
        updated_at=_time(entry.updated_at),
    )


def machine_state(entry: MachineEntry) -> MachineState:
    """The state, `unknown` for one that this version of Catwalk does not know."""
    return _STATES.get(entry.state, MachineState.UNKNOWN)


def is_well(entry: MachineEntry) -> bool:
    """Whether the machine runs and all its checks pass."""
    checks = tuple(_checks(entry))
    passing = bool(checks) and all(check.state is CheckState.PASSING for check in checks)
    return passing and host_ok(entry) and machine_state(entry) is MachineState.STARTED


def host_ok(entry: MachineEntry) -> bool:
    """Whether the host of the machine answers; where it does not, the config that is read is partial."""
    return entry.host_status == "ok"


def last_exit(entry: MachineEntry) -> ExitEvent | None:
    """The newest end of the process of this version; none where it has not ended since the events reach back.

    How an earlier version ended says nothing about this one. Neither does a crash that was got over: a machine that is
    suspended ran until then, and ends nothing by that.
    """
    for event in _newest_first(entry):
        for found in _exit(event):
            return found
        if event.type in _FORGETTING:
            return None
    return None


def crash(entry: MachineEntry) -> ExitEvent | None:
    """How the process ended by itself, if that is the last thing that happened to the machine.

    An end that an update, a launch or a start followed belongs to the past and says nothing about what was begun since.
    """
    for event in _newest_first(entry):
        for found in _exit(event):
            return None if found.requested or found.exit_code == 0 else found
        if event.type in _BEGINNINGS:
            return None
    return None


def _newest_first(entry: MachineEntry) -> list[EventEntry]:
    return sorted(entry.events, key=lambda event: event.timestamp, reverse=True)


def _exit(event: EventEntry) -> Iterator[ExitEvent]:
    monitor = event.request.monitor
    found = event.request.exit_event or (monitor.exit_event if monitor else None)
    if event.type == "exit" and found is not None:
        yield ExitEvent(
            exit_code=found.exit_code,
            requested=found.requested_stop,
            out_of_memory=found.oom_killed,
            restart_count=event.request.restart_count,
            occurred_at=_exit_time(found, event),
        )


def _exit_time(found: ExitEntry, event: EventEntry) -> datetime | None:
    stated = _time(found.exited_at) if isinstance(found.exited_at, str) else None
    return stated or (datetime.fromtimestamp(event.timestamp / 1000, UTC) if event.timestamp else None)


def _checks(entry: MachineEntry) -> Iterator[Check]:
    for check in entry.checks:
        if not check.name.startswith(_INSERTED_CHECKS):
            yield _check(check)


def _check(check: CheckEntry) -> Check:
    return Check(
        name=check.name,
        # A state that this version does not know is no proof of health and no proof of harm.
        state=_CHECK_STATES.get(check.status, CheckState.WARNING),
        output=check.output[:OUTPUT_CHARACTERS],
        updated_at=_time(check.updated_at),
    )


def _time(text: str) -> datetime | None:
    """RFC 3339, or nothing: a time that cannot be read must not hide a machine."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
