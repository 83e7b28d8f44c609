"""A clock that can be steered: it stands still and is advanced by hand, or it runs and can be made to jump.

A standing clock makes an hour of leases, back-off and health checks a matter of milliseconds, and always the same one.
A running one that jumps is a fault: what a host's clock does after a pause or a bad correction.
"""

import asyncio
import heapq
import time
from dataclasses import dataclass, field
from itertools import count

from reconciler.engine.clock import NANOSECONDS

STANDING_START_NS = 1_800_000_000 * NANOSECONDS
"""Where a standing clock begins (January 2027), so that every run of a test has the same times."""
DEAD_LIMIT = 1024
"""Finished waits that are kept in the queue before it is cleared of them."""


@dataclass(slots=True, order=True)
class _Sleeper:
    due_ns: int
    number: int
    limit: asyncio.Timeout = field(compare=False)
    done: bool = field(default=False, compare=False)


class SteerableClock:
    """All methods belong to the event loop's thread."""

    def __init__(self, *, running: bool = True) -> None:
        """`running`: whether time passes by itself. Otherwise only `step_to` and `jump` move it."""
        self.running = running
        self.waits = 0
        """How many waits have begun: where it does not grow, nobody has got further."""
        self._offset_ns = 0 if running else STANDING_START_NS
        self._sleepers: list[_Sleeper] = []
        self._numbers = count()
        self._dead = 0

    def now_ns(self) -> int:
        return self._offset_ns + (time.time_ns() if self.running else 0)

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        if event.is_set():
            return True
        sleeper = self._sleeper(max(timeout_s, 0))
        try:
            async with sleeper.limit:
                self._arm(sleeper)
                await event.wait()
        except TimeoutError:
            return event.is_set()
        finally:
            self._finish(sleeper)
        return True

    def next_ns(self) -> int | None:
        """When the next wait ends if nothing happens before; None if nobody waits."""
        while self._sleepers and self._sleepers[0].done:
            heapq.heappop(self._sleepers)
            self._dead -= 1
        return self._sleepers[0].due_ns if self._sleepers else None

    def step_to(self, at_ns: int) -> None:
        """Moves the time forward to a moment and ends every wait that is due by then. Going back changes nothing."""
        self._offset_ns += max(at_ns - self.now_ns(), 0)
        self._release()

    def jump(self, seconds: float) -> None:
        """Moves the time at once, forward or back. Going back, waits keep the span that they had left."""
        moved_ns = int(seconds * NANOSECONDS)
        self._offset_ns += moved_ns
        if moved_ns < 0:
            for sleeper in self._sleepers:
                sleeper.due_ns += moved_ns
        self._release()

    def _sleeper(self, span_s: float) -> _Sleeper:
        due_ns = self.now_ns() + int(span_s * NANOSECONDS)
        timeout_s = span_s if self.running or span_s == 0 else None
        return _Sleeper(due_ns=due_ns, number=next(self._numbers), limit=asyncio.timeout(timeout_s))

    def _arm(self, sleeper: _Sleeper) -> None:
        self.waits += 1
        heapq.heappush(self._sleepers, sleeper)

    def _finish(self, sleeper: _Sleeper) -> None:
        if sleeper.done:
            return
        sleeper.done = True
        self._dead += 1
        if self._dead > DEAD_LIMIT and self._dead * 2 > len(self._sleepers):
            self._sleepers = [one for one in self._sleepers if not one.done]
            heapq.heapify(self._sleepers)
            self._dead = 0

    def _release(self) -> None:
        now_ns, loop_now = self.now_ns(), asyncio.get_running_loop().time()
        while (due_ns := self.next_ns()) is not None and due_ns <= now_ns:
            sleeper = heapq.heappop(self._sleepers)
            sleeper.done = True
            if not sleeper.limit.expired():
                sleeper.limit.reschedule(loop_now)
