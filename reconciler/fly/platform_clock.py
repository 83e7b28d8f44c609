"""What time it is at the platform, by the `Date` of its answers (RFC 9110, 6.6.1).

How old a machine is, is the difference of two times; both must be read from one clock, or a computer whose clock is
ahead takes every new machine for one that has had its time. The header counts whole seconds. So the first answer of
each second is kept, and the time since then is counted by a clock that nobody sets: what is told is at most a second
and the way of one answer behind.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime


class PlatformClock:
    """Learns the time from answers and goes on by itself between them."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._text = ""
        self._known: datetime | None = None
        self._known_s = 0.0

    def learn(self, text: str) -> None:
        """Takes note of a `Date`. What is no date changes nothing."""
        if not text or text == self._text:
            return
        self._text = text
        try:
            told = parsedate_to_datetime(text)
        except ValueError:
            return
        # `-0000` says that nothing is known of the zone; the header is in UTC whatever it says.
        self._known = told if told.tzinfo else told.replace(tzinfo=UTC)
        self._known_s = self._monotonic()

    def now(self) -> datetime | None:
        """The time at the platform; none while no answer has told it."""
        if self._known is None:
            return None
        return self._known + timedelta(seconds=self._monotonic() - self._known_s)
