"""The plan of one server: what is safe for it now, and what follows when that has worked.

The order within a stage is that of least harm: machines come back into rotation, replaced ones go, then others are made
or changed, sleepers are started, and surplus machines go last. Nothing is remembered from stage to stage: the next one
is planned from what is seen then.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from reconciler.core.actions import (
    Action,
    AllocateAddress,
    Create,
    CreateApp,
    Destroy,
    Held,
    SetSecrets,
    Uncordon,
    Update,
)
from reconciler.core.attempts import THE_APP, wait_for
from reconciler.core.changing import Change, change_of
from reconciler.core.digests import machine_digest
from reconciler.core.machine_health import passing
from reconciler.core.parts import Circumstances, Part, Rotation, Wait, joined
from reconciler.core.programs import app_secret_names
from reconciler.core.retiring import retire, retire_later
from reconciler.core.rollout import permits
from reconciler.core.slots import Slot, matches
from reconciler.core.standing import Standing
from reconciler.core.types import DesiredServer, MachineState, ObservedMachine
from reconciler.core.waking import back_into_rotation, wake

_REPLACED: Final = "another machine took its place"
_SURPLUS: Final = "the manifest asks for fewer machines"


def as_wanted(server: DesiredServer, machines: Sequence[ObservedMachine]) -> bool:
    """Whether a glance shows that there is nothing to do; what it cannot tell is looked at closely.

    Most servers of most plans end here, which is what lets a plan of ten thousand take less than a second.
    """
    if len(machines) != len(server.machines):
        return False
    must_run = server.spec.scale.minimum > 0
    for wanted, found in zip(server.machines, machines, strict=True):
        if found.name != wanted.name or found.cordoned or not found.host_ok or not matches(wanted, found):
            return False
        if must_run and found.state is not MachineState.STARTED:
            return False
    return True


def plan_server(standing: Standing, around: Circumstances, machines: Sequence[ObservedMachine]) -> Part:
    """What one server contributes.

    Args:
        standing: how it stands.
        around: what decides beside it.
        machines: the living machines of ours in its app.
    """
    back = back_into_rotation(standing, around)
    rotation = Rotation(serving=set(standing.serving), must_serve=standing.server.spec.scale.minimum > 0)
    rotation.serving |= _serving_again(back, machines)
    taken = around.foreign_names | {machine.name for machine in machines}
    changes = [change_of(slot, standing, around, taken) for slot in standing.pending]
    allowed = [
        (change, wait or _last_one(change, rotation, standing)) for change, wait in permits(standing, changes, around)
    ]
    retired = joined(_retire_replaced(slot, standing, around, rotation) for slot in standing.slots)
    changed = joined(_change(change, wait, around, rotation) for change, wait in allowed)
    going = {change.slot.number for change in changes if change.action in changed.actions}
    rest = joined((wake(standing, going, around), _surplus(standing, around, rotation)))
    touching = (*_given_up((*retired.actions, *rest.actions), standing), *changed.actions)
    prepared = _prepare(standing, touching, machines, around)
    return joined((Part(held=tuple(_held(standing))), back, prepared, retired, changed, rest))


def _serving_again(back: Part, machines: Sequence[ObservedMachine]) -> set[str]:
    """Machines that serve once they are back, which happens first in the stage."""
    ids = {action.machine_id for action in back.actions if isinstance(action, Uncordon)}
    return {machine.id for machine in machines if machine.id in ids and passing(machine)}


def _last_one(change: Change, rotation: Rotation, standing: Standing) -> Wait | None:
    """A machine that serves alone is not interrupted, and where several must be awake one is missing at most."""
    old, keep = change.slot.best, max(1, standing.server.spec.scale.minimum - 1)
    if isinstance(change.action, Create) or old is None or rotation.let_go(old, keep=keep):
        return None
    return Wait(until="another machine serves", awaits=standing.server.spec.name)


def _held(standing: Standing) -> Iterator[Held]:
    for slot in standing.slots:
        if slot.silent and slot.best is not None:
            reason = f"the host of machine {slot.best.id} does not answer, so what is read of it is partial"
            yield Held(server=standing.server.spec.name, summary="machine left as it is", reason=reason)


def _given_up(actions: Sequence[Action], standing: Standing) -> Iterator[Action]:
    """The departures of machines that are not older than what stays: of versions that were given up.

    Only then are the secrets of the app still theirs; where the new machine is the younger, it brought its own. A
    machine that is as those that stay was not given up, there are only fewer of them. Versions are ULIDs, which sort by
    the time at which they were made.
    """
    current = [slot.current for slot in standing.slots if slot.current is not None]
    newest = max((machine.instance_id for machine in current), default="")
    others = [*standing.surplus, *(machine for slot in standing.slots for machine in slot.others)]
    digests = {machine.digest for machine in current}
    old = {machine.id for machine in others if machine.instance_id < newest or machine.digest in digests}
    for action in actions:
        if isinstance(action, Destroy) and action.machine_id not in old:
            yield action


def _retire_replaced(slot: Slot, standing: Standing, around: Circumstances, rotation: Rotation) -> Part:
    """Older machines of a slot whose wanted one exists: they go when it is well."""
    if slot.current is None or not slot.others or slot.silent:
        return Part()
    # What prepares the app comes before it in the stage, and waits where it failed.
    wait = wait_for(THE_APP, around.setbacks, around.now)
    if slot.number in standing.well and wait is None:
        return joined(retire(machine, _REPLACED, around, rotation) for machine in slot.others)
    wait = wait or Wait(until=f"machine {slot.current.name} is healthy", awaits=standing.server.spec.name)
    return joined(retire_later(machine, _REPLACED, around, wait) for machine in slot.others)


def _change(change: Change, wait: Wait | None, around: Circumstances, rotation: Rotation) -> Part:
    """One change, now or later, and what becomes of the other machines of its slot.

    A slot has room for two: the best of its old machines, and the one that takes its place. What stands there beside
    the best goes first, and where it cannot go now the new one waits.
    """
    stays, *failed = change.slot.others or (None,)
    after = Wait(until=f"machine {change.action.machine.name} is healthy", awaits=change.action.server)
    if change.beside and wait is None:
        parts = [retire(machine, _REPLACED, around, rotation) for machine in failed]
        if not all(part.actions for part in parts):
            wait = Wait(until="another machine of its place is gone")
    else:
        parts = [retire_later(machine, _REPLACED, around, after) for machine in failed]
    if stays is not None and change.beside:
        parts.append(retire_later(stays, _REPLACED, around, after))
    changed = Part((change.action,)) if wait is None else Part(deferred=(wait.on(change.action),))
    others = joined(parts)
    return Part((*others.actions, *changed.actions), others.held, (*changed.deferred, *others.deferred))


def _surplus(standing: Standing, around: Circumstances, rotation: Rotation) -> Part:
    if not standing.surplus:
        return Part()
    wait = wait_for(THE_APP, around.setbacks, around.now)
    if standing.ready and wait is None:
        return joined(retire(machine, _SURPLUS, around, rotation) for machine in standing.surplus)
    wait = wait or Wait(until="the other machines are as wanted and healthy", awaits=standing.server.spec.name)
    return joined(retire_later(machine, _SURPLUS, around, wait) for machine in standing.surplus)


def _prepare(
    standing: Standing, touching: Sequence[Action], machines: Sequence[ObservedMachine], around: Circumstances
) -> Part:
    """What must be true of the app before a machine in it changes. Each of these is harmless when done twice.

    A machine that goes brings the secrets too: where a version was given up, they may still be those of that version.
    So they may be without any such machine, where it never came to be: then they are set for those that are as wanted.
    """
    if any(isinstance(action, Create | Update | Destroy) for action in touching):
        app = _app(standing.server, machines, app_exists=around.app_exists)
        return Part((*app, *_secrets(standing, machines, around)))
    if not around.loose_secrets or standing.pending:
        return Part()
    restored = _set_secrets(standing, "they may be those of a version that did not come to run")
    wait = wait_for(THE_APP, around.setbacks, around.now)
    return Part((restored,)) if wait is None else Part(deferred=(wait.on(restored),))


def _app(server: DesiredServer, machines: Sequence[ObservedMachine], *, app_exists: bool) -> Iterator[Action]:
    spec = server.spec
    if not app_exists:
        yield CreateApp(server=spec.name, app=spec.app, network=server.network, reason="the app does not exist yet")
    if not machines:
        yield AllocateAddress(server=spec.name, app=spec.app, reason="the gateway reaches the server by this address")


def _secrets(standing: Standing, machines: Sequence[ObservedMachine], around: Circumstances) -> Iterator[Action]:
    """An app without a machine may have the secrets of one that is gone: nothing tells of them but the app."""
    spec = standing.server.spec
    if app_secret_names(spec.secret_names, spec.files):
        yield _set_secrets(standing, "secrets are applied when a machine boots")
    elif any(map(_has_secrets, machines)) or around.loose_secrets or (around.app_exists and not machines):
        yield _set_secrets(standing, "no secret is declared any more")


def _set_secrets(standing: Standing, reason: str) -> SetSecrets:
    spec = standing.server.spec
    names = app_secret_names(spec.secret_names, spec.files)
    return SetSecrets(server=spec.name, app=spec.app, names=names, reason=reason, settles=not standing.pending)


def _has_secrets(found: ObservedMachine) -> bool:
    """Whether the machine was made with secrets: then its digest is more than that of its config.

    A config that was changed by hand gives the same answer, and unsetting nothing does no harm.
    """
    return found.digest != machine_digest(found.config, found.region, {})
