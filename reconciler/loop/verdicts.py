"""Verdicts on a whole fleet, and what they remember of the verdicts before.

A verdict is pure and knows no yesterday. Here `since` is carried on for as long as a server stays in its state, a
sleeping server keeps the tools that it showed when it was awake, and where the Machines API gave only part of the
picture the last verdict stands: a machine that was not listed is not a machine that is gone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.core.actions import Outcome
from reconciler.core.holds import Hold
from reconciler.core.problems import Problem
from reconciler.core.redact import Redactor
from reconciler.core.remotes import RemoteProgram
from reconciler.core.rollback import PROVED, is_tried, of_desired
from reconciler.core.setbacks import Setback
from reconciler.core.standing import standing_of
from reconciler.core.types import Observation, ObservedMachine, ServerSpec, ServerState, ServerStatus
from reconciler.core.verdict import Evidence, verdict
from reconciler.loop.desired import Desired, ResolvedServer
from reconciler.loop.probes import Probes

Machines = Mapping[str, tuple[ObservedMachine, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that verdicts are passed on, but the time and the probes."""

    desired: Desired
    observation: Observation
    outcomes: tuple[Outcome, ...] = ()
    setbacks: tuple[Setback, ...] = ()
    previous: Mapping[str, ServerStatus]
    """The last verdicts, by server."""


def machines_by_app(desired: Desired, observation: Observation) -> Machines:
    """Machines of this fleet, by app. Foreign ones prove nothing about a server of ours."""
    fleet = desired.accepted.manifests.fleet if desired.accepted else ""
    found: dict[str, list[ObservedMachine]] = {}
    for machine in observation.machines:
        if machine.fleet == fleet and machine.server:
            found.setdefault(machine.app, []).append(machine)
    return {app: tuple(machines) for app, machines in found.items()}


def judge_all(scene: Scene, probes: Probes, *, now: datetime) -> tuple[ServerStatus, ...]:
    """One status for each server of the manifest, in its order."""
    machines = machines_by_app(scene.desired, scene.observation)
    setbacks: dict[str, list[Setback]] = {}
    for setback in scene.setbacks:
        setbacks.setdefault(setback.server, []).append(setback)
    outcomes: dict[str, list[Outcome]] = {}
    for outcome in scene.outcomes:
        outcomes.setdefault(outcome.action.app, []).append(outcome)
    return tuple(
        _judge(
            server,
            Evidence(
                machines=speaking(server, machines),
                probe=probes.result(server.spec),
                outcomes=tuple(outcomes.get(server.spec.app, ())),
                setbacks=_standing_against(server, setbacks.get(server.spec.name, ()), scene, machines),
                blocked=server.problem,
                platform_time=scene.observation.platform_time,
            ),
            scene,
            now=now,
        )
        for server in scene.desired.servers
    )


def _judge(server: ResolvedServer, evidence: Evidence, scene: Scene, *, now: datetime) -> ServerStatus:
    previous = scene.previous.get(server.spec.name)
    unseen = (
        not evidence.machines and not scene.observation.complete and not isinstance(server.spec.package, RemoteProgram)
    )
    if previous is not None and unseen:
        return previous
    status = _held(verdict(server.spec, evidence, now=now), server.hold)
    status = replace(status, problem=_placed(status.problem, server.spec))
    return _remember(_redacted(status, Redactor(server.secrets.values())), previous)


def speaking(server: ResolvedServer, machines: Machines) -> tuple[ObservedMachine, ...]:
    """The machines that the verdict on a server is about: those of the wanted version, as soon as there are any."""
    found = machines.get(server.spec.app, ())
    return of_desired(server.desired, found) if server.desired is not None else found


def servers_tried(scene: Scene) -> frozenset[str]:
    """Servers of which some machine has the wanted configuration. On the others a verdict says nothing about it."""
    machines = machines_by_app(scene.desired, scene.observation)
    resolved = ((server.spec, server.desired) for server in scene.desired.servers if server.desired is not None)
    return frozenset(spec.name for spec, desired in resolved if is_tried(desired, machines.get(spec.app, ())))


def _standing_against(
    server: ResolvedServer, setbacks: Sequence[Setback], scene: Scene, machines: Machines
) -> tuple[Setback, ...]:
    """The failures of what is wanted now.

    What failed with another configuration is of no concern any more, nor is an order to a machine that is gone. Where
    every machine is as wanted and well, whatever failed on the way has happened after all: nobody tries it again, so
    that nothing would ever end it.
    """
    if server.desired is None or not setbacks:
        return ()
    found_machines, partial = machines.get(server.spec.app, ()), not scene.observation.complete
    standing = standing_of(server.desired, found_machines, frozenset())
    if standing.ready and not partial:
        current = {slot.current.id for slot in standing.slots if slot.current is not None}
        leftover = _names(machine for machine in found_machines if machine.id not in current)
        return tuple(found for found in setbacks if found.machine in leftover)
    wanted = {machine.digest for machine in server.desired.machines}
    known = {"", *_names(found_machines)}
    return tuple(
        found
        for found in setbacks
        if found.digest in wanted or (not found.digest and (partial or found.machine in known))
    )


def _names(machines: Iterable[ObservedMachine]) -> set[str]:
    """What setbacks may name them by."""
    return {name for machine in machines for name in (machine.id, machine.name)}


def _held(status: ServerStatus, hold: Hold | None) -> ServerStatus:
    """A server that went back and is well is held, with the cause; one that is not well says what ails it now."""
    if hold is None or status.state not in PROVED:
        return status
    runs = f"{hold.fallback[:7]} runs instead" if hold.fallback else "it runs all the same"
    detail = f"{hold.commit[:7]} did not become healthy ({hold.detail}); {runs}" if hold.detail else runs
    return replace(status, state=ServerState.HELD, cause=hold.cause, detail=detail)


def _placed(problem: Problem | None, spec: ServerSpec) -> Problem | None:
    return replace(problem, server=spec.name) if problem is not None else None


def _remember(status: ServerStatus, previous: ServerStatus | None) -> ServerStatus:
    if previous is None:
        return status
    if (status.state, status.cause) == (previous.state, previous.cause):
        status = replace(status, since=previous.since)
    if (
        status.state in {ServerState.IDLE, ServerState.HELD}
        and not status.tools
        and status.machine_id == previous.machine_id
    ):
        status = replace(status, tools=previous.tools)
    return status


def _redacted(status: ServerStatus, redact: Redactor) -> ServerStatus:
    """Servers print their environment into their health page and their errors."""
    problem = status.problem
    if problem is not None:
        problem = replace(problem, message=redact(problem.message), hint=redact(problem.hint))
    return replace(status, detail=redact(status.detail), problem=problem, tools=tuple(map(redact, status.tools)))


def by_server(statuses: Iterable[ServerStatus]) -> dict[str, ServerStatus]:
    return {status.server: status for status in statuses}
