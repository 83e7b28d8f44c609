"""The verdict: from what was seen of a server to the one state that people read.

`ready` is never inferred from a running process: it takes a passing check and an MCP answer through the data path.
`idle` is a machine that sleeps and was not put to sleep by a crash. Everything else names its cause.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final, cast

from reconciler.core.actions import Outcome
from reconciler.core.problems import Problem
from reconciler.core.remotes import RemoteProgram
from reconciler.core.setbacks import Setback
from reconciler.core.types import (
    Cause,
    Check,
    CheckState,
    ExitEvent,
    MachineState,
    ObservedMachine,
    OutcomeKind,
    ProbeResult,
    ServerSpec,
    ServerState,
    ServerStatus,
)

EXIT_CAUSES: Final = {
    70: Cause.PACKAGE_NOT_FOUND,
    71: Cause.VERSION_NOT_FOUND,
    72: Cause.NO_EXECUTABLE,
    73: Cause.RUNTIME_UNAVAILABLE,
    74: Cause.INSTALL_FAILED,
    75: Cause.MISSING_VARIABLE,
    76: Cause.MISSING_ARGUMENTS,
    77: Cause.PORT_IN_USE,
    78: Cause.OUT_OF_MEMORY,
    79: Cause.CRASH_LOOP,
    80: Cause.NOT_AN_MCP_SERVER,
    81: Cause.TIMEOUT,
    82: Cause.REGISTRY_UNAVAILABLE,
    83: Cause.INTEGRITY_MISMATCH,
}
"""Exit codes of the adapter. They outlive the process, so that the cause is known when nothing answers any more."""

COMING_UP: Final = frozenset(
    {
        MachineState.CREATED,
        MachineState.STARTING,
        MachineState.RESTARTING,
        MachineState.UPDATING,
        MachineState.REPLACING,
    }
)
SLEEPING: Final = frozenset(
    {MachineState.STOPPED, MachineState.STOPPING, MachineState.SUSPENDED, MachineState.SUSPENDING}
)
_LEAVING: Final = frozenset({MachineState.DESTROYING, MachineState.DESTROYED})
SETTLING: Final = frozenset({ServerState.PENDING, ServerState.INSTALLING, ServerState.STARTING})


@dataclass(frozen=True, slots=True)
class _Finding:
    state: ServerState
    cause: Cause | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was seen of one server."""

    machines: tuple[ObservedMachine, ...] = ()
    probe: ProbeResult | None = None
    """The newest MCP round trip to the version that runs now; none when it was not tried."""
    outcomes: tuple[Outcome, ...] = ()
    setbacks: tuple[Setback, ...] = ()
    """Changes to what is wanted that failed and wait for their next try."""
    blocked: Problem | None = None
    """Why the manifest's wish for this server could not be resolved."""
    platform_time: datetime | None = None
    """The time of the look by the platform's clock, which alone tells how old a machine is; none if unknown."""

    @property
    def failure(self) -> Problem | None:
        """What went wrong with the last change, in this pass or in one before; none when nothing stands against it."""
        failed = (outcome.problem for outcome in self.outcomes if outcome.kind is OutcomeKind.FAILED)
        waiting = (setback.problem for setback in self.setbacks)
        return next((problem for problem in (*failed, *waiting) if problem is not None), None)


def verdict(spec: ServerSpec, evidence: Evidence, *, now: datetime) -> ServerStatus:
    """The state of one server, with its cause. `since` is `now`; whoever remembers the last verdict corrects it."""
    machine = _speaker(evidence.machines)
    finding = _judge(spec, machine, evidence, evidence.platform_time or now)
    status = ServerStatus(
        server=spec.name,
        state=finding.state,
        cause=finding.cause,
        detail=finding.detail,
        package=str(spec.package),
        since=now,
    )
    if machine is not None:
        status = replace(status, machine_id=machine.id, revision=machine.revision)
    if evidence.probe is not None:
        status = replace(status, tools=evidence.probe.tools)
    return replace(status, problem=evidence.blocked or evidence.failure)


def needs_probe(machines: Sequence[ObservedMachine]) -> bool:
    """Whether some machine is awake and well, so that an MCP round trip proves something and wakes nothing."""
    return any(machine.state is MachineState.STARTED and _passing(machine) for machine in machines)


