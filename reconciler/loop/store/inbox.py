"""Which webhooks were taken in, as functions from a connection in a transaction.

GitHub can be asked to send a delivery again for some days, always under its first id. A fortnight of them is kept. What
a webhook asks for is kept in the same transaction as its id: after a crash either both are there or neither is, and
then the delivery counts as new when it comes again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from reconciler.core.types import Trigger
from reconciler.loop.ports import Delivery
from reconciler.loop.store import proposals
from reconciler.loop.store.tables import deliveries
from reconciler.loop.store.times import time_text

KEPT: Final = timedelta(days=14)


def take_in(connection: Connection, arrived: Sequence[Delivery]) -> Sequence[bool]:
    """Keeps deliveries; for each, whether it is new. One that is there twice is new once."""
    known = _known(connection, [delivery.id for delivery in arrived])
    news: list[bool] = []
    for delivery in arrived:
        news.append(delivery.id not in known)
        known.add(delivery.id)
    if any(news):
        _keep(connection, [delivery for delivery, new in zip(arrived, news, strict=True) if new])
        oldest = min(delivery.received_at for delivery in arrived) - KEPT
        connection.execute(delete(deliveries).where(deliveries.c.received_at < time_text(oldest)))
    return news


def read_since(connection: Connection, since: datetime) -> Sequence[tuple[str, Trigger | None]]:
    """Id and trigger of each delivery received since then, in the order in which they came."""
    query = select(deliveries.c.id, deliveries.c.trigger).where(deliveries.c.received_at >= time_text(since))
    rows = connection.execute(query.order_by(deliveries.c.received_at))
    return [(row.id, Trigger(row.trigger) if row.trigger else None) for row in rows]


def _known(connection: Connection, ids: Sequence[str]) -> set[str]:
    query = select(deliveries.c.id).where(deliveries.c.id.in_(ids))
    return set(connection.execute(query).scalars())


def _keep(connection: Connection, fresh: Sequence[Delivery]) -> None:
    connection.execute(insert(deliveries), [_row(delivery) for delivery in fresh])
    if proposed := [(each.proposal, each.received_at) for each in fresh if each.proposal is not None]:
        proposals.ask(connection, proposed)
    for delivery in fresh:
        if delivery.replanned:
            proposals.ask_again(connection, delivery.replanned)


def _row(delivery: Delivery) -> dict[str, str]:
    trigger = delivery.trigger.value if delivery.trigger is not None else ""
    return {"id": delivery.id, "trigger": trigger, "received_at": time_text(delivery.received_at)}
