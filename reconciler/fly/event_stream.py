"""Reads server-sent events as far as MCP uses them: the data of each event, nothing else.

Comments, event names, ids and retry times are skipped, and so is an event without data: MCP servers open a stream with
one (MCP 2025-11-25, transports, "Sending Messages to the Server"). The format is the WHATWG HTML standard's, 9.2.6.
"""


class EventStream:
    """Takes bytes as they come and gives back the data of every event that they complete."""

    def __init__(self) -> None:
        self._pending = b""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[str]:
        """The data of the events that end within `chunk`, in order."""
        lines = (self._pending + chunk).splitlines(keepends=True)
        # A line that ends in a carriage return may have its line feed in the next chunk.
        self._pending = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        return [data for line in lines for data in self._line(line.rstrip(b"\r\n").decode("utf-8", "replace"))]

    def close(self) -> list[str]:
        """What the end of the stream completes: servers forget the last blank line."""
        rest = self._pending.rstrip(b"\r\n").decode("utf-8", "replace")
        self._pending = b""
        return [*self._line(rest), *self._line("")]

    def _line(self, line: str) -> list[str]:
        if not line:
            data, self._data = "\n".join(self._data), []
            return [data] if data else []
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        return []
