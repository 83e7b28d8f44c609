"""Proposed commits: which wait for a plan, and what each plan came to.

Of a pull request only the newest commit waits: a plan of a commit that was pushed over is worth nothing. A bound keeps
whoever may open pull requests from filling the store.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    String,
    bindparam,
    delete,
    insert,
    select,
    tuple_,
    update,
)

from reconciler.core.proposals import ProposedPlan
from reconciler.loop.ports import Proposal, StoredProposal, WaitingProposal
from reconciler.loop.store.documents import from_document, to_document
from reconciler.loop.store.tables import proposals
from reconciler.loop.store.times import time_text

MOST_KEPT: Final = 500
"""Proposals that are remembered, planned or waiting."""
REMEMBERED: Final = 16
"""Plans that are kept as values."""

_THIS_NUMBER: Final = bindparam("this_number", type_=Integer)
_THIS_COMMIT: Final = bindparam("this_commit", type_=String)
_THIS_REF: Final = bindparam("this_ref", type_=String)
_NO_LONGER: Final = (
    update(proposals)
    .where((proposals.c.number == _THIS_NUMBER) & (proposals.c.commit != _THIS_COMMIT))
    .values(waits=False)
)
_ONCE_MORE: Final = (
    update(proposals)
    .where((proposals.c.number == _THIS_NUMBER) & (proposals.c.commit == _THIS_COMMIT))
    .values(waits=True, asked=proposals.c.asked + 1, ref=_THIS_REF)
)
_FIRST: Final = insert(proposals).values(
    number=_THIS_NUMBER, commit=_THIS_COMMIT, ref=_THIS_REF,
    received_at=bindparam("this_time", type_=String), waits=True, asked=1,
)  # fmt: skip


def ask(connection: Connection, asked: Sequence[tuple[Proposal, datetime]]) -> None:
    """Makes proposals wait, and their pull requests' other commits not. Of one pull request the last of them counts.

    A handful of statements whatever their number is: webhooks come by the hundred.
    """
    newest = {proposal.number or proposal.commit: (proposal, now) for proposal, now in asked}
    rows = [_row(proposal, now) for proposal, now in newest.values()]
    numbered = [row for row in rows if row["this_number"]]
    if numbered:
        connection.execute(_NO_LONGER, numbered)
    pairs = [(row["this_number"], row["this_commit"]) for row in rows]
    query = select(proposals.c.number, proposals.c.commit)
    known = {
        (row.number, row.commit)
        for row in connection.execute(query.where(tuple_(proposals.c.number, proposals.c.commit).in_(pairs)))
    }
    if again := [row for row, pair in zip(rows, pairs, strict=True) if pair in known]:
        connection.execute(_ONCE_MORE, again)
    if fresh := [row for row, pair in zip(rows, pairs, strict=True) if pair not in known]:
        connection.execute(_FIRST, fresh)
        _forget_old(connection)


def ask_again(connection: Connection, commit: str) -> None:
    """Makes what is known of a commit wait once more; nothing where nothing is known."""
    known = proposals.c.commit == commit
    connection.execute(update(proposals).where(known).values(waits=True, asked=proposals.c.asked + 1))


def read_waiting(connection: Connection) -> Sequence[WaitingProposal]:
    query = select(proposals).where(proposals.c.waits).order_by(proposals.c.id)
    return [
        WaitingProposal(proposal=_proposal(row), asked=row.asked, told=bool(row.document))
        for row in connection.execute(query)
    ]


def write_planned(connection: Connection, proposal: Proposal, planned: ProposedPlan, *, asked: int) -> None:
    connection.execute(update(proposals).where(_is(proposal)).values(document=to_document(planned)))
    still = _is(proposal) & (proposals.c.asked == asked)
    connection.execute(update(proposals).where(still).values(waits=False))


def read_known(connection: Connection) -> frozenset[tuple[int, str]]:
    rows = connection.execute(select(proposals.c.number, proposals.c.commit))
    return frozenset((row.number, row.commit) for row in rows)


def read_stored(connection: Connection, *, number: int | None = None, limit: int = 50) -> Sequence[StoredProposal]:
    """Proposals, newest first; those of one pull request where it is named."""
    query = select(proposals).order_by(proposals.c.id.desc()).limit(limit)
    if number is not None:
        query = query.where(proposals.c.number == number)
    return [_stored(row) for row in connection.execute(query)]


def read_one(connection: Connection, proposal: Proposal) -> StoredProposal | None:
    """What is known of one proposal; none where nothing is."""
    row = connection.execute(select(proposals).where(_is(proposal))).one_or_none()
    return None if row is None else _stored(row)


def _stored(row: Row[tuple[object, ...]]) -> StoredProposal:
    return StoredProposal(
        proposal=_proposal(row),
        received_at=datetime.fromisoformat(row.received_at),
        waits=row.waits,
        planned=_planned(row.document) if row.document else None,
    )


@lru_cache(maxsize=REMEMBERED)
def _planned(text: str) -> ProposedPlan:
    """A plan of a whole fleet is long, and a page that is looked at reads the same ones again and again."""
    return from_document(ProposedPlan, text)


def _proposal(row: Row[tuple[object, ...]]) -> Proposal:
    return Proposal(number=row.number, commit=row.commit, ref=row.ref)


def _is(proposal: Proposal) -> ColumnElement[bool]:
    return (proposals.c.number == proposal.number) & (proposals.c.commit == proposal.commit)


def _row(proposal: Proposal, now: datetime) -> dict[str, object]:
    return {
        "this_number": proposal.number,
        "this_commit": proposal.commit,
        "this_ref": proposal.ref,
        "this_time": time_text(now),
    }


def _forget_old(connection: Connection) -> None:
    newest = select(proposals.c.id).order_by(proposals.c.id.desc()).offset(MOST_KEPT - 1).limit(1).scalar_subquery()
    connection.execute(delete(proposals).where(proposals.c.id < newest))
