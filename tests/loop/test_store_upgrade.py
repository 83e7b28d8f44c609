"""A database that an older version left behind: every row is still there after the upgrade, and means the same."""

import sqlite3
from dataclasses import replace

from alembic import command
from sqlalchemy import create_engine

from reconciler.core.actions import Pass, Plan
from reconciler.core.holds import Hold
from reconciler.core.types import Revision, ServerState, ServerStatus, Trigger
from reconciler.loop.store import open_store, schema
from reconciler.loop.store.documents import to_document

GOOD = Revision(commit="c" * 40, branch="main", source="/repository")
AT = "2026-11-01T12:00:00.000000+00:00"
COUNTED = "INSERT INTO counters VALUES ('passes', 41)"
PASS = "INSERT INTO passes VALUES (41, 'commit', ?, ?, ?, ?, 0, 0, 1, 0, ?)"
INTENT = "INSERT INTO intents VALUES (41, 'k', 0, 'time', '{}', ?, 'applied', '{}')"
SERVER = "INSERT INTO servers VALUES ('time', ?)"
TRANSITION = "INSERT INTO transitions VALUES (7, 'time', 'ready', '', '', ?, ?)"
REVISION = 'INSERT INTO good_revisions (id, "commit", document, kept_at) VALUES (3, ?, ?, ?)'
APP = "INSERT INTO owned_apps VALUES ('acme-time', 'time')"


def first_schema(path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        command.upgrade(schema._config(connection), "0001")
    engine.dispose()


async def test_rows_of_the_first_schema_are_kept(tmp_path, world):
    now = world.clock.now()
    status = ServerStatus(server="time", state=ServerState.READY, since=now)
    old = Pass(number=41, trigger=Trigger.COMMIT, started_at=now, finished_at=now, revision=GOOD, statuses=(status,))
    path = tmp_path / "catwalk.db"
    first_schema(path)
    with sqlite3.connect(path) as rows:
        rows.execute(COUNTED)
        rows.execute(PASS, (AT, AT, GOOD.commit, GOOD.commit, to_document(old)))
        rows.execute(INTENT, (AT,))
        rows.execute(SERVER, (to_document(status),))
        rows.execute(TRANSITION, (AT, GOOD.commit))
        rows.execute(REVISION, (GOOD.commit, to_document(GOOD), AT))
        rows.execute(APP)
    rows.close()

    store = await open_store(tmp_path, world.clock)
    assert await store.latest_pass() == old
    assert [(line.number, line.attempts) for line in await store.history()] == [(41, 0)]
    assert await store.statuses() == (status,)
    assert [change.server for change in await store.transitions()] == ["time"]
    assert await store.last_good() == GOOD
    assert await store.owned_apps() == {"acme-time"}
    assert await store.next_number() == 42
    await _live_on(store, old)
    store.close()


async def _live_on(store, old: Pass) -> None:
    """What is new has its place too."""
    hold = Hold(server="time", commit=GOOD.commit, digest="d", cause=None, detail="", held_at=old.finished_at)
    await store.hold(hold)
    await store.record_intents(42, Plan(fleet="acme", revision=GOOD, actions=()))
    await store.record_pass(replace(old, number=42))
    assert await store.holds() == (hold,)
    assert [line.number for line in await store.history()] == [42, 41]


async def test_a_table_written_before_an_upgrade_is_opened_twice_without_harm(tmp_path, world):
    first_schema(tmp_path / "catwalk.db")
    for _ in range(2):
        store = await open_store(tmp_path, world.clock)
        assert await store.setbacks() == ()
        store.close()
