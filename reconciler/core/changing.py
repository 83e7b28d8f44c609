"""How a machine becomes what is wanted: made, updated in place, or replaced by another that is healthy first.

In place costs nothing and a few seconds in which the machine does not answer. It is chosen where the server may sleep
anyway (`scale.min` is 0) and where Fly can do it: not for another region, not for other mounts (Fly docs, "Machines
resource": neither changes in place), and not on a host that said it is full. Everywhere else the new machine is made
beside the old one, which serves until the new one is healthy.

Where the organization or the region has no room for one machine more, a server of several machines is updated in place
after all, one machine at a time and never the last that serves; a server of one machine waits.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import cast

from reconciler.core.actions import Create, Update
from reconciler.core.attempts import attempt_of, setback_of
from reconciler.core.digests import JSON
from reconciler.core.drift import field_changes
from reconciler.core.parts import Circumstances
from reconciler.core.setbacks import CAPACITY_CODES, QUOTA_CODES
from reconciler.core.slots import Slot, free_name
from reconciler.core.standing import Standing
from reconciler.core.types import DesiredMachine, ObservedMachine


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one slot."""

    slot: Slot
    action: Create | Update

    @property
    def beside(self) -> bool:
        """Whether a new machine is made while another of the slot stays."""
        return isinstance(self.action, Create) and bool(self.slot.others)


def change_of(slot: Slot, standing: Standing, around: Circumstances, taken: Collection[str]) -> Change:
    """What a slot needs whose machine is not as wanted.

    Args:
        slot: the slot.
        standing: of its server.
        around: tells what failed before.
        taken: names that no new machine of the app can have.
    """
    old = slot.best
    name = free_name(slot.wanted, taken)
    if old is None:
        return Change(slot=slot, action=_create(slot.wanted, name))
    hindrance = _hindrance(slot.wanted, old, around)
    beside = _beside(slot.wanted, old, name, hindrance or _gapless(standing))
    if not hindrance and (standing.server.spec.scale.minimum == 0 or _falls_back(beside, old, standing, around)):
        return Change(slot=slot, action=_update(slot.wanted, old))
    return Change(slot=slot, action=beside)


def _create(wanted: DesiredMachine, name: str) -> Create:
    machine = replace(wanted, name=name)
    return Create(server=wanted.server, app=wanted.app, machine=machine, reason="the machine does not exist yet")


def _beside(wanted: DesiredMachine, old: ObservedMachine, name: str, why: str) -> Create:
    return Create(
        server=wanted.server,
        app=wanted.app,
        machine=replace(wanted, name=name),
        reason=f"{difference(wanted, old)}; {why}",
        replaces=old.name,
        changes=field_changes(old.config, wanted.config),
    )


def _update(wanted: DesiredMachine, old: ObservedMachine) -> Update:
    return Update(
        server=wanted.server,
        app=wanted.app,
        machine=replace(wanted, name=old.name),
        machine_id=old.id,
        instance_id=old.instance_id,
        changes=field_changes(old.config, wanted.config),
        reason=difference(wanted, old),
    )


def difference(wanted: DesiredMachine, old: ObservedMachine) -> str:
    """Why a machine must change, in words."""
    if old.region != wanted.region:
        return f"the region changes from {old.region} to {wanted.region}"
    drifted = bool(old.config) and old.config != wanted.config
    if old.digest == wanted.digest:
        return "its configuration was changed outside Catwalk"
    return "its configuration changed" if drifted or not old.config else "a secret changed"


def _gapless(standing: Standing) -> str:
    return f"scale.min is {standing.server.spec.scale.minimum}, so the old machine stays until the new one is healthy"


def _hindrance(wanted: DesiredMachine, old: ObservedMachine, around: Circumstances) -> str:
    """Why the machine cannot change in place, in words; empty where it can."""
    if old.region != wanted.region:
        return "a machine cannot move"
    if _mounts(old.config) != _mounts(wanted.config):
        return "mounts do not change in place"
    found = setback_of(attempt_of(_update(wanted, old)), around.setbacks) if around.setbacks else None
    if found is not None and found.code in CAPACITY_CODES:
        return "the host of the old machine is full"
    return ""


def _mounts(config: str) -> JSON:
    if '"mounts"' not in config:
        return None
    return cast("dict[str, JSON]", json.loads(config)).get("mounts") or None


def _falls_back(beside: Create, old: ObservedMachine, standing: Standing, around: Circumstances) -> bool:
    """Whether there is no room for one machine more, and this one can be spared for a moment."""
    found = setback_of(attempt_of(beside), around.setbacks) if around.setbacks else None
    if found is None or found.code not in CAPACITY_CODES | QUOTA_CODES:
        return False
    return old.id not in standing.serving or len(standing.serving) > 1
