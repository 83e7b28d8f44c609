"""One timer for all streams that wait for about the same moment.

Every idle stream wakes up each fifteen seconds for its comment. A timer of the event loop for each of thousands of them
takes more memory than the stream's own queue, and the comment may come half a second early.
"""

import asyncio

LEAST_S = 5.0
"""Shorter times are waited for exactly, by the loop itself."""
_STEP_S = 0.5


class SharedTimer:
    """See the module; one for each event loop, from `shared_timer`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: dict[int, set[asyncio.Future[None]]] = {}

    def add(self, waiter: asyncio.Future[None], timeout_s: float) -> set[asyncio.Future[None]]:
        """Have a future done after `timeout_s`, or up to half a second before; discard it from what is returned when it
        need not be waited for any more.
        """
        step = int((self.loop.time() + timeout_s) / _STEP_S)
        waiters = self._waiting.get(step)
        if waiters is None:
            waiters = self._waiting[step] = set()
            self.loop.call_at(step * _STEP_S, self._wake, step)
        waiters.add(waiter)
        return waiters

    def _wake(self, step: int) -> None:
        for waiter in self._waiting.pop(step):
            if not waiter.done():
                waiter.set_result(None)


_last: SharedTimer | None = None


def shared_timer(loop: asyncio.AbstractEventLoop) -> SharedTimer:
    """The timer of a loop. A process has one loop at a time, so only the last one is remembered."""
    global _last  # noqa: PLW0603 - it belongs to the loop, which is the process's own
    if _last is None or _last.loop is not loop:
        _last = SharedTimer(loop)
    return _last
