"""A PostgreSQL server of the test session's own: made in a temporary folder, ended with the session, one per worker.

It refuses to run as root, so that a session of root starts it as an unprivileged user. Nothing is synced to the disk:
its data are worth nothing.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import quote

import psycopg

ROLE: Final = "catwalk"
PASSWORD: Final = "pass-canary"
START_S: Final = 30.0
DEBIAN: Final = Path("/usr/lib/postgresql")
CONFIGURATION: Final = """
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 60
shared_buffers = 16MB
max_wal_size = 64MB
min_wal_size = 32MB
wal_level = minimal
max_wal_senders = 0
autovacuum = off
"""
ACCESS: Final = """
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A server that runs."""

    directory: Path
    port: int
    process: "subprocess.Popen[bytes]"
    numbers: "count[int]"

    def new_database(self) -> str:
        """Makes an empty database and tells its name."""
        name = f"test_{next(self.numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def url(self, database: str) -> str:
        """Over the Unix socket, where everybody is let in."""
        return f"postgresql://{ROLE}@/{database}?host={quote(str(self.directory), safe='')}&port={self.port}"

    def loopback_url(self, database: str, password: str = PASSWORD) -> str:
        """Over TCP, which asks for the password."""
        return f"postgresql://{ROLE}:{password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host=str(self.directory), port=self.port, user=ROLE, dbname=database, autocommit=True, connect_timeout=5
        )

    def execute(self, statement: str, database: str = "postgres") -> None:
        with self.connect(database) as connection:
            connection.execute(statement.encode())


def programs() -> Path | None:
    """Where the programs of the newest server are: Debian keeps them off the PATH."""
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda found: int(found.parts[-3]))
    found = versions[-1] if versions else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@contextmanager
def cluster(bin_dir: Path) -> Iterator[Cluster]:
    """Starts a server and ends it."""
    with TemporaryDirectory(prefix="catwalk-pg-") as folder:
        directory = Path(folder)
        prefix = _as_unprivileged(directory)
        data = directory / "data"
        options = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", f"--username={ROLE}")
        _run([*prefix, str(bin_dir / "initdb"), f"--pgdata={data}", *options])
        (data / "postgresql.auto.conf").write_text(CONFIGURATION, encoding="utf-8")
        (data / "pg_hba.conf").write_text(ACCESS, encoding="utf-8")
        started = _started(prefix, bin_dir, directory)
        try:
            started.execute(f"ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'")
            yield started
        finally:
            started.process.send_signal(signal.SIGQUIT)
            started.process.wait(timeout=20)


def _as_unprivileged(directory: Path) -> list[str]:
    if os.getuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "--pdeathsig=KILL"]


def _started(prefix: list[str], bin_dir: Path, directory: Path) -> Cluster:
    """Another program may take the free port first: then another one is looked for."""
    for tries_left in (2, 1, 0):
        started = _start(prefix, bin_dir, directory)
        try:
            _wait_until_ready(started)
        except RuntimeError:
            started.process.kill()
            started.process.wait(timeout=20)
            if not tries_left:
                raise
        else:
            return started
    raise AssertionError


def _start(prefix: list[str], bin_dir: Path, directory: Path) -> Cluster:
    port = _free_port()
    command = [*prefix, str(bin_dir / "postgres"), "-D", str(directory / "data"), "-k", str(directory)]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-h", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,
            start_new_session=True,
        )
    return Cluster(directory=directory, port=port, process=process, numbers=count(1))


def _wait_until_ready(started: Cluster) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            started.connect().close()
        except psycopg.OperationalError:
            if started.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((started.directory / "log").read_text(encoding="utf-8")) from None
            time.sleep(0.02)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd="/")
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
