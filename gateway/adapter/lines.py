"""Cut a byte stream into lines without copying more than once."""


class LineSplitter:
    """Collects chunks until a newline; a line longer than `limit` bytes is dropped whole and counted.

    Standard output of a server is not trusted to be small: without the limit a server that never ends its line would
    fill memory.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._skipping = False
        self.dropped = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Add a chunk; return the lines that it completes, without their newline and without empty ones."""
        first, newline, rest = data.partition(b"\n")
        if not newline:
            self._keep(first)
            return []
        self._keep(first)
        lines = [self._take(), *rest.split(b"\n")]
        self._keep(lines.pop())
        return [line for line in lines if line.strip()]

    def rest(self) -> bytes:
        """The unfinished last line; the splitter is empty afterwards."""
        return self._take()

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            self._skipping = True
            self._parts.clear()
        elif part:
            self._parts.append(part)

    def _take(self) -> bytes:
        line = b"" if self._skipping else b"".join(self._parts)
        self.dropped += self._skipping
        self._parts.clear()
        self._size = 0
        self._skipping = False
        return line
