"""The store against real SQLite files: what it keeps, what it forgets, and how it says that it cannot."""

import signal
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from reconciler.core.actions import Action, CreateApp, DestroyApp, Outcome, Plan
from reconciler.core.problems import Problem
from reconciler.core.types import OutcomeKind, Revision, ServerState, ServerStatus, Trigger
from reconciler.errors import EnvironmentFault, InternalFault, Unavailable
from reconciler.loop.store import database as database_module
from reconciler.loop.store import open_store
from reconciler.loop.store.tables import metadata

COMMIT = Revision(commit="c" * 40, branch="main", source="/repository")
CREATE = CreateApp(server="time", app="acme-time", network="acme-time", reason="new")
DESTROY = DestroyApp(server="time", app="acme-time", reason="gone")


@pytest.fixture
async def store(tmp_path, world):
    opened = await open_store(tmp_path / "state", world.clock)
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


async def test_files_of_the_store_belong_to_their_owner_alone(store, tmp_path):
    await store.next_number()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
    assert modes == dict.fromkeys(("catwalk.db", "catwalk.db-wal", "catwalk.db-shm"), 0o600)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


async def test_a_pass_is_read_back_as_it_was(lived, store):
    lived.commit("one", "time=secret memory")
    finished = await lived.run(Trigger.START)
    assert await store.latest_pass() == finished
    assert await store.pass_by_number(finished.number) == finished
    assert await store.statuses() == finished.statuses
    assert await store.last_good() == finished.applied_revision
    assert await store.owned_apps() == {"acme-memory", "acme-time"}
    assert await store.open_intents() == ()


async def test_what_is_kept_survives_a_restart(lived, store, tmp_path):
    lived.commit("one", "time")
    finished = await lived.run(Trigger.START)
    store.close()
    again = await open_store(tmp_path / "state", lived.clock)
    assert await again.latest_pass() == finished
    assert await again.next_number() == finished.number + 1
    again.close()


async def test_no_secret_is_in_any_file_of_the_store(lived, tmp_path):
    lived.commit("one", "time=secret")
    lived.fleet.output = f'{{"state": "failed", "detail": "token {lived.canary}"}}'
    await lived.run(Trigger.START)
    contents = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert b"acme-time" in contents
    assert lived.canary.encode() not in contents


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


