"""Who leads a fleet: one row, told by the clock of the database, with a token that grows with every new leader.

A lease says who may act, and ends by itself. It cannot stop a process that slept past its end and does not know. The
token can: every write of a pass compares it in its own transaction, so that a former leader changes nothing any more.

A command may ask for the lead. While its wish stands nobody else takes a lease that is given back, so that the leader
can step aside between two passes and be sure that the one who asked comes next.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, Row, select, text, update

from reconciler.errors import Conflict
from reconciler.loop.store.database import Database
from reconciler.loop.store.tables import leaders

NOT_LEADING: Final = "not-leading"
"""The problem code of everything that is refused because another process leads."""
_NAME: Final = "fleet"
"""One store holds one fleet, and so one leader."""
# The clock itself, not the start of the transaction: a transaction may have waited for a lock.
_POSTGRES_TIME: Final = text("SELECT extract(epoch FROM clock_timestamp())::float8")
# All processes on one SQLite file share a machine, and so its clock.
_SQLITE_TIME: Final = text("SELECT (julianday('now') - 2440587.5) * 86400.0")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseState:
    """The row as it stands now."""

    holder: str = ""
    """Who leads; empty when nobody does, also when a lease has run out."""
    token: int = 0
    """Of the newest leader, also of one that is gone. 0 before the first."""
    since: datetime | None = None
    remaining_s: float = 0.0
    wanted_by: str = ""
    """Who asked for the lead; empty when nobody did, or the wish has run out."""


class Leases:
    """The lease of the one fleet of a store. Every call is one short transaction; errors are those of `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self) -> LeaseState:
        return await self._database.read(read_state)

    async def acquire(self, holder: str, *, lease_s: float) -> LeaseState:
        """Takes the lease with a new token where nobody has it and nobody else asked for it; tells what is then true.

        The lease is ours when the state names `holder`.
        """
        return await self._database.lease(lambda connection: _acquire(connection, holder, lease_s))

    async def renew(self, holder: str, token: int, *, lease_s: float) -> LeaseState:
        """Makes the lease last `lease_s` from now, also one that has run out, unless another leader came since."""
        return await self._database.lease(lambda connection: _renew(connection, holder, token, lease_s))

    async def release(self, holder: str, token: int) -> None:
        """Gives the lease back; one that is another's by now stays."""
        await self._database.lease(lambda connection: _release(connection, holder, token))

    async def ask(self, holder: str, *, wish_s: float) -> LeaseState:
        """Says who wants to lead next, for so long. The first who asks is heard; others ask again."""
        return await self._database.lease(lambda connection: _ask(connection, holder, wish_s))


def require_leader(connection: Connection, token: int) -> None:
    """Refuses the transaction of a process that leads no longer. Nobody can become leader before it ends.

    Raises:
        Conflict: `token` is not that of the newest leader.
    """
    query = select(leaders.c.token).where(leaders.c.name == _NAME).with_for_update(read=True)
    if connection.execute(query).scalar() != token or not token:
        raise not_leading(read_state(connection))


def not_leading(state: LeaseState) -> Conflict:
    """That another process leads, and since when."""
    if not state.holder:
        return Conflict(NOT_LEADING, "no process leads this fleet just now", hint="one takes over within seconds")
    since = f" since {state.since:%Y-%m-%d %H:%M:%S} UTC" if state.since else ""
    hint = "this process takes over when that one ends; nothing was done meanwhile"
    return Conflict(NOT_LEADING, f"{in_words(state.holder)} leads this fleet{since}", hint=hint)


def in_words(holder: str) -> str:
    """A holder as people read it, without the part that keeps two processes of one number apart."""
    return holder.partition(" #")[0]


def mark_of(holder: str) -> str:
    """That part: the mark of its process."""
    return holder.partition(" #")[2]


def read_state(connection: Connection) -> LeaseState:
    row = connection.execute(select(leaders).where(leaders.c.name == _NAME)).one_or_none()
    return LeaseState() if row is None else _state(row, _time(connection))


def _time(connection: Connection) -> float:
    """Seconds since 1970, by the clock of the database."""
    query = _POSTGRES_TIME if connection.dialect.name == "postgresql" else _SQLITE_TIME
    return float(connection.execute(query).scalar_one())


def _state(row: Row[tuple[object, ...]], now: float) -> LeaseState:
    holds = row.holder and row.expires_at > now
    return LeaseState(
        holder=row.holder if holds else "",
        token=row.token,
        since=datetime.fromtimestamp(row.since, UTC) if holds else None,
        remaining_s=row.expires_at - now if holds else 0.0,
        wanted_by=row.wanted_by if row.wanted_until > now else "",
    )


def _locked(connection: Connection) -> tuple[LeaseState, float]:
    """The row, which nobody else changes until the transaction ends, and the time of the database after the lock."""
    query = select(leaders).where(leaders.c.name == _NAME).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        first = "INSERT INTO leaders (name, holder, token, since, expires_at) VALUES (:name, '', 0, 0, 0)"
        connection.execute(text(f"{first} ON CONFLICT DO NOTHING"), {"name": _NAME})
        row = connection.execute(query).one()
    now = _time(connection)
    return _state(row, now), now


def _change(connection: Connection, **values: object) -> None:
    connection.execute(update(leaders).where(leaders.c.name == _NAME).values(**values))


def _acquire(connection: Connection, holder: str, lease_s: float) -> LeaseState:
    state, now = _locked(connection)
    if state.holder in {"", holder} and state.wanted_by in {"", holder}:
        _change(
            connection,
            holder=holder,
            token=state.token + 1,
            since=now,
            expires_at=now + lease_s,
            wanted_by="",
            wanted_until=0.0,
        )
    return read_state(connection)


def _renew(connection: Connection, holder: str, token: int, lease_s: float) -> LeaseState:
    _, now = _locked(connection)
    mine = (leaders.c.name == _NAME) & (leaders.c.holder == holder) & (leaders.c.token == token)
    connection.execute(update(leaders).where(mine).values(expires_at=now + lease_s))
    return read_state(connection)


def _release(connection: Connection, holder: str, token: int) -> None:
    mine = (leaders.c.name == _NAME) & (leaders.c.holder == holder) & (leaders.c.token == token)
    connection.execute(update(leaders).where(mine).values(holder="", expires_at=0.0))


def _ask(connection: Connection, holder: str, wish_s: float) -> LeaseState:
    state, now = _locked(connection)
    if state.wanted_by in {"", holder}:
        _change(connection, wanted_by=holder, wanted_until=now + wish_s)
    return read_state(connection)
