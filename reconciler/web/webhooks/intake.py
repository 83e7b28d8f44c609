"""Makes webhooks durable together: all that came while the last transaction was written go into the next one.

A write that is durable takes milliseconds, so that one for each would allow a few hundred a second. Whoever comes while
it is quiet does not wait for company; right after a write, the next one gathers for a moment what comes. What wakes the
loop goes into the very next write, before whatever else waits, and there is room for it when there is none for
anything else. What is known to be durable is not written again.
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import anyio

from reconciler.errors import CatwalkError, Unavailable
from reconciler.loop.ports import Delivery, Inbox

MOST_WAITING: Final = 2000
MOST_URGENT: Final = 500
"""Of those that wake the loop, beside the others."""
MOST_A_WRITE: Final = 200
"""Without those that wake the loop."""
GATHERED_S: Final = 0.03
"""How long after a write the next one begins at the earliest; an answer is to take no more than 50 ms."""
MOST_REMEMBERED: Final = 4096
"""Deliveries that are remembered to be durable."""


@dataclass(slots=True, eq=False)
class _Batch:
    """What is written in one transaction. The first that came into it writes it."""

    deliveries: list[Delivery] = field(default_factory=list[Delivery])
    ordinary: int = 0
    news: list[bool] = field(default_factory=list[bool])
    """Whether each is new, once it was written."""
    fault: CatwalkError | None = None
    hurries: anyio.Event = field(default_factory=anyio.Event)
    """Set once something that wakes the loop is in it."""
    ended: anyio.Event = field(default_factory=anyio.Event)

    def add(self, delivery: Delivery) -> int:
        """Its place in the batch."""
        self.deliveries.append(delivery)
        if _is_urgent(delivery):
            self.hurries.set()
        else:
            self.ordinary += 1
        return len(self.deliveries) - 1


class Intake:
    """The queue in front of the inbox."""

    __slots__ = ("_batches", "_durable", "_inbox", "_lock", "_rested_at")

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._lock = anyio.Lock()
        self._durable: dict[str, None] = {}
        """Ids in the order in which they became durable."""
        self._rested_at = 0.0
        """From when on a write need not gather, on the clock of the event loop."""
        self._batches: deque[_Batch] = deque()
        """Those that are not being written yet, in the order in which they will be."""

    async def take_in(self, delivery: Delivery) -> bool:
        """Makes a delivery durable; whether it is new.

        Raises:
            Unavailable: it could not be kept, or too many wait already; whoever sent it is to send it again.
        """
        if delivery.id in self._durable:
            return False
        if not self._has_room(delivery):
            raise Unavailable("too-many-webhooks", "too many webhooks wait to be kept", hint="send it again later")
        batch = self._batch_for(delivery)
        place = batch.add(delivery)
        if place == 0:
            await self._write(batch)
        else:
            await batch.ended.wait()
        if batch.fault is not None:
            raise batch.fault
        return batch.news[place]

    def _has_room(self, delivery: Delivery) -> bool:
        ordinary = sum(batch.ordinary for batch in self._batches)
        if not _is_urgent(delivery):
            return ordinary < MOST_WAITING
        return sum(len(batch.deliveries) for batch in self._batches) - ordinary < MOST_URGENT

    def _batch_for(self, delivery: Delivery) -> _Batch:
        if self._batches and _is_urgent(delivery):
            return self._batches[0]
        if not self._batches or self._batches[-1].ordinary >= MOST_A_WRITE:
            self._batches.append(_Batch())
        return self._batches[-1]

    async def _gather(self, batch: _Batch) -> None:
        left_s = self._rested_at - anyio.current_time()
        if left_s > 0 and batch.ordinary < MOST_A_WRITE:
            with anyio.move_on_after(left_s):
                await batch.hurries.wait()

    def _remember(self, batch: _Batch) -> None:
        self._durable.update(dict.fromkeys(delivery.id for delivery in batch.deliveries))
        for oldest in list(islice(self._durable, max(0, len(self._durable) - MOST_REMEMBERED))):
            del self._durable[oldest]

    async def _write(self, batch: _Batch) -> None:
        """One write at a time; the lock lets batches through in the order in which they were begun."""
        try:
            async with self._lock:
                await self._gather(batch)
                self._batches.remove(batch)
                batch.news = list(await self._inbox.take_in(batch.deliveries))
                self._rested_at = anyio.current_time() + GATHERED_S
                self._remember(batch)
        except CatwalkError as fault:
            batch.fault = fault
        except BaseException:
            batch.fault = Unavailable("webhook-not-kept", "the webhook was not kept", hint="send it again")
            if batch in self._batches:
                self._batches.remove(batch)
            raise
        finally:
            batch.ended.set()


def _is_urgent(delivery: Delivery) -> bool:
    return delivery.trigger is not None
