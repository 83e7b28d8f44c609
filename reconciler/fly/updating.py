"""Replaces the config of a machine in place, and builds what a launch sends.

The lease lasts as long as the one call. What protects the change is `current_version`: it is refused if anybody changed
the machine since it was seen. After a lost answer the machine itself tells whether the change happened, because its
metadata carries the digest of the config that it runs.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar, cast

from reconciler.core.actions import Update
from reconciler.core.digests import JSON
from reconciler.core.types import DesiredMachine, OutcomeKind, Revision
from reconciler.fly import errors, leases, machines
from reconciler.fly.machines import Launch, MachineVersion
from reconciler.fly.observed import DIGEST_KEY, FLEET_KEY, REVISION_KEY, SERVER_KEY
from reconciler.fly.results import Done
from reconciler.fly.session import Session
from reconciler.fly.waiting import look, until_started
from reconciler.fly.wire import LeaseEntry, MachineEntry

Answered = TypeVar("Answered")


async def update(session: Session, action: Update, revision: Revision) -> Done:
    """Replaces the config of a machine that is still as it was seen, and waits until it runs.

    Raises:
        Conflict: somebody holds or has changed the machine.
        NoCapacity: its host has no room; Fly keeps the old config.
        MachineFailed: the new config does not run.
    """
    target = MachineVersion(app=action.app, machine_id=action.machine_id, version=action.instance_id)
    launch = machine_launch(session, action.machine, revision)
    await replace_config(session, target, launch)
    return Done(kind=OutcomeKind.APPLIED, machine_id=action.machine_id)


async def replace_config(session: Session, target: MachineVersion, launch: Launch) -> None:
    """The change under its lease, then the wait for the new version, without the lease."""
    async with leases.held(session.api, target.app, target.machine_id) as lease:
        await _refuse_changed(session, target, lease)
        changed = await _send(session, target, replace(launch, current_version=target.version, nonce=lease.nonce))
    session.note_touched(target.app, target.machine_id)
    await until_started(session, replace(target, version=changed.current_version))


def machine_launch(session: Session, machine: DesiredMachine, revision: Revision) -> Launch:
    """What is sent for a machine: its config, marked as ours, and the secrets that it must not boot without."""
    config = cast("dict[str, JSON]", json.loads(machine.config))
    config["metadata"] = {
        FLEET_KEY: session.fleet,
        SERVER_KEY: machine.server,
        DIGEST_KEY: machine.digest,
        REVISION_KEY: revision.commit,
    }
    return Launch(config=config, min_secrets_version=session.secret_versions.get(machine.app, 0))


async def with_visible_image(session: Session, attempt: Callable[[], Awaitable[Answered]]) -> Answered:
    """Repeats what a registry refuses that does not show a pushed image yet."""
    for _ in range(session.patience.image_attempts - 1):
        try:
            return await attempt()
        except errors.ImageNotVisible:
            await session.sleep(session.patience.image_pause_s)
    return await attempt()


async def _refuse_changed(session: Session, target: MachineVersion, lease: LeaseEntry) -> None:
    """The lease tells the version at the moment it was taken; a difference is looked into before it is believed."""
    if lease.version in {"", target.version}:
        return
    entry = await look(session, target)
    if entry.current_version != target.version:
        raise errors.VersionChanged(
            "machine-changed",
            f"machine {target.machine_id} in app {target.app} changed since it was seen",
            hint="the next pass reads it again",
        )


async def _send(session: Session, target: MachineVersion, launch: Launch) -> MachineEntry:
    async def attempt() -> MachineEntry:
        return await machines.update(session.api, target.app, target.machine_id, launch)

    try:
        return await with_visible_image(session, attempt)
    except errors.AnswerLost:
        entry = await look(session, target)
        if not _is_result_of(launch, entry, target):
            raise
        return entry


def _is_result_of(launch: Launch, entry: MachineEntry, target: MachineVersion) -> bool:
    """Whether the machine runs what was sent, at a version that did not exist before."""
    sent = launch.config["metadata"]
    return sent == entry.metadata and entry.current_version != target.version
