"""The store against real databases of both kinds, SQLite and PostgreSQL: what it keeps and what it forgets."""

import signal
import subprocess
import sys
from dataclasses import replace

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from reconciler.core.actions import Action, CreateApp, DestroyApp, Outcome, Pass, Plan
from reconciler.core.problems import Problem
from reconciler.core.types import OutcomeKind, Revision, ServerState, ServerStatus, Trigger
from reconciler.errors import InternalFault
from reconciler.loop.store import open_store
from reconciler.loop.store.tables import metadata

COMMIT = Revision(commit="c" * 40, branch="main", source="/repository")
CREATE = CreateApp(server="time", app="acme-time", network="acme-time", reason="new")
DESTROY = DestroyApp(server="time", app="acme-time", reason="gone")


@pytest.fixture
def open_again(tmp_path, world, database_url):
    """Opens the store of this test, as often as it is called."""
    return lambda: open_store(tmp_path / "state", world.clock, url=database_url)


@pytest.fixture
async def store(open_again):
    opened = await open_again()
    yield opened
    opened.close()


@pytest.fixture
def lived(world, store):
    """A world whose passes are remembered by the real store."""
    world.ports = replace(world.ports, memory=store)
    world.restart()
    return world


def plan_of(*actions: Action) -> Plan:
    return Plan(fleet="acme", revision=COMMIT, actions=actions, digest="d")


async def test_a_new_store_is_empty(store):
    assert await store.latest_pass() is None
    assert await store.last_good() is None
    assert await store.statuses() == ()
    assert await store.history() == ()
    assert await store.open_intents() == ()
    assert await store.owned_apps() == frozenset()


async def test_a_pass_is_read_back_as_it_was(lived, store):
    lived.commit("one", "time=secret memory")
    finished = await lived.run(Trigger.START)
    assert await store.latest_pass() == finished
    assert await store.pass_by_number(finished.number) == finished
    assert await store.statuses() == finished.statuses
    assert await store.last_good() == finished.applied_revision
    assert await store.owned_apps() == {"acme-memory", "acme-time"}
    assert await store.open_intents() == ()


async def test_what_is_kept_survives_a_restart(lived, store, open_again):
    lived.commit("one", "time")
    finished = await lived.run(Trigger.START)
    store.close()
    again = await open_again()
    assert await again.latest_pass() == finished
    assert await again.next_number() == finished.number + 1
    again.close()


async def test_history_has_the_newest_pass_first_and_can_be_asked_by_commit(lived, store):
    lived.commit("one", "time")
    first = await lived.run(Trigger.START)
    lived.commit("two", "!")
    second = await lived.run()
    lines = await store.history()
    assert [(line.number, line.settled, line.problems) for line in lines] == [(2, False, 2), (1, True, 0)]
    assert lines[0].applied_commit == first.revision.commit
    assert [line.number for line in await store.history(commit=second.revision.commit)] == [2]
    assert [line.number for line in await store.history(limit=1)] == [2]


async def test_health_passes_that_change_nothing_leave_one_line_in_the_history(lived, store):
    lived.commit("one", "time")
    await lived.run(Trigger.START)
    for _ in range(5):
        latest = await lived.run(Trigger.HEALTH)
    assert [line.number for line in await store.history()] == [latest.number, 1]


async def test_transitions_tell_when_a_server_changed_its_state(lived, store):
    lived.commit("one", "time memory")
    await lived.run(Trigger.START)
    lived.clock.advance(60)
    lived.fleet.machines.pop("time-1")
    lived.fleet.failing["Create"] = Problem(code="full", message="the region is full")
    await lived.run(Trigger.HEALTH)
    found = await store.transitions("time")
    assert [(change.state, change.cause) for change in found] == [
        (ServerState.FAILED, "platform"),
        (ServerState.READY, None),
    ]
    assert found[0].at > found[1].at
    assert len(await store.transitions()) == 3


