"""Wakes the process that leads by webhooks that another process took in.

Behind a load balancer any process of a fleet may be called, and only one of them runs passes. What a webhook asks for
is durable before it is answered, so that the leader finds it in the store, where it looks each second. A webhook that
it took in itself has woken it already and wakes it once.

Looking is one query by an index. LISTEN and NOTIFY would save it on PostgreSQL alone, need a connection of their own,
and would not come through a pooler in transaction mode.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import anyio
import structlog

from reconciler.core.types import Trigger
from reconciler.errors import CatwalkError
from reconciler.loop.clock import Pause, pause
from reconciler.loop.ports import Clock, Delivery, Inbox

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.loop")

LOOK_S: Final = 1.0
LOOK_BACK: Final = timedelta(minutes=2)
"""How far the clocks of two processes may be apart. A webhook that is missed costs the time until the next poll."""


class ReadableInbox(Inbox, Protocol):
    """An inbox that tells what came lately, whoever took it in."""

    async def taken_in(self, since: datetime) -> Sequence[tuple[str, Trigger | None]]:
        """Id of each delivery received since then, and what it asked the loop for.

        Raises:
            Unavailable: the store does not answer.
        """
        ...


class SharedInbox:
    """The inbox of one process, and its ear for those of the others."""

    def __init__(
        self, inbox: ReadableInbox, clock: Clock, *, wake: Callable[[Trigger], None], pause: Pause = pause
    ) -> None:
        self._inbox, self._clock, self._wake, self._pause = inbox, clock, wake, pause
        self._known: set[str] = set()
        self._own: set[str] = set()
        """What this process is taking in or took in, until it was seen in the store."""

    async def take_in(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        """Implements `Inbox`. Whoever calls this wakes the loop itself."""
        # Noted before they can be seen: a look may come before the answer of the store.
        mine = {delivery.id for delivery in deliveries}
        self._own |= mine
        try:
            news = await self._inbox.take_in(deliveries)
        except BaseException:
            self._own -= mine
            raise
        # One that another process was quicker with wakes nobody here but by the next look.
        others = {delivery.id for delivery, new in zip(deliveries, news, strict=True) if not new} & mine
        self._own -= others
        self._known -= others
        return news

    async def begin(self) -> None:
        """Takes what is there for known: the first pass looks at everything anyway.

        Raises:
            Unavailable: the store does not answer.
        """
        self._known = {delivery_id for delivery_id, _ in await self._recent()}

    async def look(self) -> None:
        """Wakes the loop for each delivery that another process took in since the last look.

        Raises:
            Unavailable: the store does not answer.
        """
        recent = await self._recent()
        known = self._known | self._own
        asked = [trigger for delivery_id, trigger in recent if delivery_id not in known and trigger is not None]
        seen = {delivery_id for delivery_id, _ in recent}
        self._own -= seen
        self._known = seen
        for trigger in asked:
            log.info("webhook-elsewhere", trigger=trigger.value)
            self._wake(trigger)

    async def run(self, stop: anyio.Event, leads: Callable[[], bool]) -> None:
        """Looks while this process leads, until `stop` is set. A store that does not answer is asked again."""
        while not await self._pause(stop, LOOK_S):
            if not leads():
                continue
            try:
                await self.look()
            except CatwalkError as error:
                log.warning("inbox-not-read", code=error.problem.code)

    async def _recent(self) -> Sequence[tuple[str, Trigger | None]]:
        return await self._inbox.taken_in(self._clock.now() - LOOK_BACK)
