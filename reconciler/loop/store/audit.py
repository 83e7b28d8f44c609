"""The audit in the store, as functions from a connection in a transaction: appended to, read backwards, kept in bounds.

Calls have a bound of their own, so that a busy client pushes no agreement to a removal and no refused sign-in out.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, delete, insert, select

from reconciler.core.audit import AuditDeed, AuditKind, AuditLine, AuditQuery, AuditResult, KeptLine
from reconciler.loop.store.tables import audit
from reconciler.loop.store.times import time_text

KEPT: Final[Mapping[AuditKind, int]] = {
    AuditKind.CALL: 50_000,
    AuditKind.TRY: 5_000,
    AuditKind.PRUNE: 5_000,
    AuditKind.SIGN_IN: 5_000,
}
"""Lines of each kind. A line of a call takes about 200 bytes."""


def append(connection: Connection, lines: Sequence[AuditLine]) -> None:
    """Adds lines, and forgets the oldest of the kinds that grew too long."""
    if not lines:
        return
    connection.execute(insert(audit), [_row(line) for line in lines])
    for kind in {line.deed.kind for line in lines}:
        _trim(connection, kind)


def read(connection: Connection, query: AuditQuery) -> tuple[KeptLine, ...]:
    """Lines, newest first."""
    wanted = select(audit).order_by(audit.c.id.desc()).limit(query.limit)
    for column, value in query.parts().items():
        wanted = wanted.where(audit.c[column] == value)
    if query.before:
        wanted = wanted.where(audit.c.id < query.before)
    return tuple(_kept(row) for row in connection.execute(wanted).mappings())


def _trim(connection: Connection, kind: AuditKind) -> None:
    of_kind = audit.c.kind == kind.value
    newest_first = select(audit.c.id).where(of_kind).order_by(audit.c.id.desc())
    last_kept = newest_first.offset(KEPT[kind] - 1).limit(1).scalar_subquery()
    connection.execute(delete(audit).where(of_kind & (audit.c.id < last_kept)))


def _row(line: AuditLine) -> dict[str, Any]:
    deed = line.deed
    return {
        "at": time_text(line.at),
        "kind": deed.kind.value,
        "who": deed.who,
        "server": deed.server,
        "method": deed.method,
        "tool": deed.tool,
        "result": deed.result.value,
        "detail": deed.detail,
        "times": line.times,
        "slowest_ms": line.slowest_ms,
    }


def _kept(row: RowMapping) -> KeptLine:
    deed = AuditDeed(
        kind=AuditKind(row["kind"]),
        who=row["who"],
        result=AuditResult(row["result"]),
        server=row["server"],
        method=row["method"],
        tool=row["tool"],
        detail=row["detail"],
    )
    at = datetime.fromisoformat(row["at"])
    line = AuditLine(at=at, deed=deed, times=row["times"], slowest_ms=row["slowest_ms"])
    return KeptLine(number=row["id"], line=line)
