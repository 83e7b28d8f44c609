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


async def agree_and_break_off(world) -> None:
    """Half of an agreed removal is done when the process ends."""
    world.commit("one", FOUR)
    await world.run()
    world.commit("two", "")
    held = await world.run()
    await world.memory.confirm_prune(held.plan.prune.digest)
    for server in ("time", "wiki"):
        world.fleet.failing[f"DestroyApp {server}"] = RuntimeError("lost")
    await world.run(Trigger.COMMAND)
    assert sorted(world.fleet.machines) == ["time-1", "wiki-1"]
    world.fleet.failing.clear()
    world.clock.advance(600)
    world.restart()


async def test_an_agreed_removal_is_finished_by_the_next_process_without_another_question(world):
    await agree_and_break_off(world)
    finished = await world.run(Trigger.POLL)
    assert world.fleet.machines == {}
    assert finished.settled


async def test_an_agreement_ends_when_the_server_is_declared_again(world):
    await agree_and_break_off(world)
    world.commit("three", "time wiki")
    await world.run()
    world.commit("four", "")
    held = await world.run()
    assert held.plan.prune is not None
    assert sorted(world.fleet.machines) == ["time-1", "wiki-1"]


async def test_an_agreement_to_what_is_gone_is_forgotten(world):
    await agree_and_break_off(world)
    await world.run(Trigger.POLL)
    await world.run(Trigger.POLL)
    assert await world.memory.agreed_apps() == frozenset()
