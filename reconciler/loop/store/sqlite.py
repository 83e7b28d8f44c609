"""SQLite as the store uses it: one file that belongs to its owner alone, with a write-ahead log.

The log keeps a reader in another process from waiting for a writer. Every commit is synced, because an intent that a
power cut can take back is no intent.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from reconciler.loop.store.access import ACCESS, Access

BUSY_TIMEOUT_S: Final = 10.0
"""How long a transaction waits for another process that writes."""
LEASE_BUSY_TIMEOUT_S: Final = 1.0
"""The same for a lease, which is worth nothing when it comes late."""
_MAGIC: Final = b"SQLite format 3\x00"
_HEADER_BYTES: Final = 100
_WRITE_VERSION: Final = 18
_LOGGED: Final = 2


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def prepare_file(url: URL) -> None:
    """Creates the file before SQLite does, so that it and its journal are never readable by others."""
    if not url.database:
        return
    path = Path(url.database)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)


def foreign_table(url: URL) -> str:
    """A table of another program, found without changing anything; empty where the file may be ours.

    Ours keeps a write-ahead log, which its header tells (SQLite, "Database File Format", bytes 18 and 19). Opening any
    other file as ours would turn it into such a one, so it is looked at first, and so is whether it was ever ours: a
    restored backup has no log yet.
    """
    path = Path(url.database or "")
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header.startswith(_MAGIC) or header[_WRITE_VERSION] == _LOGGED:
        return ""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            found = {str(name) for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:
        # Damaged or locked: opening it says so in full.
        return ""
    return "" if "alembic_version" in found else min(found, default="")


def sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver's own handling of transactions begins them late and not at all before DDL, so it is switched off
    # (SQLAlchemy docs, "Serializable isolation / Savepoints / Transactional DDL" of the SQLite dialect).
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Who is going to write takes the write lock at the start: who reads first may find that it may not write."""
    access = connection.get_execution_options().get(ACCESS, Access.READ)
    wait_s = LEASE_BUSY_TIMEOUT_S if access is Access.LEASE else BUSY_TIMEOUT_S
    connection.exec_driver_sql(f"PRAGMA busy_timeout={int(wait_s * 1000)}")
    connection.exec_driver_sql("BEGIN" if access is Access.READ else "BEGIN IMMEDIATE")