def settling(status: ServerStatus) -> bool:
    """Whether the state is on its way somewhere, so that looking again soon is worth it."""
    return status.state in SETTLING


def _judge(spec: ServerSpec, machine: ObservedMachine | None, evidence: Evidence, now: datetime) -> _Finding:
    if spec.suspended:
        return _Finding(ServerState.SUSPENDED, detail="the manifest suspends it")
    if evidence.blocked is not None:
        return _blocked(evidence.blocked, machine)
    if isinstance(spec.package, RemoteProgram):
        return _remote(evidence.probe)
    found = _observed(spec, machine, evidence.probe, now)
    if found.state is ServerState.READY:
        found = _whole(spec, evidence.machines, now)
    failure = evidence.failure
    if failure is None:
        return found
    state = ServerState.DEGRADED if found.state in {ServerState.READY, ServerState.IDLE} else ServerState.FAILED
    return _Finding(state, found.cause or Cause.PLATFORM, str(failure))


def _blocked(problem: Problem, machine: ObservedMachine | None) -> _Finding:
    """Without a machine the server does not run; with one, the old configuration serves on."""
    state = ServerState.FAILED if machine is None else ServerState.HELD
    codes = {cause.value: cause for cause in Cause}
    return _Finding(state, codes.get(problem.code, Cause.SOURCE), problem.message)


def _speaker(machines: Sequence[ObservedMachine]) -> ObservedMachine | None:
    """The machine that speaks for its server: the best one, because one that serves is enough."""

    def rank(machine: ObservedMachine) -> tuple[int, str]:
        if machine.state is MachineState.STARTED:
            return (0 if _passing(machine) else 1, machine.id)
        return (2 if machine.state in COMING_UP else 3, machine.id)

    living = [machine for machine in machines if machine.state is not MachineState.DESTROYED]
    return min(living, key=rank, default=None)


def _observed(spec: ServerSpec, machine: ObservedMachine | None, probe: ProbeResult | None, now: datetime) -> _Finding:
    if machine is None or machine.state is MachineState.DESTROYING:
        return _Finding(ServerState.PENDING, detail="the machine does not exist yet")
    if not machine.host_ok:
        return _Finding(ServerState.FAILED, Cause.PLATFORM, "the host of the machine does not answer")
    if machine.state is MachineState.STARTED:
        return _awake(spec, machine, probe, now)
    if machine.state is MachineState.FAILED:
        return _crashed(machine.last_exit)
    if machine.state in SLEEPING:
        return _asleep(machine)
    return _coming_up(machine)


def _awake(spec: ServerSpec, machine: ObservedMachine, probe: ProbeResult | None, now: datetime) -> _Finding:
    if _passing(machine):
        return _probed(spec, probe)
    young = _young(spec, machine, now)
    report = _adapter_report(machine.checks, spec)
    if report is not None and (young or report.state not in SETTLING):
        return report
    if young:
        return _coming_up(machine)
    # One that says for ever that it is on its way has failed like one that says nothing.
    detail = next((check.output for check in machine.checks if check.output), "no health check has answered")
    return _Finding(ServerState.FAILED, Cause.TIMEOUT, f"not healthy after {spec.health.grace_s:.0f} s: {detail[:200]}")


def _young(spec: ServerSpec, machine: ObservedMachine, now: datetime) -> bool:
    return machine.updated_at is None or (now - machine.updated_at).total_seconds() < spec.health.grace_s


def _probed(spec: ServerSpec, probe: ProbeResult | None) -> _Finding:
    if probe is None:
        return _Finding(ServerState.STARTING, detail="healthy; its first MCP answer is awaited")
    if not probe.answered:
        return _Finding(ServerState.DEGRADED, Cause.UNREACHABLE, probe.problem)
    if not probe.tools:
        return _Finding(ServerState.DEGRADED, Cause.NOT_AN_MCP_SERVER, "it answers, but offers no tools")
    for pattern in spec.health.expected_tools:
        if not any(fnmatchcase(tool, pattern) for tool in probe.tools):
            return _Finding(ServerState.DEGRADED, detail=f"it answers, but offers no tool that fits {pattern}")
    return _Finding(ServerState.READY)


