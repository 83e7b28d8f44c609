"""Secrets of a version that no machine came to run, after its commit was taken back."""

from dataclasses import replace

import pytest

from reconciler.core.actions import SetSecrets
from reconciler.core.problems import Problem, Remedy
from reconciler.core.types import Trigger
from reconciler.loop.loose_secrets import LOOSE_SECRETS
from reconciler.loop.store.store import open_store

FULL = Problem(code="host-full", message="there is no room", remedy=Remedy.WAIT)
APP = "acme-time"


@pytest.fixture
async def shelf(world, tmp_path):
    """The real one, which outlives the process."""
    store = await open_store(tmp_path, world.clock)
    yield store.shelf(LOOSE_SECRETS)
    store.close()


@pytest.fixture
async def ahead(world, shelf):
    """A fleet whose second commit set other secrets and found no room for the machine."""
    world.ports = replace(world.ports, loose_secrets=shelf)
    world.restart()
    world.commit("one", "time=secret", token="old")
    await world.run()
    world.fleet.failing = {"Update time": FULL, "Create time": FULL}
    world.commit("two", "time=secret", token="new")
    await world.run()
    assert world.fleet.secrets[APP] == ["new"]
    world.fleet.applied.clear()
    return world


@pytest.mark.parametrize("restarted", [False, True], ids=["in the same process", "by the next process"])
async def test_a_commit_that_is_taken_back_takes_its_secrets_with_it(ahead, restarted):
    if restarted:
        ahead.restart()
    ahead.commit("three", "time=secret", token="old")
    finished = await ahead.run()
    assert ahead.fleet.secrets[APP] == ["old"]
    assert ahead.done() == ["SetSecrets time"]
    assert ahead.states(finished) == {"time": "ready"}


async def test_secrets_that_are_not_declared_any_more_are_unset(world):
    world.commit("one", "time")
    await world.run()
    world.fleet.failing = {"Update time": FULL, "Create time": FULL}
    world.commit("two", "time=secret", token="new")
    await world.run()
    world.commit("three", "time")
    await world.run()
    assert world.fleet.secrets[APP] == []


async def test_it_is_done_once(ahead):
    ahead.commit("three", "time=secret", token="old")
    await ahead.run()
    ahead.fleet.applied.clear()
    finished = await ahead.run(Trigger.POLL)
    assert finished.plan.empty
    assert ahead.fleet.applied == []


async def test_what_could_not_be_set_back_is_tried_again_when_its_time_comes(ahead):
    ahead.fleet.failing = {"SetSecrets time": FULL}
    ahead.commit("three", "time=secret", token="old")
    assert not (await ahead.run()).settled
    waits = await ahead.run(Trigger.POLL)
    assert waits.plan.actions == ()
    assert [type(waiting.action) for waiting in waits.plan.deferred] == [SetSecrets]
    ahead.fleet.failing = {}
    ahead.clock.advance(60)
    await ahead.run(Trigger.POLL)
    assert ahead.fleet.secrets[APP] == ["old"]


async def test_while_the_new_version_is_still_wanted_its_secrets_stay(ahead, shelf):
    ahead.restart()
    await ahead.run(Trigger.POLL)
    assert ahead.fleet.secrets[APP] == ["new"]
    assert [app for app, _ in await shelf.load()] == [APP]


async def test_a_machine_that_follows_settles_its_secrets(ahead, shelf):
    ahead.fleet.failing = {}
    ahead.clock.advance(60)
    await ahead.run(Trigger.POLL)
    assert not await shelf.load()


async def test_nothing_is_done_while_it_cannot_be_remembered(ahead, shelf, monkeypatch):
    async def refuse(_texts):
        raise ahead.bug

    monkeypatch.setattr(shelf, "save", refuse)
    ahead.commit("three", "time=secret", token="third")
    await ahead.run()
    assert ahead.fleet.secrets[APP] == ["new"]
    assert ahead.fleet.applied == []


async def test_secrets_of_a_machine_that_somebody_destroyed_are_unset_before_the_next_is_made(world):
    world.commit("one", "time=secret", token="old")
    await world.run()
    world.fleet.machines.clear()
    world.commit("two", "time")
    finished = await world.run()
    assert world.states(finished) == {"time": "ready"}
    assert world.fleet.secrets[APP] == []


async def test_secrets_of_a_version_that_never_ran_are_unset_before_another_one_runs(world):
    world.commit("one", "time")
    await world.run()
    world.fleet.failing = {"Update time": FULL, "Create time": FULL}
    world.commit("two", "time=secret", token="new")
    await world.run()
    world.fleet.failing = {}
    world.commit("three", "time=changed@2")
    await world.run()
    assert world.fleet.secrets[APP] == []
