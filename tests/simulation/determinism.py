"""What makes a run depend on nothing but its seed: an event loop whose time is made up, no threads, no chance.

Nothing waits here. When nobody can go on, the loop's time jumps to the next moment at which somebody can, so that hours
of leases and health checks take milliseconds and always the same ones. Work that is sent to threads is done at once.
"""

import asyncio
import os
import random
import selectors
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from unittest.mock import patch

from anyio._backends._asyncio import AsyncIOBackend

from reconciler.engine.clock import NANOSECONDS
from reconciler.engine.steering import STANDING_START_NS, SteerableClock

Result = TypeVar("Result")
EPOCH: Final = datetime.fromtimestamp(STANDING_START_NS / NANOSECONDS, tz=UTC)
LONGEST_S: Final = 30 * 86_400.0
"""Of made-up time in one run; more means that something waits for ever and looks again and again."""


class Stuck(Exception):
    """Everybody waits for somebody else, or nobody gets anywhere."""


class _Jump(selectors.SelectSelector):
    """Waits for nothing from outside, because nothing is there."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("everybody waits for somebody else")
        if timeout > 0:
            self.now_s += timeout
            if self.now_s > LONGEST_S:
                raise Stuck("a month has passed")
        return []


class SeededLoop(asyncio.SelectorEventLoop):
    """An event loop in which time passes only when there is nothing else to do."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now_s

    def run_in_executor(self, _executor: object, func: Callable[..., Result], *args: object) -> asyncio.Future[Result]:  # type: ignore[override]
        done: asyncio.Future[Result] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - as an executor hands it on.
            done.set_exception(error)
        return done


async def _in_this_thread(func: Callable[..., Result], args: tuple[object, ...], **_: object) -> Result:
    await asyncio.sleep(0)
    return func(*args)


class LoopClock(SteerableClock):
    """The engine's clock: the loop's time, which faults can make jump."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(running=True)
        self._loop = loop
        self._offset_ns = STANDING_START_NS

    def now_ns(self) -> int:
        return self._offset_ns + int(self._loop.time() * NANOSECONDS)


class WallClock:
    """The clock of the computer that Catwalk runs on: it may be wrong, and be corrected."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.skew_s = 0.0

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time() + self.skew_s)


@contextmanager
def seeded(seed: int) -> Iterator[SeededLoop]:
    """A loop, and a world in which what is random follows from the seed, while the block lasts."""
    chance = random.Random(f"chance {seed}")
    loop = SeededLoop()
    asyncio.set_event_loop(loop)
    with (
        patch.object(random, "_urandom", chance.randbytes),
        patch.object(os, "urandom", chance.randbytes),
        patch.object(AsyncIOBackend, "run_sync_in_worker_thread", _in_this_thread),
    ):
        try:
            yield loop
        finally:
            asyncio.set_event_loop(None)
            loop.close()
