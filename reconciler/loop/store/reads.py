"""What is read, as functions from a connection in a transaction."""

from datetime import datetime

from sqlalchemy import Connection, RowMapping, select

from reconciler.core import actions
from reconciler.core.actions import Action, Pass
from reconciler.core.types import Cause, Revision, ServerState, ServerStatus, Trigger
from reconciler.loop.history import PassSummary, Transition
from reconciler.loop.store.documents import from_document
from reconciler.loop.store.records import Intent
from reconciler.loop.store.tables import good_revisions, intents, owned_apps, passes, servers, transitions


def read_pass(connection: Connection, number: int | None) -> Pass | None:
    """One pass by its number, or the newest one; none when there is no such pass."""
    query = select(passes.c.document).order_by(passes.c.number.desc()).limit(1)
    if number is not None:
        query = query.where(passes.c.number == number)
    text = connection.execute(query).scalar()
    return None if text is None else from_document(Pass, text)


def read_history(connection: Connection, limit: int, commit: str) -> tuple[PassSummary, ...]:
    columns = [column for column in passes.c if column.name not in {"document", "quiet"}]
    query = select(*columns).order_by(passes.c.number.desc()).limit(limit)
    if commit:
        query = query.where(passes.c.commit.startswith(commit, autoescape=True))
    return tuple(_summary(row) for row in connection.execute(query).mappings())


def _summary(found: RowMapping) -> PassSummary:
    return PassSummary(
        number=found["number"],
        trigger=Trigger(found["trigger"]),
        started_at=datetime.fromisoformat(found["started_at"]),
        finished_at=datetime.fromisoformat(found["finished_at"]),
        commit=found["commit"],
        applied_commit=found["applied_commit"],
        actions=found["actions"],
        problems=found["problems"],
        settled=found["settled"],
        attempts=found["attempts"],
        branch=found["branch"],
        subject=found["subject"],
        failed=found["failed"],
    )


def read_statuses(connection: Connection) -> tuple[ServerStatus, ...]:
    query = select(servers.c.document).order_by(servers.c.server)
    return tuple(from_document(ServerStatus, text) for text in connection.execute(query).scalars())


def read_transitions(connection: Connection, server: str, limit: int) -> tuple[Transition, ...]:
    query = select(transitions).order_by(transitions.c.id.desc()).limit(limit)
    if server:
        query = query.where(transitions.c.server == server)
    return tuple(_transition(row) for row in connection.execute(query).mappings())


def _transition(found: RowMapping) -> Transition:
    return Transition(
        server=found["server"],
        state=ServerState(found["state"]),
        cause=Cause(found["cause"]) if found["cause"] else None,
        detail=found["detail"],
        at=datetime.fromisoformat(found["at"]),
        revision=found["revision"],
        pass_number=found["pass_number"],
    )


def read_open_intents(connection: Connection) -> tuple[Intent, ...]:
    query = (
        select(intents.c.pass_number, intents.c.action, intents.c.recorded_at)
        .where(intents.c.outcome == "")
        .order_by(intents.c.pass_number, intents.c.position)
    )
    return tuple(
        Intent(number=number, action=_action(text), recorded_at=datetime.fromisoformat(recorded_at))
        for number, text, recorded_at in connection.execute(query)
    )


def _action(text: str) -> Action:
    found = from_document(object, text)
    assert isinstance(found, actions.Action)
    return found


def read_good_revision(connection: Connection) -> Revision | None:
    text = connection.execute(select(good_revisions.c.document).order_by(good_revisions.c.id.desc()).limit(1)).scalar()
    return None if text is None else from_document(Revision, text)


def read_owned_apps(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(select(owned_apps.c.app)).scalars())
