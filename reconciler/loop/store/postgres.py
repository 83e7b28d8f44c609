"""PostgreSQL as the store uses it: as one writer at a time, like SQLite, so that the same code is right on both.

Writers take a lock of the schema for the length of their transaction: a fleet writes a few times a second, and what
reads, decides and writes needs no other care then. Several fleets on one server have a database or a schema each and
so never wait for each other. Settings are made for each transaction alone and statements are not prepared, so that a
pooler between us and the server may hand every transaction to another connection.
"""

from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, event

from reconciler.loop.store.access import ACCESS, Access

DRIVER: Final = "postgresql+psycopg"
CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_S: Final = 15.0
LOCK_TIMEOUT_S: Final = 10.0
"""How long a transaction waits for another process that writes; as long as on SQLite."""
IDLE_TIMEOUT_S: Final = 3.0
"""When the server ends a transaction of a process that was stopped in its middle, so that another one can lead."""
LEASE_TIMEOUT_S: Final = 1.0
CONNECTIONS: Final = 4

# The schema's name in a number of 32 bits, by functions that PostgreSQL documents; the first number is ours.
_ONE_WRITER: Final = (
    "SELECT pg_advisory_xact_lock(1130460523, ('x' || substr(md5(coalesce(current_schema(), '')), 1, 8))::bit(32)::int)"
)


def is_postgres(url: URL) -> bool:
    return url.get_backend_name() in {"postgresql", "postgres"}


def with_driver(url: URL) -> URL:
    """The URL as hosting companies hand it out (`postgres://`, `postgresql://`), completed by the driver of ours."""
    return url.set(drivername=DRIVER) if is_postgres(url) else url


def postgres_engine(url: URL) -> Engine:
    """Connects when the first transaction begins.

    Raises:
        ModuleNotFoundError: the driver is not installed.
    """
    options = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "catwalk",
        "prepare_threshold": None,
        # A server that vanished without a word is noticed within some seconds, not hours.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
    }
    engine = create_engine(
        url,
        connect_args=options,
        pool_pre_ping=True,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=LOCK_TIMEOUT_S,
    )
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    access = connection.get_execution_options().get(ACCESS, Access.READ)
    if access is Access.READ:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    connection.exec_driver_sql(_timeouts(access))
    if access is Access.WRITE:
        # Read committed, the default, is right here: each statement sees what stood when the lock was taken.
        connection.exec_driver_sql(_ONE_WRITER)


def _timeouts(access: Access) -> str:
    lease = access is Access.LEASE
    limits = {
        "statement_timeout": LEASE_TIMEOUT_S if lease else STATEMENT_TIMEOUT_S,
        "lock_timeout": LEASE_TIMEOUT_S if lease else LOCK_TIMEOUT_S,
        "idle_in_transaction_session_timeout": IDLE_TIMEOUT_S,
    }
    return "; ".join(f"SET LOCAL {name} = {int(limit * 1000)}" for name, limit in limits.items())
