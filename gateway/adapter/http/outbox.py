"""Messages on their way to one HTTP client, in order, with a bound on memory.

A client that reads slowly makes the server wait (its output is no longer read) instead of filling memory: what waits
here is counted by the connection that it came from.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from gateway.adapter.http.shared_timer import LEAST_S, shared_timer
from gateway.adapter.http.wire import event_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One JSON-RPC message for the client. `final` ends the exchange; `status` is the HTTP status if nothing went
    before.
    """

    body: bytes
    final: bool = False
    status: int = 200


NO_REPLIES: deque[Reply] = deque()
"""Stands for every queue that holds nothing, and is never added to: an empty deque takes 600 bytes, and thousands of
idle streams have one.
"""


class ClientGone(Exception):
    """The client has closed its connection."""


class Throttle(Protocol):
    """What counts the bytes that wait for its readers: a connection to a server."""

    def count_waiting(self, change_bytes: int) -> None:
        """So many bytes more, or fewer, wait."""
        ...


class Reader(Protocol):
    """One HTTP exchange that delivers what comes into an outbox."""

    async def take(self, timeout_s: float) -> Reply | None:
        """The next message, None after `timeout_s` without one. Raises ClientGone."""
        ...

    def take_at_once(self) -> Reply | None:
        """The next message where there is one already. Raises ClientGone."""
        ...

    def leave(self) -> None:
        """The client of this exchange is gone."""
        ...

    def opening(self, taken: Reply | None) -> bytes:
        """What an event stream begins with, before a message that may already be taken; the answer now is a stream."""
        ...

    def event(self, reply: Reply) -> bytes:
        """The message that was taken last as an event."""
        ...


class Outbox:
    """A queue with one reader, itself. `offer` never blocks; `take` waits."""

    __slots__ = ("_gone", "_items", "_throttle", "_waiter")

    def __init__(self, throttle: Throttle | None = None) -> None:
        self._items: deque[Reply] = NO_REPLIES
        self._throttle = throttle
        self._waiter: asyncio.Future[None] | None = None
        self._gone = False

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_gone(self) -> bool:
        """Whether the client has left; whatever is offered then is dropped."""
        return self._gone

    def offer(self, reply: Reply) -> None:
        """Add a message."""
        if self._gone:
            return
        self._filled().append(reply)
        if self._throttle is not None:
            self._throttle.count_waiting(len(reply.body))
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
        await self.wait_for_items(timeout_s)
        return self.take_at_once()

    async def wait_for_items(self, timeout_s: float) -> None:
        """Wait for a message, at most `timeout_s`, or until the reader changes."""
        if self._items or self._gone:
            return
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        long = timeout_s >= LEAST_S
        timer = shared_timer(loop).add(waiter, timeout_s) if long else loop.call_later(timeout_s, self._wake)
        try:
            await waiter
        finally:
            timer.discard(waiter) if isinstance(timer, set) else timer.cancel()
            if self._waiter is waiter:  # A reader that was replaced must not take the place of the new one.
                self._waiter = None

    def take_at_once(self) -> Reply | None:
        """The next message, None where there is none. Raises ClientGone."""
        if self._gone:
            raise ClientGone
        return self._pop() if self._items else None

    def put_back(self, reply: Reply) -> None:
        """Have a message taken once more, before all others."""
        self._filled().appendleft(reply)
        if self._throttle is not None:
            self._throttle.count_waiting(len(reply.body))

    def opening(self, taken: Reply | None) -> bytes:  # noqa: ARG002 - see `Reader`
        """See `Reader`: nothing, because nobody can come back to this stream."""
        return b""

    def event(self, reply: Reply) -> bytes:
        """See `Reader`."""
        return event_of(reply.body)

    def _filled(self) -> deque[Reply]:
        """The queue, for something to be added."""
        if self._items is NO_REPLIES:
            self._items = deque()
        return self._items

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _pop(self) -> Reply:
        reply = self._items.popleft()
        if not self._items:
            self._items = NO_REPLIES
        if self._throttle is not None:
            self._throttle.count_waiting(-len(reply.body))
        return reply
