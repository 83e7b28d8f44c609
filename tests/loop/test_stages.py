"""Changes in stages: what waits is waited for, in one pass or in several, and is told while it does."""

import anyio
import pytest

from reconciler.core.actions import Cordon, Create, Destroy, Stop
from reconciler.core.problems import Problem, Remedy
from reconciler.core.types import Trigger
from reconciler.errors import Unavailable

FULL = Problem(code="region-full", message="the region is full", remedy=Remedy.WAIT)


@pytest.fixture
async def awake(world):
    """`time` must always have one machine awake, and runs at version 1."""
    world.commit("one", "time=x@1*1")
    assert world.states(await world.run()) == {"time": "ready"}
    world.fleet.applied.clear()
    return world


def kinds(world):
    return [type(action).__name__ for action in world.fleet.applied]


async def test_the_old_machine_goes_when_the_new_one_is_healthy_and_not_before(awake):
    awake.commit("two", "time=x@2*1")
    serving: list[int] = []

    def look(action: object) -> None:
        if isinstance(action, Cordon | Stop | Destroy):
            passing = [machine for machine in awake.fleet.machines.values() if "time@2" in machine.config]
            serving.append(len(passing))

    awake.fleet.before_apply = look
    finished = await awake.run()
    assert awake.states(finished) == {"time": "ready"}
    assert finished.settled
    assert kinds(awake)[-3:] == ["Cordon", "Stop", "Destroy"]
    assert serving == [1, 1, 1]
    assert [machine.config.partition("time@")[2][0] for machine in awake.fleet.machines.values()] == ["2"]


async def test_the_plan_of_the_pass_tells_the_whole_change(awake):
    awake.commit("two", "time=x@2*1")
    finished = await awake.run()
    assert finished.plan is not None
    assert [type(action) for action in finished.plan.actions] == [Create]
    assert Destroy in [type(waiting.action) for waiting in finished.plan.deferred]


async def test_a_machine_that_does_not_answer_over_mcp_replaces_nobody(awake):
    awake.commit("two", "time=x@2*1")
    awake.prober.results["acme-time"] = awake.mute
    finished = await awake.run()
    assert "Destroy" not in kinds(awake)
    assert len(awake.fleet.machines) == 2
    assert not finished.settled


async def test_the_first_machine_of_a_change_goes_alone(world):
    world.commit("one", "time=x@1*4")
    assert world.states(await world.run()) == {"time": "ready"}
    world.fleet.broken["time@2"] = '{"state": "failed", "cause": "missing-variable", "detail": "x"}'
    world.fleet.applied.clear()
    world.commit("two", "time=x@2*4")
    finished = await world.run()
    assert world.states(finished) == {"time": "held"}
    assert kinds(world).count("Create") == 1
    assert all("time@1" in machine.config for machine in world.fleet.machines.values())


async def test_a_pass_that_is_woken_leaves_the_rest_to_the_next_one(awake):
    awake.commit("two", "time=x@2*1")
    woken = anyio.Event()
    awake.on_pause = woken.set
    first = await awake.run(woken=woken)
    assert not first.settled
    assert [type(waiting.action) for waiting in first.waiting][-1] is Destroy
    awake.restart()
    second = await awake.run(Trigger.HEALTH)
    assert second.settled
    assert len(awake.fleet.machines) == 1


async def test_what_failed_waits_and_goes_on_being_told(world):
    world.commit("one", "time")
    world.fleet.failing["Create"] = FULL
    await world.run()
    assert "Create" not in kinds(world)
    world.fleet.applied.clear()
    waiting = await world.run(Trigger.HEALTH)
    assert world.fleet.applied == []
    assert world.states(waiting) == {"time": "failed"}
    assert waiting.statuses[0].problem == Problem(
        code="region-full", message="the region is full", remedy=Remedy.WAIT, server="time"
    )
    world.fleet.failing.clear()
    world.clock.advance(600)
    assert world.states(await world.run(Trigger.HEALTH)) == {"time": "ready"}


@pytest.mark.parametrize("trigger", [Trigger.COMMAND, Trigger.COMMIT])
async def test_a_command_and_a_commit_try_at_once_what_failed_before_them(world, trigger):
    world.commit("one", "time")
    world.fleet.failing["Create"] = FULL
    await world.run()
    world.clock.advance(1)
    world.fleet.failing.clear()
    assert world.states(await world.run(trigger)) == {"time": "ready"}


async def test_an_order_that_failed_is_forgotten_with_its_machine(awake):
    held = Problem(code="machine-leased", message="somebody holds it", remedy=Remedy.WAIT)
    awake.fleet.failing["Stop"] = held
    awake.commit("two", "time=x@2*1")
    assert awake.states(await awake.run()) == {"time": "degraded"}
    awake.fleet.failing.clear()
    old = next(name for name, machine in awake.fleet.machines.items() if "time@2" not in machine.config)
    del awake.fleet.machines[old]
    assert awake.states(await awake.run(Trigger.HEALTH)) == {"time": "ready"}


async def test_a_failure_stands_no_longer_once_everything_is_as_wanted(world):
    world.commit("one", "time")

    def lose_the_answer(action: object) -> None:
        if isinstance(action, Create):
            world.fleet.create(action)
            raise world.error(Unavailable, "fly-outcome-unknown")

    world.fleet.before_apply = lose_the_answer
    assert world.states(await world.run()) == {"time": "failed"}
    world.clock.advance(600)
    assert world.states(await world.run(Trigger.HEALTH)) == {"time": "ready"}


async def test_an_app_that_could_not_be_created_and_exists_after_all_holds_nobody_back(world):
    world.commit("one", "time")
    world.fleet.failing["CreateApp"] = FULL
    await world.run()
    world.fleet.apps.add("acme-time")
    world.clock.advance(600)
    finished = await world.run(Trigger.POLL)
    assert "CreateApp" not in kinds(world)
    assert world.states(finished) == {"time": "ready"}
