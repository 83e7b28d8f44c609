"""Changes of one machine as values: its state, its events, how its command ended.

Shapes of events from fly-go (`machine_types.go`): newest first, with `request.exit_event` for an exit, which is what
every client reads to tell a crash from a requested stop.
"""

from dataclasses import replace
from enum import StrEnum

from reconciler.engine import identifiers
from reconciler.engine.clock import NANOSECONDS, rfc3339
from reconciler.engine.records import EVENTS_KEPT, VERSIONS_KEPT, Event, Exit, Goal, Machine, State, Version
from reconciler.engine.restarts import WINDOW_S

EXIT = "exit"


class Source(StrEnum):
    """Who caused an event."""

    USER = "user"
    """A call of the API."""
    FLYD = "flyd"
    """The platform, which carries out and watches."""
    PROXY = "proxy"
    """Autostart and autostop."""


def turned(machine: Machine, state: State, *, goal: Goal | None = None) -> Machine:
    return replace(machine, state=state, goal=goal or machine.goal)


def with_event(
    machine: Machine,
    now_ns: int,
    *,
    type_: str,
    source: Source = Source.FLYD,
    request: dict[str, object] | None = None,
) -> Machine:
    """The machine with one event more, whose status is the machine's state; an exit is always `stopped`."""
    event = Event(
        id=identifiers.ulid(now_ns),
        type=type_,
        status="stopped" if type_ == EXIT else str(machine.state),
        source=source,
        timestamp_ms=now_ns // 1_000_000,
        request=request,
    )
    return replace(machine, events=(event, *machine.events)[:EVENTS_KEPT])


def with_version(machine: Machine, version: Version) -> Machine:
    versions = (version, *machine.versions)[:VERSIONS_KEPT]
    return replace(machine, instance_id=version.id, config=version.config, versions=versions)


def exit_recorded(machine: Machine, ended: Exit, now_ns: int, *, requested: bool, restarting: bool) -> Machine:
    """The machine after its command ended; an exit nobody asked for counts for the restart policy."""
    exits_ns = tuple(at_ns for at_ns in machine.exits_ns if now_ns - at_ns < WINDOW_S * NANOSECONDS)
    if not requested:
        exits_ns = (*exits_ns, now_ns)
    exit_event = {
        "exit_code": ended.code,
        "guest_exit_code": 0 if ended.signal else ended.code,
        "guest_signal": ended.signal or -1,
        "oom_killed": ended.out_of_memory,
        "requested_stop": requested,
        "restarting": restarting,
        "signal": ended.signal or -1,
        "exited_at": rfc3339(now_ns),
    }
    request: dict[str, object] = {
        "exit_event": exit_event,
        "MonitorEvent": {"exit_event": exit_event},
        "restart_count": len(exits_ns),
    }
    return with_event(replace(machine, exits_ns=exits_ns), now_ns, type_=EXIT, request=request)
