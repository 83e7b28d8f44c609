"""Errors of the file system, the drivers and SQLAlchemy in our words. Statements, values and passwords stay out.

What a person must change is an `EnvironmentFault`; what may pass by itself is `Unavailable`, and the next pass tries
again.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DatabaseError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from reconciler.errors import EnvironmentFault, Unavailable

RETRIED: Final = frozenset({"40001", "40P01"})
"""SQLSTATE of a transaction that lost against another one and was rolled back: serialization failure, deadlock."""
_PASSING: Final = frozenset({"25006", "53300", "55P03", "57014", "57P01", "57P02", "57P03", "25P03"})
"""Read-only after a failover, too many connections, lock or statement timeout, shutdown, start, idle for too long."""
_PASSING_WORDS: Final = ("starting up", "shutting down", "too many", "connection slots", "recovery")
_HINT_ACCESS: Final = "correct the user and the password in CATWALK_DATABASE_URL, or let that user in (pg_hba.conf)"


@contextmanager
def translated(place: str) -> Generator[None, None, None]:
    """Turns what the block raises into errors of ours."""
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
            hint="for PostgreSQL install Catwalk with its extra: pip install 'catwalk-live[postgres]'; or leave "
            "CATWALK_DATABASE_URL empty to use SQLite",
        ) from error
    except SQLAlchemyError as error:
        raise fault_of(place, error) from error


def sqlstate_of(error: SQLAlchemyError) -> str:
    """PostgreSQL's code of five characters; empty where there is none, as for a connection that never stood."""
    return str(getattr(error.orig, "sqlstate", None) or "") if isinstance(error, DBAPIError) else ""


def fault_of(place: str, error: SQLAlchemyError) -> EnvironmentFault | Unavailable:
    text = str(error.orig) if isinstance(error, DBAPIError) else ""
    state = sqlstate_of(error)
    if isinstance(error, PoolTimeout) or state in RETRIED | _PASSING:
        return _unavailable(place)
    if isinstance(error, DBAPIError) and _is_lost(error, text):
        return _unavailable(place)
    if state:
        return _refused_by_postgres(place, state, text)
    if "FATAL" in text:
        return _refused_at_the_door(place, text)
    return _sqlite_fault(place, error, text.lower())


def _is_lost(error: DBAPIError, text: str) -> bool:
    """Whether the connection never stood or broke; not when the server answered it with a reason that stays."""
    lost = error.connection_invalidated or "connection" in text or "resolve host" in text
    return lost and ("FATAL" not in text or any(word in text for word in _PASSING_WORDS))


def _unavailable(place: str) -> Unavailable:
    message = f"the database {place} does not answer: it is down, or another process holds it"
    return Unavailable("database-busy", message)


def _refused_by_postgres(place: str, state: str, text: str) -> EnvironmentFault:
    if state == "53100":
        return _disk_full(place)
    if state == "42501":
        return EnvironmentFault(
            "database-rights",
            f"the database {place} does not let this user make or change tables",
            hint="make the user the owner of the database, or of a schema of its own",
        )
    reason = text.splitlines()[0] if text else state
    return EnvironmentFault("database-failed", f"the database {place} refuses to work: {reason} (SQLSTATE {state})")


def _refused_at_the_door(place: str, text: str) -> EnvironmentFault:
    if "database" in text and "does not exist" in text:
        hint = "create it, or correct its name in CATWALK_DATABASE_URL"
        return EnvironmentFault("database-missing", f"there is no database {place}", hint=hint)
    return EnvironmentFault("database-access", f"the database {place} does not let this user in", hint=_HINT_ACCESS)


def _disk_full(place: str) -> EnvironmentFault:
    hint = "make room on its disk; nothing was written by half, and the next pass goes on"
    return EnvironmentFault("disk-full", f"the disk of the database {place} is full", hint=hint)


def _sqlite_fault(place: str, error: SQLAlchemyError, text: str) -> EnvironmentFault | Unavailable:
    if isinstance(error, DatabaseError) and any(word in text for word in ("not a database", "malformed", "corrupt")):
        return EnvironmentFault(
            "database-corrupt",
            f"the database {place} is damaged",
            hint="stop Catwalk, delete it with its -wal and -shm files and start again: git and the machines are read "
            "anew, and only the history and the last good revision are lost",
        )
    if isinstance(error, OperationalError) and "locked" in text:
        return _unavailable(place)
    if "disk is full" in text:
        return _disk_full(place)
    reason = text.splitlines()[0] if text else type(error).__name__
    return EnvironmentFault(
        "database-failed",
        f"the database {place} refuses to work: {reason}",
        hint="check the space and the rights of its disk",
    )