async def test_an_intent_without_an_outcome_is_told_until_a_pass_looks_behind_it(store, world):
    number = await store.next_number()
    await store.record_intents(number, plan_of(CREATE))
    (intent,) = await store.open_intents()
    assert (intent.number, intent.action, intent.recorded_at) == (number, CREATE, world.clock.now())
    world.ports = replace(world.ports, memory=store)
    world.restart()
    world.commit("one", "memory")
    await world.run(Trigger.START)
    assert await store.open_intents() == ()


async def test_an_outcome_that_was_never_announced_is_refused(store):
    number = await store.next_number()
    with pytest.raises(InternalFault, match="had not announced"):
        await store.record_outcome(number, Outcome(action=CREATE, kind=OutcomeKind.APPLIED))


async def test_an_app_is_owned_from_its_intent_until_it_is_destroyed(store):
    number = await store.next_number()
    await store.record_intents(number, plan_of(CREATE))
    assert await store.owned_apps() == {"acme-time"}
    later = await store.next_number()
    await store.record_intents(later, plan_of(DESTROY))
    await store.record_outcome(later, Outcome(action=DESTROY, kind=OutcomeKind.FAILED))
    assert await store.owned_apps() == {"acme-time"}
    last = await store.next_number()
    await store.record_intents(last, plan_of(DESTROY))
    await store.record_outcome(last, Outcome(action=DESTROY, kind=OutcomeKind.APPLIED))
    assert await store.owned_apps() == frozenset()


async def test_the_last_good_revision_is_the_newest_that_was_kept(store):
    await store.keep_last_good(COMMIT)
    newer = replace(COMMIT, commit="d" * 40, subject="Größer")
    await store.keep_last_good(newer)
    assert await store.last_good() == newer


async def test_an_intent_survives_a_kill_in_the_middle_of_its_action(tmp_path, open_again, database_url):
    program = (
        "import anyio, os, signal, sys\n"
        "from pathlib import Path\n"
        "from reconciler.core.actions import Action, CreateApp, Plan\n"
        "from reconciler.core.types import Revision\n"
        "from reconciler.loop.clock import SystemClock\n"
        "from reconciler.loop.store import open_store\n"
        "async def main():\n"
        "    store = await open_store(Path(sys.argv[1]), SystemClock(), url=sys.argv[2])\n"
        "    action = CreateApp(server='time', app='acme-time', network='acme-time', reason='new')\n"
        "    revision = Revision(commit='c' * 40, branch='main', source='/repository')\n"
        "    await store.record_intents(await store.next_number(), "
        "Plan(fleet='acme', revision=revision, actions=(action,)))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "anyio.run(main)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "state"), database_url]
    killed = await anyio.to_thread.run_sync(lambda: subprocess.run(command, check=False, timeout=50))
    assert killed.returncode == -signal.SIGKILL
    store = await open_again()
    assert [intent.action for intent in await store.open_intents()] == [CREATE]
    assert await store.owned_apps() == {"acme-time"}
    store.close()


async def test_several_that_open_a_new_store_at_once_all_get_it(open_again):
    stores = []

    async def open_one() -> None:
        stores.append(await open_again())

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(open_one)
    assert sorted([await store.next_number() for store in stores]) == [1, 2, 3, 4]
    for store in stores:
        store.close()


