"""The store in PostgreSQL: what can go wrong between it and a server, and that fleets on one server never meet."""

import signal
import sys
import traceback
from contextlib import closing
from dataclasses import replace
from urllib.parse import quote

import anyio
import pytest
from sqlalchemy import text

from reconciler.core.types import Revision
from reconciler.errors import EnvironmentFault, Unavailable
from reconciler.loop.store import open_store
from reconciler.loop.store import postgres as postgres_module
from tests.postgres import PASSWORD, cluster, programs

COMMIT = Revision(commit="c" * 40, branch="main", source="/repository")


@pytest.fixture
def name(postgres):
    return postgres.new_database()


@pytest.fixture
async def store(postgres, name, tmp_path, world):
    opened = await open_store(tmp_path, world.clock, url=postgres.url(name))
    yield opened
    opened.close()


async def test_a_url_as_hosting_companies_hand_it_out_is_taken(postgres, name, tmp_path, world):
    url = postgres.loopback_url(name)
    for scheme in ("postgresql://", "postgres://", "postgresql+psycopg://"):
        store = await open_store(tmp_path, world.clock, url=url.replace("postgresql://", scheme))
        assert await store.last_good() is None
        store.close()
    assert list(tmp_path.iterdir()) == []


async def refusal(url: str, tmp_path, world) -> EnvironmentFault:
    with pytest.raises(EnvironmentFault) as caught:
        await open_store(tmp_path, world.clock, url=url)
    assert "canary" not in f"{caught.value.problem}{''.join(traceback.format_exception(caught.value))}"
    return caught.value


async def test_a_wrong_password_is_said_to_be_one_and_never_shown(postgres, name, tmp_path, world):
    fault = await refusal(postgres.loopback_url(name, "wrong-canary"), tmp_path, world)
    assert fault.problem.code == "database-access"
    assert "password" in fault.problem.hint
    assert name in fault.problem.message


async def test_a_database_that_is_not_there_is_named(postgres, tmp_path, world):
    fault = await refusal(postgres.loopback_url("nowhere"), tmp_path, world)
    assert fault.problem.code == "database-missing"
    assert "nowhere" in fault.problem.message


async def test_a_server_that_is_not_there_is_waited_for(postgres, tmp_path, world):
    url = postgres.loopback_url("any").replace(str(postgres.port), "1")
    with pytest.raises(Unavailable) as caught:
        await open_store(tmp_path, world.clock, url=url)
    assert PASSWORD not in str(caught.value)


