"""Waits for what was ordered to come true, and tells early when it will not.

A wait that only watches the clock learns of a crash after five minutes. So the wait is cut into slices, and between two
the machine is looked at: it may have failed, gone, or been changed by somebody else. Where more machines are awaited
than there are connections for, a slice waits for its turn, and news of the machine cuts it short.
"""

from typing import NoReturn

import anyio

from reconciler.core.types import ExitEvent, MachineState
from reconciler.errors import CatwalkError, Conflict, Unavailable
from reconciler.fly import errors, machines
from reconciler.fly.machines import MachineVersion
from reconciler.fly.observed import crash, machine_state
from reconciler.fly.session import LAG_PAUSE_S, Session
from reconciler.fly.wire import MachineEntry


async def until_started(session: Session, target: MachineVersion) -> None:
    """Returns when the machine runs at the version that is meant. A machine that rests is started once.

    Raises:
        MachineFailed: it failed, or its process ended by itself.
        VersionChanged: somebody else has updated it.
        NotFound: it is gone.
        WaitExpired: none of that happened in time.
    """
    deadline_s = session.now_s() + session.patience.launch_s
    woken = False
    while session.now_s() < deadline_s:
        if await _reached(session, target, "started"):
            return
        entry = await look(session, target)
        if _is_started(entry, target):
            return
        _refuse_dead_ends(entry, target)
        if machine_state(entry) in {MachineState.STOPPED, MachineState.SUSPENDED} and not woken:
            woken = True
            await start(session, target)
    raise errors.WaitExpired(
        "machine-not-started",
        f"machine {target.machine_id} in app {target.app} did not start within {session.patience.launch_s:.0f} s",
        hint="Fly may be short of capacity; the next pass looks at it again",
    )


async def until_gone_to(session: Session, target: MachineVersion, state: MachineState) -> bool:
    """Whether the machine reached `state`, or is gone altogether, within the patience for orders."""
    deadline_s = session.now_s() + session.patience.settle_s
    while session.now_s() < deadline_s:
        if await _reached(session, target, state.value):
            return True
        try:
            found = machine_state(await machines.get(session.api, target.app, target.machine_id))
        except errors.NotFound:
            return True
        if found in {state, MachineState.DESTROYED}:
            return True
    return False


async def start(session: Session, target: MachineVersion) -> None:
    """Orders a start, again for as long as the machine is only being prepared.

    Raises:
        Conflict: it could not be started in that time either.
    """
    deadline_s = session.now_s() + session.patience.prepare_s
    while True:
        try:
            return await machines.start(session.api, target.app, target.machine_id)
        except (errors.NotReady, errors.UnexplainedConflict):
            if session.now_s() >= deadline_s:
                raise
        await session.sleep(LAG_PAUSE_S)


async def look(session: Session, target: MachineVersion) -> MachineEntry:
    """The machine as it is, not taking a lagging replica's "not found" for an answer."""
    return await session.despite_lag(
        target.machine_id, lambda: machines.get(session.api, target.app, target.machine_id)
    )


async def _reached(session: Session, target: MachineVersion, state: str) -> bool:
    """One slice. Anything but success is answered "not yet": the look that follows tells more than the error."""
    if not session.api.waits_queue:
        return await _wait(session, target, state)
    until_s = session.now_s() + session.patience.slice_s
    outcome: bool | CatwalkError = False

    async def hear(scope: anyio.CancelScope) -> None:
        await session.news.until_heard_of(target.machine_id, until_s=until_s)
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(hear, group.cancel_scope)
        try:
            outcome = await _wait(session, target, state)
        except CatwalkError as error:  # It must not come out in an exception group.
            outcome = error
        group.cancel_scope.cancel()
    if isinstance(outcome, CatwalkError):
        raise outcome
    return outcome


async def _wait(session: Session, target: MachineVersion, state: str) -> bool:
    try:
        await machines.wait(session.api, target, state=state, timeout_s=session.patience.slice_s)
    except errors.WaitExpired:
        return False
    except (Unavailable, Conflict):
        await session.sleep(LAG_PAUSE_S)
        return False
    return True


def _is_started(entry: MachineEntry, target: MachineVersion) -> bool:
    return machine_state(entry) is MachineState.STARTED and target.version in {"", entry.current_version}


def _refuse_dead_ends(entry: MachineEntry, target: MachineVersion) -> None:
    state, ended = machine_state(entry), crash(entry)
    place = f"machine {target.machine_id} in app {target.app}"
    if state in {MachineState.DESTROYED, MachineState.DESTROYING}:
        raise errors.NotFound("machine-gone", f"{place} is being destroyed", hint="the next pass makes it anew")
    if target.version not in {"", entry.current_version}:
        raise errors.VersionChanged("machine-changed", f"{place} was updated by somebody else meanwhile")
    if state is MachineState.FAILED or (ended is not None and state is MachineState.STOPPED):
        _raise_failed(place, ended)


def _raise_failed(place: str, ended: ExitEvent | None) -> NoReturn:
    if ended is None:
        how = "failed to start"
    elif ended.out_of_memory:
        how = "ran out of memory"
    else:
        how = f"ended by itself with exit code {ended.exit_code}"
    failure: CatwalkError = errors.MachineFailed("machine-failed", f"{place} {how}", hint="its log tells more")
    raise failure
