"""What a pass expects of its memory, asked of the real store and of the double that the other tests use."""

from dataclasses import replace

import pytest

from reconciler.core.actions import Action, Create, CreateApp, DestroyApp, Outcome, Pass, Plan, SetSecrets, Start
from reconciler.core.holds import GoodServer, Hold
from reconciler.core.problems import Problem
from reconciler.core.types import Cause, DesiredMachine, OutcomeKind, Revision, ServerState, ServerStatus, Trigger
from reconciler.loop.ports import Memory
from reconciler.loop.store import open_store

GOOD = Revision(commit="c" * 40, branch="main", source="/repository")
CREATE = CreateApp(server="time", app="acme-time", network="acme-time", reason="new")
DESTROY = DestroyApp(server="time", app="acme-time", reason="gone")
MACHINE = DesiredMachine(app="acme-time", server="time", name="time-1", region="iad", config="{}", digest="d1")
MAKE = Create(server="time", app="acme-time", machine=MACHINE, reason="new")
SECRETS = SetSecrets(server="time", app="acme-time", names=("TOKEN",), reason="changed")
FULL = Problem(code="region-full", message="the region is full")
KINDS = {"applied": OutcomeKind.APPLIED, "adopted": OutcomeKind.ADOPTED}


@pytest.fixture(params=["the double", "sqlite", "postgresql"])
async def memory(request, world, tmp_path):
    if request.param == "the double":
        yield world.memory
        return
    url = ""
    if request.param == "postgresql":
        postgres = request.getfixturevalue("postgres")
        url = postgres.url(postgres.new_database())
    store = await open_store(tmp_path, world.clock, url=url)
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


async def attempt(memory: Memory, action: Action, kind: OutcomeKind = OutcomeKind.FAILED) -> None:
    number = await memory.next_number()
    await memory.record_intents(number, Plan(fleet="acme", revision=GOOD, actions=(action,)))
    problem = FULL if kind is OutcomeKind.FAILED else None
    await memory.record_outcome(number, Outcome(action=action, kind=kind, problem=problem))


async def test_each_failure_in_a_row_waits_twice_as_long_up_to_ten_minutes(memory: Memory, world):
    waits = []
    for _ in range(9):
        await attempt(memory, MAKE)
        (found,) = await memory.setbacks()
        waits.append((found.attempts, (found.not_before - world.clock.now()).total_seconds()))
    assert waits == list(enumerate([5, 10, 20, 40, 80, 160, 320, 600, 600], start=1))
    assert (found.server, found.machine, found.digest, found.code) == ("time", "time-1", "d1", "region-full")


@pytest.mark.parametrize("kind", [pytest.param(kind, id=name) for name, kind in KINDS.items()])
async def test_an_action_that_is_done_ends_its_setback(memory: Memory, kind):
    await attempt(memory, MAKE)
    await attempt(memory, MAKE, kind)
    assert await memory.setbacks() == ()


async def test_another_digest_begins_anew(memory: Memory):
    await attempt(memory, MAKE)
    await attempt(memory, MAKE)
    await attempt(memory, replace(MAKE, machine=replace(MACHINE, digest="d2")))
    (found,) = await memory.setbacks()
    assert (found.digest, found.attempts) == ("d2", 1)


async def test_an_action_that_was_skipped_changes_no_setback(memory: Memory):
    await attempt(memory, MAKE)
    before = await memory.setbacks()
    await attempt(memory, MAKE, OutcomeKind.SKIPPED)
    assert await memory.setbacks() == before


async def test_a_failure_of_the_app_names_no_machine_and_only_the_same_action_ends_it(memory: Memory):
    await attempt(memory, SECRETS)
    await attempt(memory, CREATE, OutcomeKind.APPLIED)
    await attempt(memory, SECRETS)
    (found,) = await memory.setbacks()
    assert (found.server, found.machine, found.digest, found.attempts) == ("time", "", "", 2)
    await attempt(memory, SECRETS, OutcomeKind.APPLIED)
    assert await memory.setbacks() == ()


async def test_a_start_that_fails_stands_beside_the_machine_that_cannot_be_made(memory: Memory):
    await attempt(memory, MAKE)
    await attempt(memory, Start(server="time", app="acme-time", machine_id="m1", reason="stopped"))
    assert [(found.machine, found.digest) for found in await memory.setbacks()] == [("m1", ""), ("time-1", "d1")]


async def test_an_action_may_be_tried_again_within_one_pass(memory: Memory):
    number = await memory.next_number()
    plan = Plan(fleet="acme", revision=GOOD, actions=(MAKE,))
    for kind in (OutcomeKind.FAILED, OutcomeKind.APPLIED):
        await memory.record_intents(number, plan)
        await memory.record_outcome(number, Outcome(action=MAKE, kind=kind))
    assert await memory.setbacks() == ()


async def test_a_good_configuration_takes_the_place_of_the_one_before(memory: Memory):
    assert await memory.good_servers() == {}
    first = GoodServer(server="time", digest="d1", revision=GOOD)
    other = GoodServer(server="memory", digest="d9", revision=GOOD)
    await memory.keep_good_servers([first, other])
    second = replace(first, digest="d2", revision=replace(GOOD, commit="d" * 40))
    await memory.keep_good_servers([second])
    assert await memory.good_servers() == {"time": second, "memory": other}


async def test_a_hold_stands_until_it_is_released(memory: Memory, world):
    now = world.clock.now()
    first = Hold(server="time", commit=GOOD.commit, digest="d1", cause=Cause.TIMEOUT, detail="slow", held_at=now)
    other = Hold(server="memory", commit=GOOD.commit, digest="d9", cause=None, detail="", held_at=now)
    await memory.hold(first)
    await memory.hold(other)
    second = replace(first, fallback="d" * 40)
    await memory.hold(second)
    assert await memory.holds() == (other, second)
    await memory.release_holds(["time", "unheard-of"])
    assert await memory.holds() == (other,)


async def test_a_server_whose_app_is_destroyed_is_forgotten(memory: Memory, world):
    await attempt(memory, MAKE)
    await memory.keep_good_servers([GoodServer(server="time", digest="d1", revision=GOOD)])
    now = world.clock.now()
    await memory.hold(Hold(server="time", commit=GOOD.commit, digest="d", cause=None, detail="", held_at=now))
    await attempt(memory, DESTROY, OutcomeKind.APPLIED)
    assert (await memory.setbacks(), await memory.good_servers(), await memory.holds()) == ((), {}, ())


async def test_an_agreement_to_a_removal_holds_for_a_day_or_until_it_is_used(memory: Memory, world):
    await memory.confirm_prune("used")
    await memory.confirm_prune("forgotten")
    assert await memory.confirmed_prunes() == {"used", "forgotten"}
    await memory.use_prune("used")
    world.clock.advance(24 * 3600 - 1)
    await memory.confirm_prune("renewed")
    assert await memory.confirmed_prunes() == {"forgotten", "renewed"}
    world.clock.advance(1)
    assert await memory.confirmed_prunes() == {"renewed"}


async def test_apps_whose_removal_was_agreed_to_are_kept_for_a_day_from_the_first_time(memory: Memory, world):
    await memory.keep_agreed_apps(["acme-time", "acme-wiki"])
    world.clock.advance(24 * 3600 - 1)
    await memory.keep_agreed_apps(["acme-time", "acme-memory"])
    assert await memory.agreed_apps() == {"acme-time", "acme-memory"}
    world.clock.advance(1)
    assert await memory.agreed_apps() == {"acme-memory"}
