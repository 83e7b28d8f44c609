"""PostgreSQL under the store: a server of the enumeration's own, whose databases are put aside as templates."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.crash.world import Databases
from tests.postgres import Cluster, cluster, programs

LIVE = "live"


class Templates:
    """Puts a database aside by copying it within the server, which takes a few milliseconds."""

    def __init__(self, server: Cluster) -> None:
        self._server = server
        server.execute(f"CREATE DATABASE {LIVE}")

    def url(self) -> str:
        return self._server.url(LIVE).replace("postgresql://", "postgresql+psycopg://", 1)

    def save(self, name: str) -> None:
        self._copy(LIVE, _name(name))

    def restore(self, name: str) -> None:
        self._copy(_name(name), LIVE)

    def _copy(self, source: str, target: str) -> None:
        # Connections of a killed process may be open yet.
        self._server.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
        self._server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{source}'", "postgres"
        )
        self._server.execute(f"CREATE DATABASE {target} TEMPLATE {source} STRATEGY file_copy")


def _name(name: str) -> str:
    return name.replace("-", "_")


@contextmanager
def postgresql() -> Iterator[Databases]:
    """A server with one database.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    found = programs()
    if found is None:
        raise FileNotFoundError("PostgreSQL is not installed")
    with cluster(found) as server:
        yield Templates(server)