async def test_a_missing_driver_names_the_extra_to_install(postgres, tmp_path, world, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    fault = await refusal(postgres.loopback_url("any"), tmp_path, world)
    assert fault.problem.code == "database-driver-missing"
    assert "catwalk-live[postgres]" in fault.problem.hint


async def test_a_user_that_may_make_no_tables_is_told_so(postgres, name, tmp_path, world):
    postgres.execute("DROP ROLE IF EXISTS guest")
    postgres.execute("CREATE ROLE guest LOGIN PASSWORD 'guest-canary'")
    url = postgres.loopback_url(name, "guest-canary").replace("catwalk:", "guest:")
    fault = await refusal(url, tmp_path, world)
    assert fault.problem.code == "database-rights"


async def test_tables_of_something_else_are_not_touched(postgres, name, tmp_path, world):
    postgres.execute("CREATE TABLE passes (id integer)", name)
    postgres.execute("CREATE TABLE spatial_ref_sys (id integer)", name)
    fault = await refusal(postgres.url(name), tmp_path, world)
    assert fault.problem.code == "database-foreign"
    assert "passes" in fault.problem.message


async def test_fleets_in_schemas_of_one_database_know_nothing_of_each_other(postgres, name, tmp_path, world):
    stores = []
    for schema in ("blue", "green"):
        postgres.execute(f"CREATE SCHEMA {schema}", name)
        url = f"{postgres.url(name)}&options={quote(f'-csearch_path={schema}')}"
        stores.append(await open_store(tmp_path, world.clock, url=url))
    blue, green = stores
    await blue.keep_last_good(COMMIT)
    assert await green.last_good() is None
    holding = await _hold_writes(postgres, name, "blue")
    with anyio.fail_after(5):
        assert await green.next_number() == 1
    holding.close()
    for store in stores:
        store.close()


async def _hold_writes(postgres, name: str, schema: str = "public"):
    """Another process in the middle of a write."""
    holding = postgres.connect(name)
    holding.execute(f"SET search_path = {schema}")
    holding.execute("BEGIN")
    holding.execute(postgres_module._ONE_WRITER)
    return holding


async def test_a_reader_does_not_wait_for_a_writer(store, postgres, name):
    await store.keep_last_good(COMMIT)
    with closing(await _hold_writes(postgres, name)) as writer:
        writer.execute("DELETE FROM good_revisions")
        with anyio.fail_after(5):
            assert await store.last_good() == COMMIT


async def test_a_writer_that_holds_on_is_waited_for_no_longer_than_the_limit(store, postgres, name, monkeypatch):
    monkeypatch.setattr(postgres_module, "LOCK_TIMEOUT_S", 0.05)
    with closing(await _hold_writes(postgres, name)), pytest.raises(Unavailable):
        await store.next_number()
    assert await store.next_number() == 1


async def test_a_statement_that_never_ends_is_ended(store, monkeypatch):
    monkeypatch.setattr(postgres_module, "STATEMENT_TIMEOUT_S", 0.05)
    with pytest.raises(Unavailable), anyio.fail_after(10):
        await store._database.read(lambda connection: connection.execute(text("SELECT pg_sleep(60)")))


async def test_a_process_that_stops_in_the_middle_of_a_write_loses_it(store, postgres, name, monkeypatch):
    monkeypatch.setattr(postgres_module, "IDLE_TIMEOUT_S", 0.05)

    def stop_in_the_middle(connection) -> None:
        connection.execute(text("DELETE FROM counters"))
        with closing(postgres.connect(name)) as witness:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            while witness.execute(waiting).fetchone() != (0,):
                witness.execute("SELECT pg_sleep(0.01)")
        connection.execute(text("SELECT 1"))

    await store.next_number()
    with pytest.raises(Unavailable):
        await store._database.write(stop_in_the_middle)
    assert await store.next_number() == 2


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_transaction_that_lost_against_another_one_is_begun_again(store, state):
    tries = []

    def lose_twice(connection) -> str:
        tries.append(state)
        if len(tries) < 3:
            connection.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$"))
        return "won"

    assert await store._database.write(lose_twice) == "won"
    assert len(tries) == 3


async def test_a_transaction_that_always_loses_is_given_up(store):
    tries = []

    def lose(connection) -> None:
        tries.append(1)
        connection.execute(text("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"))

    with pytest.raises(Unavailable):
        await store._database.write(lose)
    assert len(tries) == 4


async def test_a_full_disk_is_said_to_be_one(store):
    with pytest.raises(EnvironmentFault) as caught:
        await store._database.write(
            lambda connection: connection.execute(text("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$"))
        )
    assert caught.value.problem.code == "disk-full"


async def test_connections_that_the_server_ended_are_made_anew(store, postgres):
    assert await store.next_number() == 1
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'catwalk'")
    assert await store.next_number() == 2


async def test_a_server_that_dies_and_comes_back_is_waited_for(tmp_path, world, monkeypatch):
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    with cluster(found) as running:
        store = await open_store(tmp_path, world.clock, url=running.url(running.new_database()))
        await store.keep_last_good(COMMIT)
        running.process.send_signal(signal.SIGQUIT)
        await anyio.to_thread.run_sync(running.process.wait)
        for broken in (store.next_number, store.last_good, lambda: store.keep_last_good(replace(COMMIT, subject="x"))):
            with pytest.raises(Unavailable):
                await broken()
        store.close()
