"""How many calls are under way at once, by what they hold a connection for.

As many servers are worked at side by side as Fly's limits allow, a thousand and more. Their calls are not: each takes
a connection while it lasts, and a wait lasts up to a minute. So calls queue here, in the order in which they come and
before their time begins to run, in three lanes that do not hold each other up: waits, which last; what is done under a
lease, which must end before the lease does; and all the others, which are short.
"""

from typing import Final

import anyio

from reconciler.fly.calls import Call, Effect

WAITS: Final = 40
UNDER_LEASE: Final = 10
SHORT: Final = 50


class Lanes:
    """The places of one client. A call holds one while it is under way: `async with lanes.of(call)`."""

    def __init__(self, *, waits: int = WAITS, under_lease: int = UNDER_LEASE, short: int = SHORT) -> None:
        self._waits = anyio.Semaphore(waits, fast_acquire=True)
        self._under_lease = anyio.Semaphore(under_lease, fast_acquire=True)
        self._short = anyio.Semaphore(short, fast_acquire=True)

    def of(self, call: Call) -> anyio.Semaphore:
        """The lane of a call."""
        if call.effect is Effect.WAIT:
            return self._waits
        return self._under_lease if call.nonce else self._short

    @property
    def waits_are_full(self) -> bool:
        """Whether another wait would queue."""
        return self._waits.value == 0
