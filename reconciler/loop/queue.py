"""Who may run a pass, and when: one at a time, as soon as something asked for a look, and once for any number of asks.

A wake carries no data but why it came; it says "look again". So wakes that come while a pass runs melt into one turn
after it, and none is lost: a turn that fails puts its wake back. A health tick never hides a commit, because a health
pass reads less.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from reconciler.core.types import Trigger


class Closed(Exception):  # An end, not an error: no more turns are given.
    """The queue was closed and gives no more turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The right to run one pass."""

    trigger: Trigger
    woken: anyio.Event = field(default_factory=anyio.Event)
    """Set when something asked for another look, or when the queue closes."""
    pressed: anyio.Event = field(default_factory=anyio.Event)
    """Set when that something was more than a health tick: the world may be another one."""
    stopping: anyio.Event = field(default_factory=anyio.Event)
    """Set when the queue closes: what has begun ends, and nothing more begins."""


class WakeQueue:
    """A queue of at most one waiting turn. Everything is called on the event loop's thread."""

    def __init__(self) -> None:
        self._pending: Trigger | None = None
        self._arrived = anyio.Event()
        self._running = anyio.Lock()
        self._turn: Turn | None = None
        self._closed = False

    @property
    def pending(self) -> Trigger | None:
        """Why the next turn will be given; none while nobody asked."""
        return self._pending

    @property
    def running(self) -> bool:
        """Whether a turn is in somebody's hands."""
        return self._turn is not None

    def wake(self, trigger: Trigger) -> None:
        """Asks for a look. Never blocks, and costs nothing when a look is already due."""
        self._pending = _stronger(self._pending, trigger)
        self._arrived.set()
        if self._turn is not None:
            self._turn.woken.set()
            if trigger is not Trigger.HEALTH:
                self._turn.pressed.set()

    def close(self) -> None:
        """Gives no more turns. The turn that runs is woken, so that it comes to its end soon."""
        self._closed = True
        self._arrived.set()
        if self._turn is not None:
            self._turn.woken.set()
            self._turn.pressed.set()
            self._turn.stopping.set()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[Turn, None]:
        """Waits until somebody asked for a look and nobody else runs one, and holds the turn until the block ends.

        Raises:
            Closed: the queue was closed.
        """
        async with self._running:
            await self._wait_for_wake()
            self._turn = Turn(trigger=self._take())
            try:
                yield self._turn
            except BaseException:
                self._put_back(self._turn.trigger)
                raise
            finally:
                self._turn = None

    async def _wait_for_wake(self) -> None:
        while self._pending is None and not self._closed:
            await self._arrived.wait()
        if self._closed:
            raise Closed

    def _take(self) -> Trigger:
        assert self._pending is not None
        taken, self._pending = self._pending, None
        self._arrived = anyio.Event()
        return taken

    def _put_back(self, trigger: Trigger) -> None:
        self._pending = _stronger(trigger, self._pending) if self._pending else trigger
        self._arrived.set()


def _stronger(waiting: Trigger | None, newer: Trigger) -> Trigger:
    """The newer trigger, unless it is a health tick that would hide one that asks for more."""
    return waiting if waiting is not None and newer is Trigger.HEALTH else newer
