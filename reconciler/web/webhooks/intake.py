"""Makes webhooks durable together: all that came while the last transaction was written go into the next one.

A write that is durable takes milliseconds, so that one for each would allow a few hundred a second. Whoever comes while
nothing is written does not wait for company.
"""

from dataclasses import dataclass
from typing import Final

import anyio

from reconciler.errors import CatwalkError, Unavailable
from reconciler.loop.ports import Delivery, Inbox

MOST_WAITING: Final = 2000
MOST_A_WRITE: Final = 200


@dataclass(slots=True)
class _Waiting:
    delivery: Delivery
    new: bool | None = None
    """None until it is known."""
    fault: CatwalkError | None = None


class Intake:
    """The queue in front of the inbox."""

    __slots__ = ("_inbox", "_lock", "_waiting")

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._lock = anyio.Lock()
        self._waiting: list[_Waiting] = []

    async def take_in(self, delivery: Delivery) -> bool:
        """Makes a delivery durable; whether it is new.

        Raises:
            Unavailable: it could not be kept, or too many wait already; whoever sent it is to send it again.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise Unavailable("too-many-webhooks", "too many webhooks wait to be kept", hint="send it again later")
        mine = _Waiting(delivery)
        self._waiting.append(mine)
        async with self._lock:
            if mine.new is None and mine.fault is None:
                await self._write()
        if mine.fault is not None:
            raise mine.fault
        return bool(mine.new)

    async def _write(self) -> None:
        """The oldest that wait, ours among them: whoever came before us has been served, or is served with us."""
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST_A_WRITE], self._waiting[MOST_A_WRITE:]
            try:
                news = await self._inbox.take_in([one.delivery for one in batch])
            except CatwalkError as fault:
                for one in batch:
                    one.fault = fault
            except BaseException:
                for one in batch:
                    one.fault = Unavailable("webhook-not-kept", "the webhook was not kept", hint="send it again")
                raise
            else:
                for one, new in zip(batch, news, strict=True):
                    one.new = new
