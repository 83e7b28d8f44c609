"""Cut a byte stream into lines without copying more than once."""

from collections import deque
from dataclasses import dataclass

_SHOWN_BYTES = 256
_KEPT_OVERSIZED = 16


@dataclass(frozen=True, slots=True)
class Oversized:
    """The first and the last bytes of a line that was longer than allowed, enough to find the id of an answer."""

    head: bytes
    tail: bytes


class LineSplitter:
    """Collects chunks until a newline; a line longer than `limit` bytes is dropped, only its ends are kept.

    Standard output of a server is not trusted to be small: without the limit a server that never ends its line would
    fill memory.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._head = b""
        self._tail = b""
        self._skipping = False
        self._oversized: deque[Oversized] = deque(maxlen=_KEPT_OVERSIZED)

    def feed(self, data: bytes) -> list[bytes]:
        """Add a chunk; return the lines that it completes, without their newline and without empty ones."""
        first, newline, rest = data.partition(b"\n")
        if not newline:
            self._keep(first)
            return []
        self._keep(first)
        lines = [self._take(), *rest.split(b"\n")]
        last = lines.pop()
        if len(rest) > self._limit:
            lines = [line for line in lines if self._fits(line)]
        self._keep(last)
        return [line for line in lines if line.strip()]

    def rest(self) -> bytes:
        """The unfinished last line; the splitter is empty afterwards."""
        return self._take()

    def oversized(self) -> list[Oversized]:
        """The lines that were dropped since this was asked last."""
        found = list(self._oversized)
        self._oversized.clear()
        return found

    def _fits(self, line: bytes) -> bool:
        if len(line) <= self._limit:
            return True
        self._oversized.append(Oversized(line[:_SHOWN_BYTES], line[-_SHOWN_BYTES:]))
        return False

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit and not self._skipping:
            self._skipping = True
            so_far = b"".join([*self._parts, part])
            self._head, self._tail = so_far[:_SHOWN_BYTES], so_far[-_SHOWN_BYTES:]
            self._parts.clear()
        elif self._skipping:
            self._tail = (self._tail + part[-_SHOWN_BYTES:])[-_SHOWN_BYTES:]
        elif part:
            self._parts.append(part)

    def _take(self) -> bytes:
        line = b"" if self._skipping else b"".join(self._parts)
        if self._skipping:
            self._oversized.append(Oversized(self._head, self._tail))
        self._parts.clear()
        self._size = 0
        self._head = self._tail = b""
        self._skipping = False
        return line