def _remote(probe: ProbeResult | None) -> _Finding:
    """A server that somebody else runs is what its newest answers are. One that answered lately and does not now has a
    result that is both, an answer and a problem.
    """
    if probe is None:
        return _Finding(ServerState.PENDING, detail="its first MCP answer is awaited")
    if not probe.answered:
        return _Finding(ServerState.FAILED, Cause.UNREACHABLE, probe.problem)
    if probe.problem:
        return _Finding(ServerState.DEGRADED, Cause.UNREACHABLE, probe.problem)
    return _Finding(ServerState.READY)


def _whole(spec: ServerSpec, machines: Sequence[ObservedMachine], now: datetime) -> _Finding:
    """A server that answers is ready when as many machines serve as must always be awake."""
    living = [machine for machine in machines if machine.state not in _LEAVING]
    others = [machine for machine in living if not needs_probe([machine])]
    serving = len(living) - len(others)
    if serving >= spec.scale.minimum:
        return _Finding(ServerState.READY)
    words = f"{serving} of {spec.scale.minimum} machines serve"
    found = [_observed(spec, machine, None, now) for machine in others]
    failed = next((finding for finding in found if finding.state is ServerState.FAILED), None)
    if failed is None:
        detail = words if len(living) >= spec.scale.minimum else f"{words}; the others are yet to be made"
        return _Finding(ServerState.STARTING, detail=detail)
    return _Finding(ServerState.DEGRADED, failed.cause, f"{words}: {failed.detail}")


def _coming_up(machine: ObservedMachine) -> _Finding:
    last = machine.last_exit
    if last is not None and not last.requested and last.exit_code != 0 and last.restart_count > 1:
        return _crashed(last)
    if machine.state is MachineState.STARTED:
        return _Finding(ServerState.STARTING, detail="the machine is up; its first health check is awaited")
    return _Finding(ServerState.STARTING, detail=f"the machine is {machine.state}")


def _asleep(machine: ObservedMachine) -> _Finding:
    last = machine.last_exit
    if last is not None and not last.requested and last.exit_code != 0:
        return _crashed(last)
    return _Finding(ServerState.IDLE, detail=f"{machine.state}; wakes on the next call")


def _crashed(last: ExitEvent | None) -> _Finding:
    if last is None:
        return _Finding(ServerState.FAILED, Cause.PLATFORM, "the machine failed to start")
    if last.out_of_memory:
        return _Finding(ServerState.FAILED, Cause.OUT_OF_MEMORY, "the machine ran out of memory")
    cause = EXIT_CAUSES.get(last.exit_code, Cause.CRASH_LOOP)
    return _Finding(ServerState.FAILED, cause, f"the process ended with exit code {last.exit_code}")


def _passing(machine: ObservedMachine) -> bool:
    """A machine without any check result is not passing: nothing vouches for it yet."""
    return bool(machine.checks) and all(check.state is CheckState.PASSING for check in machine.checks)


def _adapter_report(checks: Sequence[Check], spec: ServerSpec) -> _Finding | None:
    """What the adapter says of itself on its health page, which Fly keeps as the output of the check."""
    for check in checks:
        report = _parse_report(check.output)
        state = _ADAPTER_STATES.get(str(report.get("state")))
        if state is not None:
            cause = _CAUSES.get(str(report.get("cause")))
            return _Finding(state, cause, str(report.get("detail") or _ON_ITS_WAY.get(state, "").format(spec.package)))
    return None


_ON_ITS_WAY: Final = {ServerState.INSTALLING: "{} and what it needs", ServerState.STARTING: "{} answers no MCP yet"}
_CAUSES: Final = {cause.value: cause for cause in Cause}
_ADAPTER_STATES: Final = {
    "installing": ServerState.INSTALLING,
    "starting": ServerState.STARTING,
    "failed": ServerState.FAILED,
}


def _parse_report(output: str) -> dict[str, object]:
    try:
        value: object = json.loads(output)
    except ValueError:
        return {}
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


__all__ = ["EXIT_CAUSES", "Evidence", "needs_probe", "settling", "verdict"]
