"""The planner: from a snapshot to what is safe to do now, and what follows. Pure, total, and afraid of deleting.

A change is rolled out in stages. Each plan holds the actions of one stage and, deferred, those that wait: for a machine
to be healthy, for another server, for a time. Whoever applies it looks again and plans again. Nothing is remembered
between stages but what the fleet itself shows, so that an interruption at any point is only a longer pause.

Rules that no input can break (each has a property test):
- what carries no metadata of this fleet is never touched;
- an incomplete observation destroys nothing;
- a server that cannot be resolved now keeps what runs of it;
- of a server that must be awake, the last machine that serves is never taken away;
- a change meets one machine first, and few at a time after that;
- what would remove more than the budget removes nothing;
- the order of the input does not matter;
- stage after stage leads to a plan with nothing to do.
"""

import hashlib
from collections.abc import Iterator, Sequence

from reconciler.core.actions import (
    Action,
    AllocateAddress,
    Cordon,
    Create,
    CreateApp,
    Deferred,
    Destroy,
    DestroyApp,
    Held,
    Plan,
    PruneRequest,
    SetSecrets,
    Start,
    Stop,
    Uncordon,
    Update,
)
from reconciler.core.dependencies import Dependencies
from reconciler.core.fleet_index import FleetIndex, index_of
from reconciler.core.parts import Circumstances, Part
from reconciler.core.remotes import RemoteProgram
from reconciler.core.removals import Agreement, Leaving, hold_removals, prune_request, remove
from reconciler.core.server_plan import as_wanted, plan_server
from reconciler.core.standing import standing_of
from reconciler.core.types import DesiredServer, Snapshot


def plan(snapshot: Snapshot) -> Plan:
    """The next stage from what `snapshot` saw to what it asks for, and what waits behind it."""
    index = index_of(snapshot)
    dependencies = Dependencies(snapshot, index)
    parts = {
        server.spec.name: _plan_server(server, snapshot, index, dependencies)
        for server in snapshot.desired
        if server.spec.name not in index.blocked
    }
    leaving = list(_leaving(snapshot, index))
    request = _request(leaving, snapshot, index)
    parts |= {f"{name}/removed": part for name, part in _removals(leaving, request, snapshot, dependencies)}
    return _assemble(snapshot, parts, request)


def plan_digest(actions: Sequence[Action], deferred: Sequence[Deferred] = ()) -> str:
    """What a reviewer agreed to: the whole change, now and later, but no words and no times.

    Every action counts with the version that it applies to. Whether an action may happen now or waits does not matter.
    """
    every = (*actions, *(waiting.action for waiting in deferred))
    text = "\n".join(sorted(_identity(action) for action in every))
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
        case Start() | Stop() | Cordon() | Uncordon() | Destroy():
            parts.append(action.machine_id)
        case CreateApp() | AllocateAddress() | DestroyApp():
            pass
    return "\0".join(parts)


def _assemble(snapshot: Snapshot, parts: dict[str, Part], request: PruneRequest | None) -> Plan:
    busy = [parts[name] for name in sorted(parts) if not parts[name].idle]
    actions = tuple(action for part in busy for action in part.actions)
    deferred = tuple(waiting for part in busy for waiting in part.deferred)
    return Plan(
        fleet=snapshot.fleet,
        revision=snapshot.revision,
        actions=actions,
        held=tuple(held for part in busy for held in part.held),
        deferred=deferred,
        prune=request,
        unchanged=tuple(sorted(name for name, part in parts.items() if part.idle)),
        digest=plan_digest(actions, deferred),
    )


def _plan_server(server: DesiredServer, snapshot: Snapshot, index: FleetIndex, dependencies: Dependencies) -> Part:
    spec = server.spec
    if spec.suspended:
        return Part(held=(Held(server=spec.name, summary="left alone", reason="the manifest suspends it"),))
    machines = index.ours.get(spec.app, ())
    loose = spec.app in snapshot.loose_secrets
    if isinstance(spec.package, RemoteProgram) or (as_wanted(server, machines) and not loose):
        return Part()
    around = Circumstances(
        complete=snapshot.observation.complete,
        now=snapshot.now,
        setbacks=index.setbacks.get(spec.name, ()),
        mute=snapshot.mute_machines,
        foreign_names=index.foreign.get(spec.app, frozenset()),
        silent_names=index.silent.get(spec.app, frozenset()),
        app_exists=spec.app in index.apps,
        loose_secrets=loose,
        dependency=dependencies.unready(spec),
    )
    return plan_server(standing_of(server, machines, snapshot.mute_machines), around, machines)


def _leaving(snapshot: Snapshot, index: FleetIndex) -> Iterator[Leaving]:
    """Apps of ours whose server left the manifest, by name."""
    kept = {server.spec.app for server in snapshot.desired if not isinstance(server.spec.package, RemoteProgram)}
    kept |= {f"{snapshot.fleet}-{name}" for name in index.blocked}
    for app in sorted((index.ours.keys() | (snapshot.owned_apps & index.apps)) - kept):
        machines = index.ours.get(app, ())
        server = machines[0].server if machines else app.removeprefix(f"{snapshot.fleet}-")
        yield Leaving(app=app, server=server, machines=tuple(machines), shared=app in index.foreign)


def _request(leaving: Sequence[Leaving], snapshot: Snapshot, index: FleetIndex) -> PruneRequest | None:
    if not leaving or not snapshot.observation.complete:
        return None
    agreement = Agreement(policy=snapshot.prune, digests=snapshot.confirmed_prunes, apps=snapshot.confirmed_apps)
    existing = len(index.ours.keys() | (snapshot.owned_apps & index.apps))
    return prune_request(leaving, existing, agreement)


def _removals(
    leaving: Sequence[Leaving], request: PruneRequest | None, snapshot: Snapshot, dependencies: Dependencies
) -> Iterator[tuple[str, Part]]:
    if request is not None:
        return hold_removals(leaving, request)
    around = Circumstances(complete=snapshot.observation.complete, now=snapshot.now, setbacks=snapshot.setbacks)
    return remove(leaving, dependencies.dependents(leaving), around)
