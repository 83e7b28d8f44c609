"""How many webhooks are taken in per second. Anybody can knock, and every knock costs a hash and a write."""

from dataclasses import dataclass, field
from typing import Final

from reconciler.loop.ports import Clock

BURST: Final = 60
"""Knocks at once: a busy repository pushes a few branches and its checks in one go."""
PER_SECOND: Final = 10.0


@dataclass(slots=True)
class Bucket:
    """A token bucket that is full in the beginning."""

    clock: Clock
    burst: float = BURST
    per_second: float = PER_SECOND
    _level: float = field(init=False)
    _at_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._level, self._at_s = self.burst, self.clock.now().timestamp()

    def take(self) -> bool:
        """Whether there is room for one more now. A clock that goes back fills nothing and breaks nothing."""
        now_s = self.clock.now().timestamp()
        self._level = min(self.burst, self._level + max(0.0, now_s - self._at_s) * self.per_second)
        self._at_s = now_s
        if self._level < 1:
            return False
        self._level -= 1
        return True
