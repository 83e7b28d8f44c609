"""Event streams that a legacy client can come back to (`Last-Event-ID`).

Source: "Resumability and Redelivery" of the transport page of revision 2025-11-25. Every event has an id that names its
stream and its place in it. What was sent is kept within bounds, so that a client whose connection broke gets exactly
what it missed, of that stream and no other; a client that asks for more than is kept is told so.
"""

import re
import time
from collections import deque

from gateway.adapter.http.outbox import ClientGone, Outbox, Reply, Throttle
from gateway.adapter.http.wire import event_of, priming_event

GENERAL = "g"
_MAX_KEPT_EVENTS = 256
_MAX_KEPT_BYTES = 4 * 1024 * 1024
_RETRY_MS = 1_000
_NOTHING_KEPT: deque[tuple[int, Reply]] = deque()
"""See `NO_REPLIES`."""
_EVENT_ID = re.compile(r"(g|p[0-9]{1,9})-([0-9]{1,12})")


class EventsGone(Exception):
    """The events after that one are no longer kept, or there never was such an event."""


def parse_event_id(text: str) -> tuple[str, int]:
    """The stream and the place of an event. Raises EventsGone for what cannot be an id of ours."""
    match = _EVENT_ID.fullmatch(text)
    if match is None:
        raise EventsGone
    return match[1], int(match[2])


class StreamOutbox(Outbox):
    """An outbox whose messages are numbered when they are taken, and kept for a second reading.

    `expected` is how many final messages the stream ends with, 0 for one without an end.
    """

    __slots__ = (
        "_expected",
        "_finals",
        "_kept",
        "_kept_bytes",
        "_number",
        "_reader",
        "_streaming",
        "last_read_s",
        "name",
    )

    def __init__(self, name: str, throttle: Throttle | None = None, *, expected: int = 0) -> None:
        super().__init__(throttle)
        self.name = name
        self.last_read_s = time.monotonic()
        self._expected = expected
        self._streaming = False
        self._finals = 0
        self._number = 0
        self._kept: deque[tuple[int, Reply]] = _NOTHING_KEPT
        self._kept_bytes = 0
        self._reader: StreamReader | None = None

    @property
    def is_streaming(self) -> bool:
        """Whether a client has been given ids of this stream."""
        return self._streaming

    def has_all(self) -> bool:
        """Whether everything there will be has been taken."""
        return bool(self._expected) and self._finals >= self._expected

    @property
    def is_read(self) -> bool:
        """Whether an exchange delivers this stream now."""
        return self._reader is not None

    def attach(self, *, primed: bool) -> "StreamReader":
        """A new reader, in place of the one before."""
        self._reader = StreamReader(self, primed=primed)
        self.last_read_s = time.monotonic()
        self._wake()
        return self._reader

    def detach(self, reader: "StreamReader") -> None:
        """A reader has gone; what is not taken waits for the next one."""
        if self._reader is reader:
            self._reader = None
            self.last_read_s = time.monotonic()
            self._wake()

    def is_reader(self, reader: "StreamReader") -> bool:
        """Whether a reader has not been replaced."""
        return self._reader is reader

    def begin(self, taken: Reply | None) -> str:
        """From now on what is taken is kept, `taken` too; returns the id of what came before."""
        self._streaming = True
        before = self._number - (taken is not None)
        if taken is not None:
            self._keep(taken)
        return f"{self.name}-{before}"

    def offer(self, reply: Reply) -> None:
        """Add a message; the oldest are dropped while nobody reads."""
        if not self.is_read and len(self) >= _MAX_KEPT_EVENTS:
            self.drop_oldest()
        super().offer(reply)

    def event_id(self) -> str:
        """The id of the message that was taken last."""
        return f"{self.name}-{self._number}"

    def rewind(self, number: int) -> None:
        """Have everything after a message taken again. Raises EventsGone."""
        oldest = self._kept[0][0] if self._kept else self._number + 1
        if not oldest - 1 <= number <= self._number:
            raise EventsGone
        while self._kept and self._kept[-1][0] > number:
            _, reply = self._kept.pop()
            self._kept_bytes -= len(reply.body)
            self._finals -= reply.final
            self.put_back(reply)
        self._number = number

    def note_taken(self, reply: Reply) -> None:
        """Number a message that was taken, and keep it in case its client comes back."""
        self._number += 1
        self._finals += reply.final
        if self._streaming:
            self._keep(reply)

    def _keep(self, reply: Reply) -> None:
        if self._kept is _NOTHING_KEPT:
            self._kept = deque()
        self._kept.append((self._number, reply))
        self._kept_bytes += len(reply.body)
        while len(self._kept) > _MAX_KEPT_EVENTS or (self._kept_bytes > _MAX_KEPT_BYTES and len(self._kept) > 1):
            self._kept_bytes -= len(self._kept.popleft()[1].body)


class StreamReader:
    """See `Reader`. `primed` streams begin with an id, for clients of the revision that knows events without data."""

    __slots__ = ("_outbox", "_primed")

    def __init__(self, outbox: StreamOutbox, *, primed: bool) -> None:
        self._outbox = outbox
        self._primed = primed

    async def take(self, timeout_s: float) -> Reply | None:
        if not self._outbox.is_reader(self):
            raise ClientGone
        await self._outbox.wait_for_items(timeout_s)
        return self.take_at_once()

    def take_at_once(self) -> Reply | None:
        """See `Reader`."""
        if not self._outbox.is_reader(self):
            raise ClientGone
        reply = self._outbox.take_at_once()
        if reply is not None:
            self._outbox.note_taken(reply)
        return reply

    def leave(self) -> None:
        """A stream outlives its connection; a single answer does not."""
        self._outbox.detach(self)
        if not self._outbox.is_streaming:
            self._outbox.leave()

    def opening(self, taken: Reply | None) -> bytes:
        before = self._outbox.begin(taken)
        return priming_event(before, _RETRY_MS) if self._primed else b""

    def event(self, reply: Reply) -> bytes:
        return event_of(reply.body, self._outbox.event_id())
