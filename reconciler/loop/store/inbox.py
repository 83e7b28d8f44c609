"""Which webhooks were taken in, as functions from a connection in a transaction.

GitHub can be asked to send a delivery again for some days, always under its first id. A fortnight of them is kept.
"""

from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from reconciler.loop.ports import Delivery
from reconciler.loop.store.tables import deliveries
from reconciler.loop.store.times import time_text

KEPT: Final = timedelta(days=14)


def take_in(connection: Connection, delivery: Delivery) -> bool:
    """Keeps a delivery; whether it is new."""
    known = select(deliveries.c.id).where(deliveries.c.id == delivery.id)
    if connection.execute(known).one_or_none() is not None:
        return False
    received_at = time_text(delivery.received_at)
    connection.execute(delete(deliveries).where(deliveries.c.received_at < time_text(delivery.received_at - KEPT)))
    row = {"id": delivery.id, "trigger": delivery.trigger.value, "received_at": received_at}
    connection.execute(insert(deliveries).values(row))
    return True
