"""Event streams of servers: read event by event, and written again with another id or message. Pure.

Source: WHATWG HTML, "Event stream interpretation". What needs no change passes byte for byte, comments among it; an
event of more than the limit ends the stream, because nothing may grow without end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.relay import UpstreamBroken

MAX_EVENT_BYTES = 16 * 1024 * 1024 + 64 * 1024
COMMENT = b": keep-alive\n\n"
STREAM_HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One block of a stream. `data` is empty for a comment and for an event that only brings an id."""

    raw: bytes
    data: str
    event_id: str | None

    def changed(self, *, data: str, event_id: str | None) -> bytes:
        """The block with another message and another id, and everything else as it was."""
        if data == self.data and event_id == self.event_id:
            return self.raw
        kept = [line for line in _lines(self.raw) if not line.startswith((b"data", b"id"))]
        identity = [b"id: " + event_id.encode("utf-8")] if event_id is not None else []
        return b"\n".join([*identity, *kept, *_data_lines(data, self.raw)]) + b"\n\n"


def event_of(message: str) -> bytes:
    """An event that carries a message."""
    return b"\n".join(_data_lines(message, b"")) + b"\n\n"


class EventReader:
    """Collects pieces; gives the blocks that they complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Add a piece. Raises UpstreamBroken where an event is larger than a message may be."""
        start = max(0, len(self._buffer) - 3)
        self._buffer += piece
        while (end := _end_of_block(self._buffer, start)) > 0:
            raw = bytes(self._buffer[:end])
            del self._buffer[:end]
            start = 0
            yield _event(raw)
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise UpstreamBroken("an event of its stream is too large")

    def rest(self) -> bytes:
        """What came after the last complete block."""
        return bytes(self._buffer)


def rewritten(reader: EventReader, piece: bytes, change: Callable[[Event], bytes]) -> bytes:
    """A piece of a stream with its events changed; what is not complete yet waits in the reader."""
    return b"".join(change(event) for event in reader.feed(piece))


def _end_of_block(buffer: bytearray, start: int) -> int:
    found = [(buffer.find(mark, start), len(mark)) for mark in (b"\n\n", b"\r\n\r\n", b"\r\r")]
    return min((place + length for place, length in found if place >= 0), default=0)


def _event(raw: bytes) -> Event:
    data: list[bytes] = []
    event_id: str | None = None
    for line in _lines(raw):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"id":
            event_id = value.removeprefix(b" ").decode("utf-8", "replace")
    return Event(raw=raw, data=b"\n".join(data).decode("utf-8", "replace"), event_id=event_id)


def _lines(raw: bytes) -> list[bytes]:
    return [line for line in raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n") if line]


def _data_lines(data: str, raw: bytes) -> list[bytes]:
    """An event without a message keeps its empty `data`, if it had one."""
    if not data and not any(line.startswith(b"data") for line in _lines(raw)):
        return []
    return [b"data: " + line.encode("utf-8") for line in data.split("\n")]
