"""Machines that an earlier process was making when it was cut off, while lists do not show them yet."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.actions import Action, Create, SetSecrets
from reconciler.core.types import DesiredMachine, Trigger
from reconciler.loop.cut_off import CutOff
from reconciler.loop.passes import Reconciler

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Open:
    action: Action
    recorded_at: datetime


@dataclass
class Intents:
    found: tuple[Open, ...]

    async def open_intents(self) -> tuple[Open, ...]:
        return self.found


def creation(server: str) -> Create:
    app = f"acme-{server}"
    machine = DesiredMachine(app=app, server=server, name=f"{server}-1", region="iad", config="{}", digest="d1")
    return Create(server=server, app=app, machine=machine, reason="new")


def cut_off(*, seconds_ago: float, lists_lag_s: float = 60, action: Action | None = None) -> CutOff:
    begun = NOW - timedelta(seconds=seconds_ago)
    return CutOff(Intents((Open(action=action or creation("time"), recorded_at=begun),)), lists_lag_s=lists_lag_s)


@pytest.mark.parametrize(
    ("seconds_ago", "lists_lag_s", "waits_s"),
    [
        pytest.param(10, 60, 50, id="a moment ago"),
        pytest.param(61, 60, None, id="longer ago than lists lag"),
        pytest.param(0.1, 0, None, id="where lists do not lag"),
        pytest.param(-3600, 60, 60, id="by a clock that was set back since"),
    ],
)
async def test_a_creation_without_a_known_outcome_holds_its_server_until_lists_show_it(
    seconds_ago, lists_lag_s, waits_s
):
    found = await cut_off(seconds_ago=seconds_ago, lists_lag_s=lists_lag_s).setbacks(NOW)
    waits = [(setback.server, setback.machine, (setback.not_before - NOW).total_seconds()) for setback in found]
    assert waits == ([] if waits_s is None else [("time", "", waits_s)])


async def test_what_makes_no_machine_holds_nothing():
    action = SetSecrets(server="time", app="acme-time", names=("TOKEN",), reason="changed")
    assert await cut_off(seconds_ago=1, action=action).setbacks(NOW) == ()


async def test_what_this_process_announces_itself_holds_nothing():
    intents = Intents(())
    subject = CutOff(intents, lists_lag_s=60)
    await subject.setbacks(NOW)
    intents.found = (Open(action=creation("time"), recorded_at=NOW),)
    assert await subject.setbacks(NOW) == ()


async def test_a_new_process_makes_no_machine_where_the_last_one_may_have_made_one(world):
    """Not even for a new commit, for which everything else is tried at once."""
    world.commit("one", "time")
    begun = Open(action=creation("time"), recorded_at=world.clock.now())
    ports = replace(world.ports, intents=Intents((begun,)))
    subject = Reconciler(ports, replace(world.settings, lists_lag_s=60))
    first = await subject.run_pass(Trigger.COMMIT)
    shown_at = begun.recorded_at + timedelta(seconds=60)
    assert not [action for action in first.plan.actions if isinstance(action, Create)]
    assert [waiting.not_before for waiting in first.plan.deferred] == [shown_at]
    assert world.clock.now() >= shown_at
    assert list(world.fleet.machines) == ["time-1"]
