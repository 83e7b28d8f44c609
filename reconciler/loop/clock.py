"""Time at the edge of the loop: the real clock, and the one way in which the loop waits.

The loop never sleeps blindly. Whatever it waits for can be cut short by an event, and tests hand in a clock that they
move themselves. It refuses naive times: everything is aware and in UTC.
"""

from datetime import UTC, datetime
from typing import Protocol

import anyio


class Pause(Protocol):
    """Waits for an event, but not for ever."""

    async def __call__(self, event: anyio.Event, timeout_s: float) -> bool:
        """Whether `event` was set within `timeout_s` seconds."""
        ...


class SystemClock:
    """The time of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251  # This is the clock that everything else is handed.


async def pause(event: anyio.Event, timeout_s: float) -> bool:
    """The `Pause` of production: returns as soon as the event is set, else when the time is over."""
    with anyio.move_on_after(timeout_s):
        await event.wait()
    return event.is_set()
