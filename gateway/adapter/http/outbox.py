"""Messages on their way to one HTTP client, in order, with a bound on memory.

A client that reads slowly makes the server wait (its output is no longer read) instead of filling memory; see
`Outbox.offer`.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

_HIGH_WATER_BYTES = 4 * 1024 * 1024
_LOW_WATER_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One JSON-RPC message for the client. `final` ends the exchange; `status` is the HTTP status if nothing went
    before.
    """

    body: bytes
    final: bool = False
    status: int = 200


class ClientGone(Exception):
    """The client has closed its connection."""


class Throttle(Protocol):
    """What can be told to wait: a connection to a server."""

    def hold(self) -> None:
        """Stop producing."""
        ...

    def release(self) -> None:
        """Produce again."""
        ...


class Outbox:
    """A queue with one reader. `offer` never blocks; `take` waits."""

    def __init__(self, throttle: Throttle | None = None) -> None:
        self._items: deque[Reply] = deque()
        self._bytes = 0
        self._throttle = throttle
        self._holding = False
        self._waiter: asyncio.Future[None] | None = None
        self._gone = False

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_gone(self) -> bool:
        """Whether the client has left; whatever is offered then is dropped."""
        return self._gone

    def offer(self, reply: Reply) -> None:
        """Add a message; above four MiB the source is held until the reader has caught up."""
        if self._gone:
            return
        self._items.append(reply)
        self._bytes += len(reply.body)
        if self._throttle is not None and not self._holding and self._bytes > _HIGH_WATER_BYTES:
            self._holding = True
            self._throttle.hold()
        self._wake()

    def drop_oldest(self) -> None:
        """Forget the oldest message."""
        self._pop()

    def leave(self) -> None:
        """The client is gone: forget everything, and let the reader know."""
        self._gone = True
        while self._items:
            self._pop()
        self._wake()

    async def take(self, timeout_s: float) -> Reply | None:
        """The next message, None after `timeout_s` without one. Raises ClientGone."""
        if not self._items and not self._gone:
            await self._wait(timeout_s)
        if self._gone:
            raise ClientGone
        return self._pop() if self._items else None

    async def _wait(self, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(timeout_s, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _pop(self) -> Reply:
        reply = self._items.popleft()
        self._bytes -= len(reply.body)
        if self._throttle is not None and self._holding and self._bytes < _LOW_WATER_BYTES:
            self._holding = False
            self._throttle.release()
        return reply
