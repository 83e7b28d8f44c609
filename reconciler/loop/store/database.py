"""The one door to the database: opens it, brings its schema up to date, runs transactions in a thread.

SQLite and PostgreSQL behave alike behind it: a write is alone in all processes, a read sees one state, and a result is
durable when it is returned.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from reconciler.errors import EnvironmentFault
from reconciler.loop.store.access import ACCESS, Access
from reconciler.loop.store.database_faults import RETRIED, sqlstate_of, translated
from reconciler.loop.store.postgres import is_postgres, postgres_engine, with_driver
from reconciler.loop.store.schema import foreign, upgrade
from reconciler.loop.store.sqlite import foreign_table, is_sqlite, prepare_file, sqlite_engine

MOST_TRIES: Final = 4
"""How often a transaction is begun that lost against another one."""

Result = TypeVar("Result")
_HINT: Final = "write it as postgresql://user@host/name or sqlite:////path/to/file.db"


class Database:
    """A database that is open and has the schema of this version."""

    def __init__(self, engine: Engine, place: str) -> None:
        self._engine = engine
        self._place = place
        # One at a time: there is one writer, and no reader of ours takes longer than a few milliseconds.
        self._limiter = anyio.CapacityLimiter(1)
        self._lease_limiter = anyio.CapacityLimiter(1)

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Runs `work` in one transaction, which sees one state of the database.

        Raises:
            Unavailable: the database does not answer.
            EnvironmentFault: it cannot be used any more.
        """
        return await anyio.to_thread.run_sync(self._run, work, Access.READ, limiter=self._limiter)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Runs `work` in one transaction. When this returns, the result is durable.

        `work` may run several times, each time from the beginning.

        Raises:
            Unavailable: the database does not answer, or another process holds it for too long.
            EnvironmentFault: it cannot be used any more: the disk is full or the file damaged.
        """
        return await anyio.to_thread.run_sync(self._run, work, Access.WRITE, limiter=self._limiter)

    async def lease(self, work: Callable[[Connection], Result]) -> Result:
        """Runs a short `work` about who leads, beside whatever else runs. Raises as `write` does, but sooner."""
        return await anyio.to_thread.run_sync(self._run, work, Access.LEASE, limiter=self._lease_limiter)

    def close(self) -> None:
        self._engine.dispose()

    def _run(self, work: Callable[[Connection], Result], access: Access) -> Result:
        with translated(self._place):
            for _ in range(MOST_TRIES - 1):
                try:
                    return self._run_once(work, access)
                except DBAPIError as error:
                    if sqlstate_of(error) not in RETRIED:
                        raise
            return self._run_once(work, access)

    def _run_once(self, work: Callable[[Connection], Result], access: Access) -> Result:
        with _transaction(self._engine, access) as connection:
            return work(connection)


@contextmanager
def _transaction(engine: Engine, access: Access) -> Generator[Connection, None, None]:
    """Commits at the end of the block, rolls back when it raises."""
    with engine.connect() as connection:
        prepared = connection.execution_options(**{ACCESS: access})
        with prepared.begin():
            yield prepared


def open_database(url: str) -> Database:
    """Opens a database by its SQLAlchemy URL and runs the migrations that it lacks. Blocks; run it in a thread.

    Raises:
        EnvironmentFault: the URL, the driver, the file or the version of the schema does not fit, and what to do.
        Unavailable: the database does not answer.
    """
    parsed = _parse(url)
    place = _place_of(parsed)
    with translated(place):
        engine = _engine(parsed)
        try:
            with _transaction(engine, Access.WRITE) as connection:
                upgrade(connection, place)
        except BaseException:
            engine.dispose()
            raise
    return Database(engine, place)


def _parse(url: str) -> URL:
    try:
        return with_driver(make_url(url))
    except (ArgumentError, ValueError):
        # Not chained: the library quotes the URL, and the password with it.
        raise EnvironmentFault("database-url-invalid", "CATWALK_DATABASE_URL is no database URL", hint=_HINT) from None


def _place_of(url: URL) -> str:
    """What errors call the database: the file, or the URL without its password and its options."""
    if is_sqlite(url):
        return url.database or "in memory"
    return url.set(query={}).render_as_string(hide_password=True).replace("+psycopg", "", 1)


def _engine(url: URL) -> Engine:
    if is_sqlite(url):
        if table := foreign_table(url):
            raise foreign(_place_of(url), table)
        prepare_file(url)
        return sqlite_engine(url)
    if is_postgres(url):
        return postgres_engine(url)
    raise EnvironmentFault(
        "database-unsupported", f"CATWALK_DATABASE_URL names a database of the kind {url.drivername}", hint=_HINT
    )
