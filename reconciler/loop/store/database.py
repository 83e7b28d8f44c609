"""The one door to the database: opens it, brings its schema up to date, runs transactions in a thread.

SQLite keeps its journal as a write-ahead log, so that a reader in another process never waits for a writer, and syncs
every commit, because an intent that a power cut can take back is no intent. Files belong to their owner alone.
"""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from reconciler.errors import EnvironmentFault, Unavailable
from reconciler.loop.store.schema import upgrade

BUSY_TIMEOUT_S: Final = 10.0
"""How long a transaction waits for another process that writes."""
WRITES: Final = "catwalk_writes"
"""Execution option of connections that are going to write: they take SQLite's write lock at the start, because a
transaction that reads first and writes later can find that it may not."""

Result = TypeVar("Result")


class Database:
    """A database that is open and has the schema of this version."""

    def __init__(self, engine: Engine, place: str) -> None:
        self._engine = engine
        self._place = place
        # One at a time: SQLite has one writer, and no reader of ours takes longer than a few milliseconds.
        self._limiter = anyio.CapacityLimiter(1)

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Runs `work` in one transaction, which sees one state of the database."""
        return await anyio.to_thread.run_sync(self._run, work, False, limiter=self._limiter)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Runs `work` in one transaction. When this returns, the result is durable.

        Raises:
            Unavailable: another process holds the database for too long.
            EnvironmentFault: the database cannot be used any more: the disk is full or the file damaged.
        """
        return await anyio.to_thread.run_sync(self._run, work, True, limiter=self._limiter)

    def close(self) -> None:
        self._engine.dispose()

    def _run(self, work: Callable[[Connection], Result], writes: bool) -> Result:
        with translated(self._place), _transaction(self._engine, writes=writes) as connection:
            return work(connection)


@contextmanager
def _transaction(engine: Engine, *, writes: bool) -> Generator[Connection, None, None]:
    """Commits at the end of the block, rolls back when it raises."""
    with engine.connect() as connection:
        prepared = connection.execution_options(**{WRITES: writes})
        with prepared.begin():
            yield prepared


def open_database(url: str) -> Database:
    """Opens a database by its SQLAlchemy URL and runs the migrations that it lacks. Blocks; run it in a thread.

    Raises:
        EnvironmentFault: the URL, the driver, the file or the version of the schema does not fit, and what to do.
        Unavailable: the database does not answer.
    """
    parsed = _parse(url)
    place = parsed.database if _is_sqlite(parsed) and parsed.database else parsed.render_as_string()
    with translated(place):
        _prepare_file(parsed)
        engine = _engine(parsed)
        try:
            with _transaction(engine, writes=True) as connection:
                upgrade(connection, place)
        except BaseException:
            engine.dispose()
            raise
    return Database(engine, place)


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise EnvironmentFault(
            "database-url-invalid",
            "CATWALK_DATABASE_URL is no database URL",
            hint="write it as sqlite:////path/to/file.db or postgresql+psycopg://user@host/name",
        ) from error


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _prepare_file(url: URL) -> None:
    """Creates the file before SQLite does, so that it and its journal are never readable by others."""
    if not _is_sqlite(url) or not url.database:
        return
    path = Path(url.database)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)


def _engine(url: URL) -> Engine:
    if not _is_sqlite(url):
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver's own handling of transactions begins them late and not at all before DDL, so it is switched off
    # (SQLAlchemy docs, "Serializable isolation / Savepoints / Transactional DDL" of the SQLite dialect).
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = bool(connection.get_execution_options().get(WRITES))
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def translated(place: str) -> Generator[None, None, None]:
    """Turns the errors of the file system, the driver and SQLAlchemy into ours. Statements and values stay out."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(
            "state-unusable",
            f"the database {place} cannot be opened: {error.strerror}",
            hint="give this user access to the state directory, or name another one in CATWALK_STATE_DIR",
        ) from error
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise EnvironmentFault(
            "database-driver-missing",
            f"no driver for the database {place} is installed",
            hint="install it beside Catwalk, or leave CATWALK_DATABASE_URL empty to use SQLite",
        ) from error
    except SQLAlchemyError as error:
        raise _fault(place, error) from error


def _fault(place: str, error: SQLAlchemyError) -> EnvironmentFault | Unavailable:
    text = str(error.orig).lower() if isinstance(error, DatabaseError) else ""
    if any(word in text for word in ("not a database", "malformed", "corrupt")):
        return EnvironmentFault(
            "database-corrupt",
            f"the database {place} is damaged",
            hint="stop Catwalk, delete it with its -wal and -shm files and start again: git and the machines are read "
            "anew, and only the history and the last good revision are lost",
        )
    if isinstance(error, OperationalError) and ("locked" in text or "connect" in text):
        return Unavailable("database-busy", f"the database {place} does not answer: another process may hold it")
    reason = text.splitlines()[0] if text else type(error).__name__
    return EnvironmentFault(
        "database-failed",
        f"the database {place} refuses to work: {reason}",
        hint="check the space and the rights of its disk",
    )
