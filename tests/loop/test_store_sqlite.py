"""The store in SQLite files: who may read them, who waits for whom, and how it says that it cannot go on."""

import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from reconciler.core.types import Revision, Trigger
from reconciler.errors import EnvironmentFault, Unavailable
from reconciler.loop.store import open_store, sqlite
from reconciler.loop.store import schema as schema_module

COMMIT = Revision(commit="c" * 40, branch="main", source="/repository")


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


async def test_files_of_the_store_belong_to_their_owner_alone(store, tmp_path):
    await store.next_number()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
    assert modes == dict.fromkeys(("catwalk.db", "catwalk.db-wal", "catwalk.db-shm"), 0o600)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


async def test_no_secret_is_in_any_file_of_the_store(lived, tmp_path):
    lived.commit("one", "time=secret")
    lived.fleet.output = f'{{"state": "failed", "detail": "token {lived.canary}"}}'
    await lived.run(Trigger.START)
    contents = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert b"acme-time" in contents
    assert lived.canary.encode() not in contents


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
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.01)
    store = await open_store(tmp_path, world.clock)
    writer = sqlite3.connect(tmp_path / "catwalk.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="another process"):
        await store.next_number()
    writer.close()
    assert await store.next_number() == 1
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


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"this is no database at all" * 100, id="no database"),
        pytest.param(b"SQLite format 3\0" + b"\1" * 4080, id="a header without a database"),
        pytest.param(None, id="overwritten in the middle"),
    ],
)
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
        pytest.param("oracle+nothing://host/name", "database-unsupported", id="another kind"),
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


async def test_a_migration_that_fails_leaves_nothing_behind(tmp_path, world, monkeypatch):
    steps = tmp_path / "migrations"
    (steps / "versions").mkdir(parents=True)
    (steps / "env.py").write_text((schema_module.MIGRATIONS / "env.py").read_text())
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


@pytest.mark.parametrize("journal", ["delete", "wal"])
async def test_a_file_of_another_program_is_refused_and_left_as_it_is(tmp_path, world, journal):
    path = tmp_path / "catwalk.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE recipes (name TEXT)")
    other.execute(f"PRAGMA journal_mode = {journal}")
    other.commit()
    other.close()
    path.chmod(0o640)
    before = path.read_bytes()
    with pytest.raises(EnvironmentFault, match="belongs to something else: it holds the table recipes") as caught:
        await open_store(tmp_path, world.clock)
    assert caught.value.problem.code == "database-foreign"
    assert path.read_bytes() == before
    if journal == "delete":
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


async def test_a_backup_that_was_restored_is_taken(tmp_path, world):
    store = await open_store(tmp_path, world.clock)
    await store.keep_last_good(COMMIT)
    restored = tmp_path / "restored"
    restored.mkdir()
    backup = restored / "catwalk.db"
    store.close()
    with closing(sqlite3.connect(tmp_path / "catwalk.db")) as database:
        database.execute(f"VACUUM INTO '{backup}'")
    again = await open_store(restored, world.clock)
    assert await again.last_good() == COMMIT
    again.close()


async def test_a_full_disk_is_said_to_be_one_and_what_was_kept_stays(tmp_path, world):
    store = await open_store(tmp_path, world.clock)
    await store.keep_last_good(COMMIT)
    await store._database.write(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count = 1"))
    long = replace(COMMIT, subject="x" * 100_000)
    with pytest.raises(EnvironmentFault) as caught:
        await store.keep_last_good(long)
    assert caught.value.problem.code == "disk-full"
    assert await store.last_good() == COMMIT
    store.close()
