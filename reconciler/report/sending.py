"""How a sender goes on: whose turn it is, when it looks again, and what a fault of its own means.

Outbox and courier send different things in the same manner: a step at a time, by one process of a fleet, woken by
wishes, for ever.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import anyio
import structlog

UNTIL_OUR_TURN_S: Final = 1.0
"""How often a process that does not lead looks whether it does."""
AFTER_A_FAULT_S: Final = 60.0
"""How long the sender rests after a fault of its own."""

_log = structlog.get_logger(__name__)


class Turn(Protocol):
    """Whether it is this process's turn to send: a `Leadership`."""

    @property
    def token(self) -> int:
        """Another number for every new leader; 0 while this process does not lead."""
        ...

    def may_act(self) -> bool:
        """Whether this process leads now."""
        ...


class Always:
    """The turn of a process that nobody shares the store with."""

    token = 1

    def may_act(self) -> bool:
        return True


class Bell:
    """Wakes the sender that waits for its next step."""

    __slots__ = ("_rung",)

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        """Something new is to be sent."""
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Until it rings, or time is up; a ring during a step counts."""
        rung = self._rung
        with anyio.move_on_after(seconds):
            await rung.wait()
        if rung.is_set():
            self._rung = anyio.Event()


async def send_forever(step: Callable[[], Awaitable[float]], bell: Bell) -> None:
    """Takes steps for ever, each of which tells the seconds until the next may be.

    For the process's task group: a fault of a step is logged and never ends the process.
    """
    while True:
        try:
            delay_s = await step()
        except Exception:  # noqa: BLE001  # The edge of a task: telling must not end the fleet.
            _log.exception("sender_fault")
            delay_s = AFTER_A_FAULT_S
        await bell.wait(delay_s)
