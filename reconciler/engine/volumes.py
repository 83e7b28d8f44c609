"""Volumes: who holds one, and the directory that stands for it.

What matters to a client is the order in which things may be done: the volume first, then one machine with its id, never
a second one, and no deletion while a machine has it. A volume is a directory in the state directory, which outlives
the machine; sizes are remembered and not enforced.
"""

from collections.abc import Iterable
from pathlib import Path
from shutil import rmtree

from reconciler.engine import refusals
from reconciler.engine.config import MachineConfig
from reconciler.engine.inventory import Inventory
from reconciler.engine.records import App, Machine, State, Volume
from reconciler.engine.refusals import Refusal


def directory_of(state_dir: Path, volume_id: str) -> Path:
    return state_dir / "volumes" / volume_id


def remove(state_dir: Path, volume_ids: Iterable[str]) -> None:
    """Deletes what is in those volumes. Blocks; run it in a thread."""
    for volume_id in volume_ids:
        rmtree(directory_of(state_dir, volume_id), ignore_errors=True)


def mounted(config: MachineConfig) -> tuple[str, ...]:
    """The volume that a configuration mounts, if any."""
    return tuple(mount.volume for mount in config.mounts or ())


def holder_of(inventory: Inventory, app: str, volume_id: str) -> Machine | None:
    """The machine that a volume is attached to."""
    for machine in inventory.machines_of(app):
        if machine.state is not State.DESTROYED and volume_id in mounted(machine.config):
            return machine
    return None


def require_mountable(inventory: Inventory, app: App, config: MachineConfig, region: str) -> None:
    """What a new machine may mount.

    Raises:
        Refusal: 400, the app has no such volume; 412, it is attached already, or lies in another region.
    """
    for volume_id in mounted(config):
        volume = _volume(app, volume_id)
        if holder := holder_of(inventory, app.name, volume_id):
            raise refusals.failed_precondition(f"volume {volume_id} is already attached to machine {holder.id}")
        if volume.region != region:
            text = f"insufficient resources to create new machine with existing volume id '{volume_id}'"
            raise Refusal(412, text, code="volume_placement_capacity")


def require_same_mounts(machine: Machine, config: MachineConfig) -> None:
    """Raises: Refusal: 400, an update attaches or detaches a volume, which needs a new machine."""
    if mounted(machine.config) != mounted(config):
        raise refusals.invalid("volumes of an existing machine cannot be changed")


def _volume(app: App, volume_id: str) -> Volume:
    for volume in app.volumes:
        if volume.id == volume_id:
            return volume
    raise refusals.invalid(f"volume {volume_id} not found")
