"""Starts, stops, cordons and destroys one machine.

A stop or destroy against somebody else's lease is not refused by Fly but blocks until the lease ends, so the lease is
looked at first. A machine is stopped or destroyed only after its mark was read, however sure the plan was.
"""

from reconciler.core.actions import Cordon, Destroy, Start, Stop, Uncordon
from reconciler.core.types import MachineState
from reconciler.fly import errors, leases, machines, waiting
from reconciler.fly.handover import hand_over
from reconciler.fly.machines import MachineVersion
from reconciler.fly.observed import FLEET_KEY, host_ok, machine_state
from reconciler.fly.results import Done
from reconciler.fly.session import Session
from reconciler.fly.wire import MachineEntry

STOP_SIGNAL = "SIGTERM"
STOP_GRACE_S = 10


async def start(session: Session, action: Start) -> Done:
    """Wakes a machine and waits until it runs."""
    target = MachineVersion(app=action.app, machine_id=action.machine_id)
    session.note_touched(target.app, target.machine_id)
    await waiting.start(session, target)
    await waiting.until_started(session, target)
    return Done(machine_id=action.machine_id)


async def stop(session: Session, action: Stop) -> Done:
    """Stops a machine of ours, gently first. One that is gone cannot run.

    Raises:
        NotOurs: it does not carry the mark of this fleet.
        LeaseHeld: somebody holds it.
    """
    try:
        entry = await machines.get(session.api, action.app, action.machine_id)
    except errors.NotFound:
        return Done(machine_id=action.machine_id, detail="it was gone already")
    refuse_foreign(session, action.app, entry)
    if machine_state(entry) is MachineState.STOPPED:
        return Done(machine_id=entry.id, detail="it was stopped already")
    await _refuse_held(session, action.app, entry)
    session.note_touched(action.app, entry.id)
    await machines.stop(session.api, action.app, entry.id, signal=STOP_SIGNAL, grace_s=STOP_GRACE_S)
    target = MachineVersion(app=action.app, machine_id=entry.id, version=entry.current_version)
    stopped = await waiting.until_gone_to(session, target, MachineState.STOPPED)
    return Done(machine_id=entry.id, detail="" if stopped else "it is still stopping")


async def cordon(session: Session, action: Cordon) -> Done:
    """Takes a machine of ours out of rotation, once what lives in it has had time to end.

    One that is gone is as far out as it can be.

    Raises:
        NotOurs: it does not carry the mark of this fleet.
    """
    try:
        entry = await machines.get(session.api, action.app, action.machine_id)
        refuse_foreign(session, action.app, entry)
        await hand_over(session, action.app, entry)
        await machines.cordon(session.api, action.app, action.machine_id)
    except errors.NotFound:
        return Done(machine_id=action.machine_id, detail="it was gone already")
    session.note_touched(action.app, action.machine_id)
    return Done(machine_id=action.machine_id)


async def uncordon(session: Session, action: Uncordon) -> Done:
    """Puts a machine of ours back into rotation.

    Raises:
        NotOurs: it does not carry the mark of this fleet.
        NotFound: it is gone.
    """
    entry = await machines.get(session.api, action.app, action.machine_id)
    refuse_foreign(session, action.app, entry)
    await machines.uncordon(session.api, action.app, action.machine_id)
    session.note_touched(action.app, action.machine_id)
    return Done(machine_id=action.machine_id)


async def destroy(session: Session, action: Destroy) -> Done:
    """Destroys a machine of ours; one that is gone is done.

    Raises:
        NotOurs: it does not carry the mark of this fleet.
        MachinesUnavailable: its host does not answer and so its mark cannot be read.
        LeaseHeld: somebody holds it.
    """
    target = MachineVersion(app=action.app, machine_id=action.machine_id)
    try:
        entry = await machines.get(session.api, target.app, target.machine_id)
        if machine_state(entry) is MachineState.DESTROYED:
            return Done(machine_id=entry.id, detail="it was destroyed already")
        refuse_foreign(session, action.app, entry)
        await _refuse_held(session, action.app, entry)
        session.note_touched(target.app, target.machine_id)
        await machines.destroy(session.api, target.app, target.machine_id)
    except errors.NotFound:
        return Done(machine_id=target.machine_id, detail="it was gone already")
    gone = await waiting.until_gone_to(session, target, MachineState.DESTROYED)
    return Done(machine_id=target.machine_id, detail="" if gone else "it is still being destroyed")


def refuse_foreign(session: Session, app: str, entry: MachineEntry) -> None:
    """Raises unless the machine carries the mark of this fleet.

    Raises:
        NotOurs: it carries another, or none.
        MachinesUnavailable: its host does not answer, so a missing mark proves nothing.
    """
    if entry.metadata.get(FLEET_KEY) == session.fleet:
        return
    place = f"machine {entry.id} in app {app}"
    if not host_ok(entry):
        raise errors.MachinesUnavailable(
            "machine-host-silent",
            f"whose {place} is cannot be read, because its host does not answer",
            hint="it is left alone until it does",
        )
    raise errors.NotOurs("machine-not-ours", f"{place} was not made by this fleet", hint="it is left alone")


async def _refuse_held(session: Session, app: str, entry: MachineEntry) -> None:
    if not host_ok(entry):
        return  # Asking for the lease of a machine on a silent host can hang (flyctl skips it too).
    try:
        lease = await leases.holder(session.api, app, entry.id)
    except errors.NotFound:
        return
    if lease.owner or lease.nonce:
        raise errors.LeaseHeld(
            "machine-leased",
            f"machine {entry.id} in app {app} is held by {lease.owner or 'somebody'}",
            hint="it is tried again when the lease ends",
        )
