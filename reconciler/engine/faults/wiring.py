"""Puts an API behind the door of faults, and tells whatever holds something up when a rule is removed."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from reconciler.engine.api.lookup import Desk
from reconciler.engine.faults.book import Faults
from reconciler.engine.faults.door import FaultDoor
from reconciler.engine.faults.held import HeldKeeper
from reconciler.engine.faults.world import World
from reconciler.engine.serving import AsgiApp
from reconciler.engine.steering import SteerableClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """What somebody outside may do to an engine."""

    faults: Faults
    clock: SteerableClock


@contextmanager
def behind_faults(api: AsgiApp, desk: Desk, steering: Steering) -> Generator[AsgiApp]:
    """The API as callers get to see it while the block lasts."""
    assert isinstance(desk.keeper, HeldKeeper), "an engine with faults has a keeper that can be held up"
    faults = steering.faults
    door = FaultDoor(api, faults, World(inventory=desk.inventory, clock=steering.clock, region=desk.settings.region))
    with faults.watched(desk.keeper.release), faults.watched(door.release):
        yield door
