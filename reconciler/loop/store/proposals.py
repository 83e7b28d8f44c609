"""Proposed commits: which wait for a plan, and what each plan came to.

Of a pull request only the newest commit waits: a plan of a commit that was pushed over is worth nothing. A bound keeps
whoever may open pull requests from filling the store.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from reconciler.core.proposals import ProposedPlan
from reconciler.loop.ports import Proposal, StoredProposal, WaitingProposal
from reconciler.loop.store.documents import from_document, to_document
from reconciler.loop.store.tables import proposals
from reconciler.loop.store.times import time_text

MOST_KEPT: Final = 500
"""Proposals that are remembered, planned or waiting."""


def ask(connection: Connection, proposal: Proposal, now: datetime) -> None:
    """Makes a proposal wait, and its pull request's other commits not."""
    if proposal.number:
        others = (proposals.c.number == proposal.number) & (proposals.c.commit != proposal.commit)
        connection.execute(update(proposals).where(others).values(waits=False))
    again = update(proposals).where(_is(proposal)).values(waits=True, asked=proposals.c.asked + 1, ref=proposal.ref)
    if connection.execute(again).rowcount == 0:
        row = {"number": proposal.number, "commit": proposal.commit, "ref": proposal.ref, "received_at": time_text(now)}
        connection.execute(insert(proposals).values({**row, "waits": True, "asked": 1}))
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


def _stored(row: Row[tuple[object, ...]]) -> StoredProposal:
    return StoredProposal(
        proposal=_proposal(row),
        received_at=datetime.fromisoformat(row.received_at),
        waits=row.waits,
        planned=from_document(ProposedPlan, row.document) if row.document else None,
    )


def _proposal(row: Row[tuple[object, ...]]) -> Proposal:
    return Proposal(number=row.number, commit=row.commit, ref=row.ref)


def _is(proposal: Proposal) -> ColumnElement[bool]:
    return (proposals.c.number == proposal.number) & (proposals.c.commit == proposal.commit)


def _forget_old(connection: Connection) -> None:
    newest = select(proposals.c.id).order_by(proposals.c.id.desc()).offset(MOST_KEPT - 1).limit(1).scalar_subquery()
    connection.execute(delete(proposals).where(proposals.c.id < newest))
