"""One write at a time, with a second between two (GitHub docs, "Best practices for using the REST API")."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import anyio

from reconciler.loop.ports import Clock

SPACING_S: Final = 1.0


class Pace:
    """Shared by everything that writes with one credential."""

    def __init__(self, clock: Clock, *, sleep: Callable[[float], Awaitable[None]] = anyio.sleep) -> None:
        self._clock, self._sleep = clock, sleep
        self._lock = anyio.Lock()
        self._ended_at: datetime | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """A turn to write, once the last one is a second ago; the next one begins after it."""
        async with self._lock:
            left_s = self._left_s()
            if left_s > 0:
                await self._sleep(left_s)
            try:
                yield
            finally:
                self._ended_at = self._clock.now()

    def _left_s(self) -> float:
        """Never more than the whole distance, also where the clock was set back."""
        if self._ended_at is None:
            return 0.0
        passed_s = (self._clock.now() - self._ended_at).total_seconds()
        return SPACING_S - passed_s if passed_s >= 0 else SPACING_S
