"""The engine's state on disk: one SQLite file in the state directory, and the lock that makes its owner the only one.

Records are JSON documents by kind and key. Writes are gathered and committed together, off the event loop. Whoever
needs to know that a change is durable awaits `settle`, and an API answer is sent only after that, so a kill at any
point loses nothing that was answered. WAL with `synchronous=NORMAL` survives the death of the process at any point; a
power cut may take the last commits, never the file.

The file holds app secrets, hence mode 0600 in a directory of 0700; SQLite gives its side files the mode of the main
one.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from reconciler.errors import EnvironmentFault

DATABASE = "engine.sqlite3"
LOCK = "engine.lock"
SCHEMA = "CREATE TABLE IF NOT EXISTS records (kind TEXT, key TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, key))"
LOCK_WAIT_S = 5.0

Key = tuple[str, str]


def lock(state_dir: Path, *, exclusive: bool) -> int:
    """A descriptor that holds the state directory until it is closed, also by the death of this process.

    A reader shares the directory with other readers; an engine that runs machines shares it with nobody.

    Raises:
        EnvironmentFault: another engine holds it, or the directory cannot be made or written.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        state_dir.chmod(0o700)
        descriptor = os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EnvironmentFault(
            "state-directory", f"the state directory {state_dir} cannot be used: {error.strerror}"
        ) from error
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise EnvironmentFault(
            "state-in-use",
            f"another engine uses the state directory {state_dir}",
            hint="stop the other `catwalk up` or `catwalk engine`, or choose another state directory",
        ) from error
    return descriptor


def unlock(descriptor: int) -> None:
    os.close(descriptor)


class Store:
    """Documents that survive a restart. All methods belong to the event loop's thread; the disk work does not."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._pending: dict[Key, str | None] = {}
        self._puts = 0
        self._durable = 0
        """How many of the puts are on disk."""
        self._busy = asyncio.Lock()

    @classmethod
    async def open(cls, state_dir: Path) -> "Store":
        """Opens the file of a directory that is locked already, and makes it where there is none.

        Raises:
            EnvironmentFault: the file is damaged or cannot be written.
        """
        try:
            return cls(await asyncio.to_thread(_connect, state_dir / DATABASE))
        except (OSError, sqlite3.Error) as error:
            raise EnvironmentFault(
                "state-unreadable", f"the engine's state in {state_dir} cannot be read: {error}"
            ) from error

    async def load(self, kind: str) -> Mapping[str, str]:
        """Every document of a kind by its key."""
        async with self._busy:
            return await asyncio.to_thread(_select, self._connection, kind)

    def put(self, kind: str, key: str, body: str) -> None:
        self._pend(kind, key, body)

    def remove(self, kind: str, key: str) -> None:
        self._pend(kind, key, None)

    def _pend(self, kind: str, key: str, body: str | None) -> None:
        self._pending[kind, key] = body
        self._puts += 1

    async def settle(self) -> None:
        """Returns when everything put before this call is durable. Callers that come together share one commit."""
        wanted = self._puts
        async with self._busy:
            # Whoever waited for the commit that held its changes has nothing left to write, and must not commit
            # what others have put since: a thousand waiters would make a thousand commits.
            if self._durable < wanted:
                await self._commit()

    async def _commit(self) -> None:
        """Writes what is pending. What could not be written stays pending, behind what was put since."""
        batch, self._pending, reached = self._pending, {}, self._puts
        try:
            await _to_its_end(asyncio.ensure_future(asyncio.to_thread(_write, self._connection, batch)))
        except sqlite3.Error:
            self._pending = batch | self._pending
            raise
        self._durable = reached

    async def close(self) -> None:
        await self.settle()
        await asyncio.to_thread(self._connection.close)


async def _to_its_end(write: "asyncio.Future[None]") -> None:
    """Waits for a write, also when the one who waits is cancelled: a thread cannot be, and holds the connection."""
    cancelled: asyncio.CancelledError | None = None
    while not write.done():
        try:
            await asyncio.wait({write})
        except asyncio.CancelledError as error:
            cancelled = error
    write.result()
    if cancelled is not None:
        raise cancelled


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    # The connection moves between worker threads, one at a time, under the store's lock.
    connection = sqlite3.connect(path, check_same_thread=False, timeout=LOCK_WAIT_S)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    with connection:
        connection.execute(SCHEMA)
    return connection


def _select(connection: sqlite3.Connection, kind: str) -> Mapping[str, str]:
    return dict(connection.execute("SELECT key, body FROM records WHERE kind = ?", (kind,)).fetchall())


def _write(connection: sqlite3.Connection, batch: Mapping[Key, str | None]) -> None:
    written = [(kind, key, body) for (kind, key), body in batch.items() if body is not None]
    removed = [key for key, body in batch.items() if body is None]
    with connection:
        connection.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", written)
        connection.executemany("DELETE FROM records WHERE kind = ? AND key = ?", removed)
