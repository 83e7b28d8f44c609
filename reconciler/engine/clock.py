"""The time, as the engine needs it: nanoseconds for logs and events, and waits that a test can step through.

Everything in the engine that waits for a while waits here, so that a clock that is moved by hand drives leases,
back-off, checks and time limits without a sleep in a test.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

NANOSECONDS = 1_000_000_000


class Clock(Protocol):
    def now_ns(self) -> int:
        """Nanoseconds since 1970, UTC."""
        ...

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        """Waits until `event` is set, at most `timeout_s`; whether it was set. An event that is set already wins."""
        ...


class SystemClock:
    """The clock of this computer."""

    def now_ns(self) -> int:
        return time.time_ns()

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        if event.is_set():
            return True
        try:
            async with asyncio.timeout(max(timeout_s, 0)):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True


def rfc3339(nanoseconds: int) -> str:
    """The text form that the Machines API uses, with microseconds: `2026-11-24T06:00:00.123456Z`."""
    moment = datetime.fromtimestamp(nanoseconds // NANOSECONDS, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds % NANOSECONDS // 1000:06d}Z"


def from_rfc3339(text: str) -> int:
    """The inverse of `rfc3339`, for any offset.

    Raises:
        ValueError: the text is no RFC 3339 time, or has no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset")
    return int(moment.timestamp()) * NANOSECONDS + moment.microsecond * 1000
