"""Read server-sent events (WHATWG HTML, "Event stream interpretation") from pieces of bytes."""

from dataclasses import dataclass

_MAX_OTHER_BYTES = 64 * 1024
_MAX_RETRY_DIGITS = 9


class EventTooLarge(ValueError):
    """An event is larger than a message may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """One event; `data` is empty for one that only brings an id."""

    data: bytes
    event_id: str | None
    retry_ms: int | None


class EventParser:
    """Collects pieces; gives the events that they complete. Comments and unknown fields are skipped."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes + _MAX_OTHER_BYTES
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """Add a piece. Raises EventTooLarge."""
        self._buffer += piece
        events: list[ServerEvent] = []
        while (end := self._end_of_event()) is not None:
            block = bytes(self._buffer[: end[0]])
            del self._buffer[: end[1]]
            self._searched = 0
            event = _event_of(block)
            if event is not None:
                events.append(event)
        if len(self._buffer) > self._limit:
            raise EventTooLarge
        return events

    def _end_of_event(self) -> tuple[int, int] | None:
        """Where the first block ends and the next begins: at an empty line, with any of the three line ends."""
        start = max(0, self._searched - 3)
        found = [(self._buffer.find(mark, start), len(mark)) for mark in (b"\n\n", b"\r\n\r\n", b"\r\r")]
        places = [(place, place + length) for place, length in found if place >= 0]
        self._searched = len(self._buffer)
        return min(places) if places else None


def _event_of(block: bytes) -> ServerEvent | None:
    data: list[bytes] = []
    event_id: str | None = None
    retry_ms: int | None = None
    for line in block.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"id":
            event_id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
            retry_ms = int(value)
    if not data and event_id is None and retry_ms is None:
        return None
    return ServerEvent(data=b"\n".join(data), event_id=event_id, retry_ms=retry_ms)
