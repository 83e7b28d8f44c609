"""What a pass expects of its memory, asked of the real store and of the double that the other tests use."""

from dataclasses import replace

import pytest

from reconciler.core.actions import CreateApp, DestroyApp, Outcome, Pass, Plan
from reconciler.core.types import OutcomeKind, Revision, ServerState, ServerStatus, Trigger
from reconciler.loop.ports import Memory
from reconciler.loop.store import open_store

GOOD = Revision(commit="c" * 40, branch="main", source="/repository")
CREATE = CreateApp(server="time", app="acme-time", network="acme-time", reason="new")
DESTROY = DestroyApp(server="time", app="acme-time", reason="gone")


@pytest.fixture(params=["the double", "the store"])
async def memory(request, world, tmp_path):
    if request.param == "the double":
        yield world.memory
        return
    store = await open_store(tmp_path, world.clock)
    yield store
    store.close()


async def test_numbers_count_up_and_never_repeat(memory: Memory):
    assert [await memory.next_number() for _ in range(3)] == [1, 2, 3]


async def test_the_last_good_revision_is_none_and_then_the_newest(memory: Memory):
    assert await memory.last_good() is None
    await memory.keep_last_good(GOOD)
    newer = replace(GOOD, commit="d" * 40)
    await memory.keep_last_good(newer)
    assert await memory.last_good() == newer


async def test_an_app_is_owned_from_its_intent_until_it_is_destroyed(memory: Memory):
    number = await memory.next_number()
    await memory.record_intents(number, Plan(fleet="acme", revision=GOOD, actions=(CREATE,)))
    assert await memory.owned_apps() == {"acme-time"}
    await memory.record_outcome(number, Outcome(action=CREATE, kind=OutcomeKind.FAILED))
    assert await memory.owned_apps() == {"acme-time"}
    number = await memory.next_number()
    await memory.record_intents(number, Plan(fleet="acme", revision=GOOD, actions=(DESTROY,)))
    await memory.record_outcome(number, Outcome(action=DESTROY, kind=OutcomeKind.APPLIED))
    assert await memory.owned_apps() == frozenset()


async def test_the_statuses_are_those_of_the_last_pass(memory: Memory, world):
    first = ServerStatus(server="time", state=ServerState.READY, since=world.clock.now())
    finished = Pass(
        number=await memory.next_number(),
        trigger=Trigger.START,
        started_at=world.clock.now(),
        finished_at=world.clock.now(),
        statuses=(first,),
    )
    await memory.record_pass(finished)
    assert await memory.statuses() == (first,)
    second = replace(first, state=ServerState.IDLE)
    await memory.record_pass(replace(finished, number=await memory.next_number(), statuses=(second,)))
    assert await memory.statuses() == (second,)