async def test_an_intent_survives_a_kill_in_the_middle_of_its_action(tmp_path, world):
    program = (
        "import anyio, os, signal, sys\n"
        "from pathlib import Path\n"
        "from reconciler.core.actions import Action, CreateApp, Plan\n"
        "from reconciler.core.types import Revision\n"
        "from reconciler.loop.clock import SystemClock\n"
        "from reconciler.loop.store import open_store\n"
        "async def main():\n"
        "    store = await open_store(Path(sys.argv[1]), SystemClock())\n"
        "    action = CreateApp(server='time', app='acme-time', network='acme-time', reason='new')\n"
        "    revision = Revision(commit='c' * 40, branch='main', source='/repository')\n"
        "    await store.record_intents(await store.next_number(), "
        "Plan(fleet='acme', revision=revision, actions=(action,)))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "anyio.run(main)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    killed = await anyio.to_thread.run_sync(lambda: subprocess.run(command, check=False, timeout=50))
    assert killed.returncode == -signal.SIGKILL
    store = await open_store(tmp_path, world.clock)
    assert [intent.action for intent in await store.open_intents()] == [CREATE]
    assert await store.owned_apps() == {"acme-time"}
    store.close()


async def test_a_reader_in_another_process_does_not_wait_for_a_writer(store, tmp_path, world):
    await store.keep_last_good(COMMIT)
    writer = sqlite3.connect(tmp_path / "state" / "catwalk.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM good_revisions")
    with anyio.fail_after(5):
        assert await store.last_good() == COMMIT
    writer.execute("ROLLBACK")
    writer.close()


async def test_a_database_that_stays_locked_is_unavailable_and_the_write_can_be_repeated(tmp_path, world, monkeypatch):
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_S", 0.01)
    store = await open_store(tmp_path, world.clock)
    writer = sqlite3.connect(tmp_path / "catwalk.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="another process"):
        await store.next_number()
    writer.close()
    assert await store.next_number() == 1
    store.close()


async def test_two_processes_that_open_a_new_store_at_once_both_get_it(tmp_path, world):
    stores = []

    async def open_one() -> None:
        stores.append(await open_store(tmp_path, world.clock))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(open_one)
    assert sorted([await store.next_number() for store in stores]) == [1, 2, 3, 4]
    for store in stores:
        store.close()


async def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(store, tmp_path, world):
    store.close()
    path = tmp_path / "state" / "catwalk.db"
    other = sqlite3.connect(path)
    other.execute("UPDATE alembic_version SET version_num = '9999'")
    other.commit()
    other.close()
    with pytest.raises(EnvironmentFault, match="newer version") as caught:
        await open_store(tmp_path / "state", world.clock)
    assert caught.value.problem.code == "database-newer"
    other = sqlite3.connect(path)
    assert other.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)
    other.close()


@pytest.mark.parametrize("damage", [b"this is no database at all" * 100, None])
async def test_a_damaged_database_says_that_it_may_be_deleted_and_what_is_lost(tmp_path, world, damage):
    store = await open_store(tmp_path, world.clock)
    await store.keep_last_good(COMMIT)
    store.close()
    path = tmp_path / "catwalk.db"
    path.write_bytes(damage or path.read_bytes()[:5000] + b"\xff" * 20_000)
    with pytest.raises(EnvironmentFault) as caught:
        await _use(tmp_path, world)
    assert caught.value.problem.code == "database-corrupt"
    assert str(path) in caught.value.problem.message
    assert "history" in caught.value.problem.hint
    for name in tmp_path.iterdir():
        name.unlink()
    assert await _use(tmp_path, world) is None


async def _use(state_dir: Path, world):
    store = await open_store(state_dir, world.clock)
    try:
        await store.statuses()
        await store.next_number()
        return await store.last_good()
    finally:
        store.close()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        pytest.param("no url", "database-url-invalid", id="no URL"),
        pytest.param("oracle+nothing://host/name", "database-driver-missing", id="an unknown driver"),
        pytest.param("sqlite:////proc/nowhere/catwalk.db", "state-unusable", id="a folder that cannot be made"),
    ],
)
async def test_a_database_url_that_cannot_be_used_is_explained(tmp_path, world, url, code):
    with pytest.raises(EnvironmentFault) as caught:
        await open_store(tmp_path, world.clock, url=url)
    assert caught.value.problem.code == code


async def test_a_password_in_a_database_url_is_never_shown(tmp_path, world):
    with pytest.raises(EnvironmentFault) as caught:
        await open_store(tmp_path, world.clock, url="oracle+nothing://me:pass-canary@host/name")
    assert "pass-canary" not in str(caught.value)


async def test_the_migrations_make_exactly_the_tables_that_the_code_uses(store, tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'state' / 'catwalk.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_a_migration_that_fails_leaves_nothing_behind(tmp_path, world, monkeypatch):
    steps = tmp_path / "migrations"
    (steps / "versions").mkdir(parents=True)
    (steps / "env.py").write_text((Path(database_module.__file__).parent / "migrations/env.py").read_text())
    (steps / "versions" / "a.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\nrevision, down_revision = 'a', None\n"
        "def upgrade():\n    op.create_table('half', sa.Column('x', sa.Integer))\n    op.execute('no sql')\n"
    )
    monkeypatch.setattr("reconciler.loop.store.schema.MIGRATIONS", steps)
    with pytest.raises(EnvironmentFault):
        await open_store(tmp_path / "state", world.clock)
    left = sqlite3.connect(tmp_path / "state" / "catwalk.db")
    assert left.execute("SELECT name FROM sqlite_master").fetchall() == []
    left.close()


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
