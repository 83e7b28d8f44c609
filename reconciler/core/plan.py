"""The planner: from a snapshot to the ordered list of things to do. Pure, total, and afraid of deleting.

Rules that no input can break (each has a property test):
- what carries no metadata of this fleet is never touched;
- an incomplete observation destroys nothing;
- a server that cannot be resolved now keeps what runs of it;
- the order of the input does not matter;
- when the actions are done, the next plan is empty.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from reconciler.core.actions import (
    Action,
    AllocateAddress,
    Create,
    CreateApp,
    Destroy,
    DestroyApp,
    FieldChange,
    Held,
    Plan,
    SetSecrets,
    Start,
    Update,
)
from reconciler.core.digests import machine_digest
from reconciler.core.drift import field_changes
from reconciler.core.types import (
    DesiredMachine,
    DesiredServer,
    MachineState,
    ObservedMachine,
    Snapshot,
)

GONE: Final = frozenset({MachineState.DESTROYED, MachineState.DESTROYING})
ASLEEP: Final = frozenset({MachineState.STOPPED, MachineState.SUSPENDED, MachineState.CREATED})


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """The observation, indexed once: planning ten thousand servers must not scan ten thousand machines for each."""

    ours: dict[str, list[ObservedMachine]]
    """Living machines of this fleet, by app."""
    foreign: frozenset[str]
    """Apps that hold a living machine which is not ours."""
    apps: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Part:
    """What one server contributes to the plan."""

    actions: tuple[Action, ...] = ()
    held: tuple[Held, ...] = ()


def plan(snapshot: Snapshot) -> Plan:
    """The difference between what `snapshot` asks for and what it saw."""
    view = _index(snapshot)
    parts = {server.spec.name: _plan_server(server, snapshot, view) for server in snapshot.desired}
    parts |= {f"{name}/removed": part for name, part in _plan_removed(snapshot, view)}
    ordered = [parts[name] for name in sorted(parts)]
    actions = tuple(action for part in ordered for action in part.actions)
    draft = Plan(
        fleet=snapshot.fleet,
        revision=snapshot.revision,
        actions=actions,
        held=tuple(held for part in ordered for held in part.held),
        unchanged=tuple(sorted(name for name, part in parts.items() if not part.actions and not part.held)),
    )
    return replace(draft, digest=plan_digest(actions))


def plan_digest(actions: Sequence[Action]) -> str:
    """What a reviewer agreed to: every action with the version it applies to, but not the words that explain it."""
    text = "\n".join(sorted(_identity(action) for action in actions))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _identity(action: Action) -> str:
    parts = [type(action).__name__, action.app]
    match action:
        case SetSecrets():
            parts += action.names
        case Create():
            parts += [action.machine.name, action.machine.digest]
        case Update():
            parts += [action.machine_id, action.instance_id, action.machine.digest]
        case Start() | Destroy():
            parts.append(action.machine_id)
        case _:
            pass
    return "\0".join(parts)


def _index(snapshot: Snapshot) -> _View:
    ours: dict[str, list[ObservedMachine]] = {}
    foreign: set[str] = set()
    for machine in snapshot.observation.machines:
        if machine.state in GONE:
            continue
        if machine.fleet == snapshot.fleet and machine.server:
            ours.setdefault(machine.app, []).append(machine)
        else:
            foreign.add(machine.app)
    for machines in ours.values():
        machines.sort(key=lambda machine: (machine.name, machine.id))
    apps = frozenset(app.name for app in snapshot.observation.apps) | ours.keys()
    return _View(ours=ours, foreign=frozenset(foreign), apps=apps)


def _plan_server(server: DesiredServer, snapshot: Snapshot, view: _View) -> _Part:
    spec = server.spec
    if spec.suspended:
        return _Part(held=(Held(server=spec.name, summary="left alone", reason="the manifest suspends it"),))
    existing = view.ours.get(spec.app, [])
    by_name = {machine.name: machine for machine in existing}
    complete = snapshot.observation.complete
    changes = [_plan_machine(server, wanted, by_name.get(wanted.name), complete) for wanted in server.machines]
    extra = _plan_extra(server, existing, complete=complete)
    changing = tuple(action for part in changes for action in part.actions)
    held = tuple(held for part in (*changes, extra) for held in part.held)
    actions = (*_prepare(server, changing, view), *changing, *extra.actions)
    return _Part(actions=actions, held=held)


def _prepare(server: DesiredServer, changing: Sequence[Action], view: _View) -> Iterator[Action]:
    """What must be true of the app before a machine in it changes. Each of these is harmless when done twice."""
    spec = server.spec
    if not any(isinstance(action, Create | Update) for action in changing):
        return
    if spec.app not in view.apps:
        yield CreateApp(server=spec.name, app=spec.app, network=server.network, reason="the app does not exist yet")
    if spec.app not in view.ours:
        yield AllocateAddress(server=spec.name, app=spec.app, reason="the gateway reaches the server by this address")
    if spec.secret_names:
        reason = "secrets are applied when a machine boots"
        yield SetSecrets(server=spec.name, app=spec.app, names=spec.secret_names, reason=reason)
    elif any(map(_has_secrets, view.ours.get(spec.app, ()))):
        yield SetSecrets(server=spec.name, app=spec.app, names=(), reason="no secret is declared any more")


def _has_secrets(found: ObservedMachine) -> bool:
    """Whether the machine was made with secrets: then its digest is more than that of its config.

    A config that was changed by hand gives the same answer, and unsetting nothing does no harm.
    """
    return found.digest != machine_digest(found.config, found.region, {})


def _plan_machine(
    server: DesiredServer, wanted: DesiredMachine, found: ObservedMachine | None, complete: bool
) -> _Part:
    name = server.spec.name
    if found is None:
        return _Part((Create(server=name, app=wanted.app, machine=wanted, reason="the machine does not exist yet"),))
    if not found.host_ok:
        reason = f"the host of machine {found.id} does not answer, so what is read of it is partial"
        return _Part(held=(Held(server=name, summary="machine left as it is", reason=reason),))
    if found.region != wanted.region:
        if not complete:
            return _Part(held=(_hold(found),))
        return _Part(_replace(name, wanted, found, f"the region changes from {found.region} to {wanted.region}"))
    if reason := _difference(wanted, found):
        return _Part((_update(name, wanted, found, reason),))
    return _Part(tuple(_wake(server, found)))


def _difference(wanted: DesiredMachine, found: ObservedMachine) -> str:
    """Why the machine must change, in words; empty when it is as desired."""
    drifted = bool(found.config) and found.config != wanted.config
    if found.digest == wanted.digest:
        return "its configuration was changed outside Catwalk" if drifted else ""
    return "its configuration changed" if drifted or not found.config else "a secret changed"


def _update(server: str, wanted: DesiredMachine, found: ObservedMachine, reason: str) -> Update:
    changes: tuple[FieldChange, ...] = field_changes(found.config, wanted.config)
    return Update(
        server=server,
        app=wanted.app,
        machine=wanted,
        machine_id=found.id,
        instance_id=found.instance_id,
        changes=changes,
        reason=reason,
    )


def _replace(server: str, wanted: DesiredMachine, found: ObservedMachine, reason: str) -> tuple[Action, ...]:
    """A region cannot change in place, and the name is only free once the old machine is gone."""
    destroy = Destroy(
        server=server, app=wanted.app, machine_id=found.id, machine_name=found.name, reason=f"{reason}: replaced"
    )
    return (destroy, Create(server=server, app=wanted.app, machine=wanted, reason=reason))


def _wake(server: DesiredServer, found: ObservedMachine) -> Iterator[Action]:
    """Starts a machine that should be awake. One that crashed is left to its restart policy and to the verdict."""
    crashed = found.last_exit is not None and not found.last_exit.requested and found.last_exit.exit_code != 0
    if found.state in ASLEEP and server.spec.scale.minimum > 0 and not crashed:
        reason = f"scale.min is {server.spec.scale.minimum} and the machine is {found.state}"
        yield Start(server=server.spec.name, app=found.app, machine_id=found.id, reason=reason)


def _plan_extra(server: DesiredServer, existing: Sequence[ObservedMachine], *, complete: bool) -> _Part:
    """Machines of ours in the app that the manifest does not ask for any more."""
    wanted = {machine.name for machine in server.machines}
    extra = [machine for machine in existing if machine.name not in wanted]
    if not complete:
        return _Part(held=tuple(_hold(machine) for machine in extra))
    return _Part(
        tuple(_destroy(machine, "the manifest asks for fewer machines") for machine in extra),
        tuple(_hold_unreachable(machine) for machine in extra if not machine.host_ok),
    )


def _plan_removed(snapshot: Snapshot, view: _View) -> Iterator[tuple[str, _Part]]:
    """Apps of ours whose server left the manifest."""
    kept = {server.spec.app for server in snapshot.desired}
    kept |= {f"{snapshot.fleet}-{problem.server}" for problem in snapshot.blocked if problem.server}
    candidates = (view.ours.keys() | (snapshot.owned_apps & view.apps)) - kept
    for app in sorted(candidates):
        machines = view.ours.get(app, [])
        server = machines[0].server if machines else app.removeprefix(f"{snapshot.fleet}-")
        yield server, _remove(app, server, machines, snapshot, view)


def _remove(app: str, server: str, machines: Sequence[ObservedMachine], snapshot: Snapshot, view: _View) -> _Part:
    if not snapshot.observation.complete:
        reason = f"the view of the fleet is incomplete: {snapshot.observation.incomplete_reason}"
        return _Part(held=(Held(server=server, summary=f"app {app} not destroyed", reason=reason),))
    reason = "the manifest does not declare the server any more"
    if app in view.foreign:
        held = Held(server=server, summary=f"app {app} kept", reason="it holds a machine that is not Catwalk's")
        return _Part(tuple(_destroy(machine, reason) for machine in machines), (held,))
    return _Part((DestroyApp(server=server, app=app, reason=reason),))


def _destroy(machine: ObservedMachine, reason: str) -> Destroy:
    return Destroy(
        server=machine.server, app=machine.app, machine_id=machine.id, machine_name=machine.name, reason=reason
    )


def _hold(machine: ObservedMachine) -> Held:
    return Held(
        server=machine.server,
        summary=f"machine {machine.id} not destroyed",
        reason="the view of the fleet is incomplete",
    )


def _hold_unreachable(machine: ObservedMachine) -> Held:
    return Held(
        server=machine.server,
        summary=f"machine {machine.id} may stay for a while",
        reason="its host does not answer; the destroy is done when it does",
    )
