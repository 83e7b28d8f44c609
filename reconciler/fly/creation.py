"""Makes a machine exist, once.

A create is not idempotent by itself and its answer can be lost. What makes it so is the name: deterministic, and unique
among the living machines of an app. After a lost answer the name is searched before anything is sent again; a second
create is refused with the id of the first if the search missed it; and whatever is found is adopted only after its name
and its mark were checked. "Could not find out" is an error, never "absent".
"""

from dataclasses import dataclass, replace
from typing import Final

from reconciler.core.actions import Create
from reconciler.core.types import DesiredMachine, MachineState, OutcomeKind, Revision
from reconciler.fly import errors, machines
from reconciler.fly.machines import Launch, MachineVersion
from reconciler.fly.observed import DIGEST_KEY, FLEET_KEY, SERVER_KEY, host_ok, is_well, machine_state
from reconciler.fly.results import Done
from reconciler.fly.session import LAG_PAUSE_S, Session
from reconciler.fly.updating import machine_launch, replace_config, with_visible_image
from reconciler.fly.waiting import look, until_started
from reconciler.fly.wire import MachineEntry

LAUNCHES: Final = 2
"""How often a create is sent at most, each time only after a search that found nothing."""
SEARCHES: Final = 2
"""Lists lag: absence counts when two looks, a second apart, agree."""
_RESTING: Final = frozenset({MachineState.STOPPED, MachineState.SUSPENDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A machine that exists now, and whether it did before this attempt."""

    target: MachineVersion
    existed: bool


async def create(session: Session, action: Create, revision: Revision) -> Done:
    """Makes the machine exist with its config, and waits until it runs.

    Raises:
        NotOurs: a machine of that name carries another owner's mark.
        NoCapacity: the region has no room.
        MachineFailed: the config does not run.
        AnswerLost: it could not be found out whether it exists.
    """
    machine = action.machine
    launch = machine_launch(session, machine, revision)
    made = await _make(session, machine, launch)
    session.note_made(made.target.machine_id)
    session.note_touched(machine.app, made.target.machine_id)
    if made.existed:
        return await _adopt(session, machine, made.target, launch)
    await until_started(session, made.target)
    return Done(machine_id=made.target.machine_id)


async def _make(session: Session, machine: DesiredMachine, launch: Launch) -> _Made:
    """Sends the create until it is known what came of it."""
    for remaining in reversed(range(LAUNCHES)):
        try:
            return await _launch(session, machine, launch)
        except errors.AlreadyExists as error:
            machine_id = error.machine_id or await _id_of(session, machine, error)
            return _found(machine, machine_id)
        except errors.AnswerLost as lost:
            if found := await _search(session, machine):
                return _found(machine, found[0].id)
            if not remaining:
                raise lost from lost.__cause__
    raise AssertionError("The loop returns or raises.")  # pragma: no cover


async def _launch(session: Session, machine: DesiredMachine, launch: Launch) -> _Made:
    named = replace(launch, name=machine.name, region=machine.region)

    async def attempt() -> MachineEntry:
        return await with_visible_image(session, lambda: machines.create(session.api, machine.app, named))

    entry = await session.despite_lag(machine.app, attempt)
    target = MachineVersion(app=machine.app, machine_id=entry.id, version=entry.current_version)
    return _Made(target=target, existed=False)


def _found(machine: DesiredMachine, machine_id: str) -> _Made:
    return _Made(target=MachineVersion(app=machine.app, machine_id=machine_id), existed=True)


async def _search(session: Session, machine: DesiredMachine) -> list[MachineEntry]:
    """Living machines of that name, newest first; there is one at most unless Fly breaks its own rule."""
    found: list[MachineEntry] = []
    for _ in range(SEARCHES):
        listed = await session.despite_lag(machine.app, lambda: machines.of_app(session.api, machine.app))
        found = [entry for entry in listed if entry.name == machine.name and not _is_gone(entry)]
        if found:
            break
        await session.sleep(LAG_PAUSE_S)
    return sorted(found, key=lambda entry: entry.created_at, reverse=True)


async def _id_of(session: Session, machine: DesiredMachine, error: errors.AlreadyExists) -> str:
    """The id that the refusal did not name."""
    found = await _search(session, machine)
    if not found:
        raise error
    return found[0].id


async def _adopt(session: Session, machine: DesiredMachine, target: MachineVersion, launch: Launch) -> Done:
    """Takes over the machine that holds the name, and gives it the config if it runs another.

    One that serves was not seen when this was planned, because lists lag. Whether it may be interrupted is for the plan
    to say, which sees it from now on.
    """
    entry = await look(session, target)
    _check_adoptable(session, machine, entry)
    current = replace(target, version=entry.current_version)
    if entry.metadata.get(DIGEST_KEY) != machine.digest:
        if is_well(entry):
            return Done(kind=OutcomeKind.ADOPTED, machine_id=entry.id, detail="it serves with another configuration")
        await replace_config(session, current, launch)
        return Done(kind=OutcomeKind.ADOPTED, machine_id=entry.id, detail="it existed with another configuration")
    if machine_state(entry) not in _RESTING:
        await until_started(session, current)
    return Done(kind=OutcomeKind.ADOPTED, machine_id=entry.id, detail="it existed already")


def _check_adoptable(session: Session, machine: DesiredMachine, entry: MachineEntry) -> None:
    place = f"machine {entry.id} in app {machine.app}"
    if not host_ok(entry):
        raise errors.MachinesUnavailable(
            "machine-host-silent",
            f"{place} holds the name {machine.name}, and its host does not answer",
            hint="it is looked at again in the next pass",
        )
    if entry.name != machine.name or _is_gone(entry):
        raise errors.UnexplainedConflict(
            "machine-conflict",
            f"the name {machine.name} was refused for {place}, which does not hold it now",
            hint="the next pass tries again",
        )
    ours = {FLEET_KEY: session.fleet, SERVER_KEY: machine.server}
    if not ours.items() <= entry.metadata.items():
        raise errors.NotOurs(
            "machine-not-ours",
            f"{place} holds the name {machine.name} and was not made by this fleet",
            hint="destroy or rename it, or rename the server",
        )


def _is_gone(entry: MachineEntry) -> bool:
    return machine_state(entry) in {MachineState.DESTROYED, MachineState.DESTROYING}