async def test_the_migrations_make_exactly_the_tables_that_the_code_uses(store, tmp_path, database_url):
    url = database_url.replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(url or f"sqlite:///{tmp_path / 'state' / 'catwalk.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_the_history_has_an_end(store, world, monkeypatch):
    monkeypatch.setattr("reconciler.loop.store.writes.KEPT_PASSES", 3)
    world.ports = replace(world.ports, memory=store)
    world.restart()
    world.commit("one", "time")
    for _ in range(6):
        await world.run()
    assert [line.number for line in await store.history()] == [6, 5, 4]


async def test_a_status_of_a_server_that_left_is_forgotten(lived, store):
    lived.commit("one", "time memory")
    await lived.run(Trigger.START)
    lived.commit("two", "time")
    await lived.run()
    assert [status.server for status in await store.statuses()] == ["time"]


async def test_a_thousand_verdicts_that_did_not_change_are_not_written_again(store, world):
    now = world.clock.now()
    statuses = tuple(ServerStatus(server=f"s{n}", state=ServerState.READY, since=now) for n in range(1000))
    world.ports = replace(world.ports, memory=store)
    world.commit("one", "time")
    finished = replace(await world.run(Trigger.HEALTH), statuses=statuses, number=1)
    await store.record_pass(finished)
    await store.record_pass(replace(finished, number=2, outcomes=()))
    assert len(await store.statuses()) == 1000
    assert len(await store.transitions(limit=5000)) == 1000


async def test_the_history_tells_how_often_the_most_stubborn_failure_was_tried(lived, store):
    lived.commit("one", "time memory")
    lived.fleet.failing["Create memory"] = Problem(code="full", message="the region is full")
    await lived.run(Trigger.START)
    lived.clock.advance(3600)
    await lived.run()
    lived.fleet.failing.clear()
    lived.clock.advance(3600)
    await lived.run()
    assert [line.attempts for line in await store.history()] == [0, 2, 1]


async def test_a_failure_that_nothing_tried_again_for_a_day_is_forgotten(lived, store):
    lived.commit("one", "time memory")
    lived.fleet.failing["Create memory"] = Problem(code="full", message="the region is full")
    await lived.run(Trigger.START)
    lived.commit("two", "time")
    lived.clock.advance(24 * 3600 + 10)
    await lived.run()
    assert await store.setbacks() == ()


async def test_writers_that_count_at_once_never_get_the_same_number(store, open_again):
    other = await open_again()
    numbers: list[int] = []

    async def count(counting) -> None:
        numbers.extend([await counting.next_number() for _ in range(20)])

    async with anyio.create_task_group() as group:
        group.start_soon(count, store)
        group.start_soon(count, other)
    assert sorted(numbers) == list(range(1, 41))
    other.close()


async def test_two_that_record_passes_at_once_leave_both(store, open_again, world):
    other = await open_again()
    now = world.clock.now()

    async def record(recording, server: str) -> None:
        status = ServerStatus(server=server, state=ServerState.READY, since=now)
        for _ in range(10):
            number = await recording.next_number()
            await recording.record_intents(number, plan_of(CREATE))
            await recording.record_outcome(number, Outcome(action=CREATE, kind=OutcomeKind.APPLIED))
            finished = Pass(number=number, trigger=Trigger.COMMIT, started_at=now, finished_at=now, statuses=(status,))
            await recording.record_pass(finished)

    async with anyio.create_task_group() as group:
        group.start_soon(record, store, "time")
        group.start_soon(record, other, "memory")
    assert sorted(line.number for line in await store.history()) == list(range(1, 21))
    assert await store.owned_apps() == {"acme-time"}
    other.close()


async def test_a_commit_may_be_abbreviated_and_its_line_tells_what_a_page_needs(lived, store):
    lived.commit("one", "time")
    finished = await lived.run(Trigger.START)
    (line,) = await store.history(commit=finished.revision.commit[:7])
    assert (line.branch, line.subject, line.failed) == (finished.revision.branch, finished.revision.subject, 0)
    assert await store.history(commit="0123456") == ()


async def test_another_configuration_in_the_same_state_is_a_transition_at_its_own_time(store, world):
    began = world.clock.now()
    status = ServerStatus(server="time", state=ServerState.READY, revision="a" * 40, since=began)
    for number, commit in ((1, "a" * 40), (2, "b" * 40)):
        at = began.replace(minute=number)
        seen = replace(status, revision=commit)
        await store.record_pass(
            Pass(number=number, trigger=Trigger.COMMIT, started_at=at, finished_at=at, statuses=(seen,))
        )
    found = [(change.pass_number, change.revision[:1], change.at) for change in await store.transitions("time")]
    assert found == [(2, "b", began.replace(minute=2)), (1, "a", began)]
