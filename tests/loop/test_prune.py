"""A revision that removes much of the fleet asks before it does, and what was agreed to is carried through."""

from reconciler.core.actions import DestroyApp
from reconciler.core.types import Trigger

FOUR = "clock memory time wiki"


async def test_a_commit_that_empties_the_fleet_removes_nothing_until_somebody_agrees(world):
    world.commit("one", FOUR)
    await world.run()
    world.commit("two", "")
    held = await world.run()
    assert len(world.fleet.machines) == 4
    assert held.plan is not None
    assert held.plan.prune is not None
    await world.memory.confirm_prune(held.plan.prune.digest)
    finished = await world.run(Trigger.COMMAND)
    assert world.fleet.machines == {}
    assert finished.settled


async def test_another_removal_than_the_agreed_one_asks_again(world):
    world.commit("one", FOUR)
    await world.run()
    world.commit("two", "clock")
    held = await world.run()
    assert held.plan is not None
    assert held.plan.prune is not None
    await world.memory.confirm_prune(held.plan.prune.digest)
    world.commit("three", "")
    await world.run()
    assert len(world.fleet.machines) == 4


async def test_a_few_servers_go_without_a_question(world):
    world.commit("one", FOUR)
    await world.run()
    world.commit("two", "memory time wiki")
    assert (await world.run()).settled
    assert sorted(world.fleet.machines) == ["memory-1", "time-1", "wiki-1"]


async def test_one_failure_of_an_agreed_removal_keeps_that_server_alone(world):
    world.commit("one", FOUR)
    await world.run()
    world.commit("two", "")
    held = await world.run()
    assert held.plan is not None
    assert held.plan.prune is not None
    await world.memory.confirm_prune(held.plan.prune.digest)
    world.fleet.failing["DestroyApp wiki"] = RuntimeError("lost")
    await world.run(Trigger.COMMAND)
    assert sorted(world.fleet.machines) == ["wiki-1"]
    assert len([action for action in world.fleet.applied if isinstance(action, DestroyApp)]) == 3
