"""The memory of a safe roll-out, as functions from a connection in a transaction: failures, holds, what was good."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Table, delete, func, insert, select

from reconciler.core.actions import DestroyApp, Outcome
from reconciler.core.attempts import attempt_of
from reconciler.core.holds import GoodServer, Hold
from reconciler.core.setbacks import Setback
from reconciler.loop.store.deletes import delete_rows
from reconciler.loop.store.documents import from_document, to_document
from reconciler.loop.store.setbacks import DONE, Failure, failure_after
from reconciler.loop.store.shelves import read_texts, remove_texts, write_texts
from reconciler.loop.store.tables import confirmed_prunes, good_servers, holds, setbacks
from reconciler.loop.store.times import time_text

CONFIRMATION_LASTS_S: Final = 24 * 3600.0
"""A removal that nobody carried out for a day is asked for again."""
AGREED_APPS: Final = "agreed-apps"
"""The shelf of apps that may go without another question, each with the time since when."""
SETBACK_LASTS_S: Final = 24 * 3600.0
"""A failure that nothing tried again for a day says nothing any more."""


def note_outcome(connection: Connection, outcome: Outcome, now: datetime) -> None:
    """Keeps, grows or ends the setback of the action's machine; an app that is gone takes all that is known with it."""
    server = outcome.action.server
    if isinstance(outcome.action, DestroyApp) and outcome.kind in DONE:
        for table in (setbacks, good_servers, holds):
            connection.execute(delete(table).where(table.c.server == server))
        return
    key = (setbacks.c.server == server) & (setbacks.c.machine == attempt_of(outcome.action).machine)
    row = connection.execute(select(setbacks.c.kind, setbacks.c.document).where(key)).one_or_none()
    known = None if row is None else Failure(setback=from_document(Setback, row.document), kind=row.kind)
    after = failure_after(outcome, known, now)
    if after == known:
        return
    connection.execute(delete(setbacks).where(key))
    if after is not None:
        connection.execute(insert(setbacks).values(_failure_row(after)))


def _failure_row(failure: Failure) -> dict[str, str | int]:
    setback = failure.setback
    return {
        "server": setback.server,
        "machine": setback.machine,
        "kind": failure.kind,
        "attempts": setback.attempts,
        "not_before": time_text(setback.not_before),
        "document": to_document(setback),
    }


def read_setbacks(connection: Connection) -> tuple[Setback, ...]:
    query = select(setbacks.c.document).order_by(setbacks.c.server, setbacks.c.machine)
    return tuple(from_document(Setback, text) for text in connection.execute(query).scalars())


def most_attempts(connection: Connection) -> int:
    """How often in a row the most stubborn failure was tried; 0 when nothing is failing."""
    return int(connection.execute(select(func.max(setbacks.c.attempts))).scalar() or 0)


def forget_old(connection: Connection, now: datetime) -> None:
    """Drops what says nothing any more."""
    old_setback = time_text(now - timedelta(seconds=SETBACK_LASTS_S))
    connection.execute(delete(setbacks).where(setbacks.c.not_before < old_setback))
    connection.execute(delete(confirmed_prunes).where(confirmed_prunes.c.confirmed_at <= _expiry(now)))


def read_good_servers(connection: Connection) -> Mapping[str, GoodServer]:
    rows = connection.execute(select(good_servers.c.server, good_servers.c.document))
    return {row.server: from_document(GoodServer, row.document) for row in rows}


def write_good_servers(connection: Connection, arrived: Sequence[GoodServer]) -> None:
    known = {row.server: row.document for row in connection.execute(select(good_servers))}
    wanted = {good.server: to_document(good) for good in arrived}
    changed = {server: text for server, text in wanted.items() if known.get(server) != text}
    _replace(connection, good_servers, changed, known.keys())


def read_holds(connection: Connection) -> tuple[Hold, ...]:
    query = select(holds.c.document).order_by(holds.c.server)
    return tuple(from_document(Hold, text) for text in connection.execute(query).scalars())


def write_hold(connection: Connection, hold: Hold) -> None:
    _replace(connection, holds, {hold.server: to_document(hold)}, {hold.server})


def delete_holds(connection: Connection, servers: Collection[str]) -> None:
    delete_rows(connection, holds.c.server, servers)


def write_confirmation(connection: Connection, digest: str, now: datetime) -> None:
    delete_confirmation(connection, digest)
    connection.execute(insert(confirmed_prunes).values(digest=digest, confirmed_at=time_text(now)))


def delete_confirmation(connection: Connection, digest: str) -> None:
    connection.execute(delete(confirmed_prunes).where(confirmed_prunes.c.digest == digest))


def read_confirmations(connection: Connection, now: datetime) -> frozenset[str]:
    query = select(confirmed_prunes.c.digest).where(confirmed_prunes.c.confirmed_at > _expiry(now))
    return frozenset(connection.execute(query).scalars())


def read_agreed_apps(connection: Connection, now: datetime) -> frozenset[str]:
    return frozenset(app for app, agreed_at in read_texts(connection, AGREED_APPS) if agreed_at > _expiry(now))


def write_agreed_apps(connection: Connection, apps: Collection[str], now: datetime) -> None:
    known = {app for app, _ in read_texts(connection, AGREED_APPS)}
    remove_texts(connection, AGREED_APPS, known.difference(apps))
    write_texts(connection, AGREED_APPS, {app: time_text(now) for app in sorted(set(apps) - known)})


def _expiry(now: datetime) -> str:
    return time_text(now - timedelta(seconds=CONFIRMATION_LASTS_S))


def _replace(connection: Connection, table: Table, changed: Mapping[str, str], known: Collection[str]) -> None:
    """Puts documents in the place of those that stand there, by server."""
    delete_rows(connection, table.c.server, changed.keys() & set(known))
    if changed:
        rows = [{"server": server, "document": text} for server, text in changed.items()]
        connection.execute(insert(table), rows)
