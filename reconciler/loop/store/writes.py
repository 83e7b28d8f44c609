"""What is written, as functions from a connection in a transaction.

Each leaves the tables consistent with each other.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update

from reconciler.core.actions import Action, DestroyApp, Outcome, Pass, Plan
from reconciler.core.types import OutcomeKind, Revision, ServerStatus, Trigger
from reconciler.errors import InternalFault
from reconciler.loop.store.deletes import delete_rows
from reconciler.loop.store.documents import to_document
from reconciler.loop.store.reads import read_statuses
from reconciler.loop.store.safety import forget_old, most_attempts, note_outcome
from reconciler.loop.store.tables import counters, good_revisions, intents, owned_apps, passes, servers, transitions
from reconciler.loop.store.times import time_text

KEPT_PASSES: Final = 500
KEPT_TRANSITIONS: Final = 10_000
KEPT_GOOD_REVISIONS: Final = 50
LONGEST_BRANCH: Final = 255
LONGEST_SUBJECT: Final = 500
UNKNOWN: Final = ""
"""The outcome of an intent until somebody records one."""
SUPERSEDED: Final = "superseded"
"""The outcome of an intent that a later pass looked behind: that pass saw what had come of it, and planned anew."""


def next_number(connection: Connection) -> int:
    """Counts passes. A number is never given twice, also when the pass was never recorded."""
    counted = update(counters).where(counters.c.name == "passes").values(value=counters.c.value + 1)
    number = connection.execute(counted.returning(counters.c.value)).scalar()
    if number is not None:
        return int(number)
    connection.execute(insert(counters).values(name="passes", value=1))
    return 1


def write_intents(connection: Connection, number: int, plan: Plan, now: datetime) -> None:
    """A later stage of the same pass may try an action again: its intent is open again then."""
    rows = [
        {
            "pass_number": number,
            "action_key": action_key(action),
            "position": position,
            "server": action.server,
            "action": to_document(action),
            "recorded_at": time_text(now),
        }
        for position, action in enumerate(plan.actions)
    ]
    if rows:
        _forget_earlier(connection, number, {str(row["action_key"]) for row in rows})
        connection.execute(insert(intents), rows)
    _own(connection, {action.app: action.server for action in plan.actions if not isinstance(action, DestroyApp)})


def _forget_earlier(connection: Connection, number: int, keys: set[str]) -> None:
    of_pass = intents.c.pass_number == number
    for key in keys & set(connection.execute(select(intents.c.action_key).where(of_pass)).scalars()):
        connection.execute(delete(intents).where(of_pass & (intents.c.action_key == key)))


def action_key(action: Action) -> str:
    """The same action has the same key, so that its outcome finds its intent."""
    return hashlib.sha256(to_document(action).encode("utf-8")).hexdigest()


def _own(connection: Connection, apps: Mapping[str, str]) -> None:
    known = set(connection.execute(select(owned_apps.c.app)).scalars())
    rows = [{"app": app, "server": server} for app, server in sorted(apps.items()) if app not in known]
    if rows:
        connection.execute(insert(owned_apps), rows)


def write_outcome(connection: Connection, number: int, outcome: Outcome, now: datetime) -> None:
    intent = (intents.c.pass_number == number) & (intents.c.action_key == action_key(outcome.action))
    values: dict[str, Any] = {"outcome": outcome.kind.value, "outcome_document": to_document(outcome)}
    if connection.execute(update(intents).where(intent).values(values)).rowcount != 1:
        raise InternalFault("outcome-without-intent", f"pass {number} did something that it had not announced")
    note_outcome(connection, outcome, now)
    done = outcome.kind in {OutcomeKind.APPLIED, OutcomeKind.ADOPTED}
    if done and isinstance(outcome.action, DestroyApp):
        connection.execute(delete(owned_apps).where(owned_apps.c.app == outcome.action.app))


def write_good_revision(connection: Connection, revision: Revision, now: datetime) -> None:
    row = {"commit": revision.commit, "document": to_document(revision), "kept_at": time_text(now)}
    connection.execute(insert(good_revisions).values(row))
    newest = connection.execute(select(func.max(good_revisions.c.id))).scalar_one()
    connection.execute(delete(good_revisions).where(good_revisions.c.id <= newest - KEPT_GOOD_REVISIONS))


def write_pass(connection: Connection, finished: Pass) -> None:
    """The pass, the verdicts with their transitions, and the end of intents that this pass looked behind."""
    changed = _write_statuses(connection, finished)
    quiet = finished.trigger is Trigger.HEALTH and not finished.outcomes and not changed
    connection.execute(delete(passes).where((passes.c.number == finished.number) | passes.c.quiet))
    row = {**_pass_row(finished, quiet=quiet), "attempts": most_attempts(connection)}
    connection.execute(insert(passes).values(row))
    if finished.plan is not None:
        older = (intents.c.pass_number < finished.number) & (intents.c.outcome == UNKNOWN)
        connection.execute(update(intents).where(older).values(outcome=SUPERSEDED))
    forget_old(connection, finished.finished_at)
    _trim(connection, finished.number)


def _pass_row(finished: Pass, *, quiet: bool) -> dict[str, Any]:
    return {
        "number": finished.number,
        "trigger": finished.trigger.value,
        "started_at": time_text(finished.started_at),
        "finished_at": time_text(finished.finished_at),
        "commit": finished.revision.commit if finished.revision else "",
        "applied_commit": finished.applied_revision.commit if finished.applied_revision else "",
        "actions": len(finished.plan.actions) if finished.plan else 0,
        "problems": len(finished.problems),
        "settled": finished.settled,
        "quiet": quiet,
        "branch": finished.revision.branch[:LONGEST_BRANCH] if finished.revision else "",
        "subject": finished.revision.subject[:LONGEST_SUBJECT] if finished.revision else "",
        "failed": sum(outcome.kind is OutcomeKind.FAILED for outcome in finished.outcomes),
        "document": to_document(finished),
    }


def _write_statuses(connection: Connection, finished: Pass) -> bool:
    """Whether any verdict changed. Only what changed is written: most passes change nothing."""
    before = {status.server: status for status in read_statuses(connection)}
    after = {status.server: status for status in finished.statuses}
    changed = [status for name, status in after.items() if before.get(name) != status]
    gone = before.keys() - after.keys()
    replaced = [*gone, *(status.server for status in changed if status.server in before)]
    delete_rows(connection, servers.c.server, replaced)
    if changed:
        rows = [{"server": status.server, "document": to_document(status)} for status in changed]
        connection.execute(insert(servers), rows)
    moved = [status for status in changed if _moved(before.get(status.server), status)]
    if moved:
        connection.execute(
            insert(transitions), [_transition_row(before.get(status.server), status, finished) for status in moved]
        )
    return bool(changed or gone)


def _moved(before: ServerStatus | None, after: ServerStatus) -> bool:
    """Another state, another cause, or the same with another configuration."""
    return before is None or _judgement(before) != _judgement(after)


def _judgement(status: ServerStatus) -> tuple[object, ...]:
    return status.state, status.cause, status.revision


def _moved_at(before: ServerStatus | None, status: ServerStatus, finished: Pass) -> datetime:
    """A state that stays over a new configuration began before it."""
    stayed = before is not None and before.state is status.state and before.since == status.since
    return finished.finished_at if stayed else status.since or finished.finished_at


def _transition_row(before: ServerStatus | None, status: ServerStatus, finished: Pass) -> dict[str, Any]:
    return {
        "server": status.server,
        "state": status.state.value,
        "cause": status.cause.value if status.cause else "",
        "detail": status.detail,
        "at": time_text(_moved_at(before, status, finished)),
        "revision": status.revision,
        "pass_number": finished.number,
    }


def _trim(connection: Connection, newest: int) -> None:
    """Keeps the history from growing for ever. Open intents are kept, however old."""
    oldest = newest - KEPT_PASSES
    connection.execute(delete(passes).where(passes.c.number <= oldest))
    connection.execute(delete(intents).where((intents.c.pass_number <= oldest) & (intents.c.outcome != UNKNOWN)))
    last = connection.execute(select(func.max(transitions.c.id))).scalar()
    if last is not None:
        connection.execute(delete(transitions).where(transitions.c.id <= last - KEPT_TRANSITIONS))
