"""Keeps calls under Fly's rate limits, so that steady work never earns a 429.

Fly counts per action and identifier: one call per second with a burst of three, five per second with a burst of ten for
reading one machine ("Working with the Machines API", Rate limits). The schedule leaves one call of each burst unused:
calls that leave evenly spaced do not arrive evenly spaced, and a bucket that is filled to the brim punishes a
millisecond.

Each key is one number, the generic cell rate algorithm's theoretical arrival time, instead of a bucket with a timer.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

_KEYS_BEFORE_CLEANING: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A sustained rate, and how many calls may come at once after a rest."""

    per_second: float
    burst: int


ORDINARY: Final = Rate(per_second=1.0, burst=2)
MACHINE_READS: Final = Rate(per_second=5.0, burst=9)
APP_DELETIONS: Final = Rate(per_second=100 / 60, burst=10)
"""Fly allows 100 app deletions per minute and organization."""


def reserve(arrival_s: float, now_s: float, rate: Rate) -> tuple[float, float]:
    """How long the next call of a key waits, and the arrival time to remember after it.

    Args:
        arrival_s: what the last reservation returned, or `now_s` for a key without history.
        now_s: monotonic seconds.
        rate: the limit.
    """
    interval_s = 1 / rate.per_second
    start_s = max(arrival_s, now_s)
    delay_s = max(0.0, start_s - (rate.burst - 1) * interval_s - now_s)
    return delay_s, start_s + interval_s


class Schedule:
    """Admits calls by key, in the order in which they ask."""

    def __init__(self, monotonic: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._arrivals: dict[tuple[str, str], float] = {}

    async def admit(self, key: tuple[str, str], rate: Rate) -> None:
        """Returns when a call of `key` (action, identifier) may be sent. A cancelled wait keeps its place used."""
        now_s = self._monotonic()
        self._clean(now_s)
        delay_s, self._arrivals[key] = reserve(self._arrivals.get(key, now_s), now_s, rate)
        if delay_s > 0:
            await self._sleep(delay_s)

    def _clean(self, now_s: float) -> None:
        """Forgets keys that are at rest: a fleet that changes for months must not grow the table for ever."""
        if len(self._arrivals) > _KEYS_BEFORE_CLEANING:
            self._arrivals = {key: arrival for key, arrival in self._arrivals.items() if arrival > now_s}
