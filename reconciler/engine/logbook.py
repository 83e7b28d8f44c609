"""What the machines of each app wrote, with a cursor that never skips a line.

Every line gets a nanosecond time that no other line of its app has, so "after this time" is an exact place to go on
from (Fly's log service uses the same cursor). Each app keeps its newest lines in memory; a follower that falls behind
further than that loses the oldest, and nothing else. Lines are what programs print: they are kept from errors and
answers of every other kind, and redacted by whoever shows them.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from reconciler.engine.clock import Clock

LINES_KEPT = 5000
"""Per app."""
LINE_LIMIT = 16_384
"""Bytes of one line that are kept; the rest of a longer one is cut."""
CUT_MARK = " … (line cut)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    at_ns: int
    message: str
    instance: str
    region: str
    provider: str
    """`app` for the machine's own output, `runner` for what happens around it, `proxy` for the proxy's remarks."""
    level: str
    code: str = ""
    """The proxy's error code, such as `PR02`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a line comes from."""

    app: str
    instance: str
    region: str
    provider: str = "app"


class LogBook:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: dict[str, deque[Line]] = {}

    def write(self, origin: Origin, message: str, *, level: str = "info", code: str = "") -> None:
        lines = self._lines.setdefault(origin.app, deque(maxlen=LINES_KEPT))
        at_ns = max(self._clock.now_ns(), lines[-1].at_ns + 1 if lines else 0)
        lines.append(
            Line(
                at_ns=at_ns,
                message=message,
                instance=origin.instance,
                region=origin.region,
                provider=origin.provider,
                level=level,
                code=code,
            )
        )

    def newest(self, app: str, wanted: Callable[[Line], bool], limit: int) -> list[Line]:
        """The last `limit` lines, oldest first."""
        found = islice(filter(wanted, reversed(self._lines.get(app, ()))), limit)
        return list(found)[::-1]

    def after(self, app: str, at_ns: int, wanted: Callable[[Line], bool], limit: int) -> list[Line]:
        """The first `limit` lines later than `at_ns`, oldest first."""
        return list(islice(filter(wanted, self._later(app, at_ns)), limit))

    def _later(self, app: str, at_ns: int) -> Iterator[Line]:
        lines = self._lines.get(app, ())
        newer = sum(1 for _ in self._while_newer(lines, at_ns))
        yield from islice(lines, len(lines) - newer, None)

    @staticmethod
    def _while_newer(lines: "deque[Line] | tuple[Line, ...]", at_ns: int) -> Iterator[Line]:
        for line in reversed(lines):
            if line.at_ns <= at_ns:
                return
            yield line

    def forget(self, app: str) -> None:
        self._lines.pop(app, None)


class LineSplitter:
    """Cuts a byte stream into lines of bounded length."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._partial = bytearray()
        self._overflow = False

    def feed(self, chunk: bytes) -> None:
        first, *rest = chunk.split(b"\n")
        self._extend(first)
        for piece in rest:
            self._end()
            self._extend(piece)

    def close(self) -> None:
        """Emits what was written after the last newline."""
        if self._partial:
            self._end()

    def _extend(self, piece: bytes) -> None:
        room = LINE_LIMIT - len(self._partial)
        self._overflow = self._overflow or len(piece) > room
        self._partial += piece[:room]

    def _end(self) -> None:
        text = self._partial.decode("utf-8", "replace").rstrip("\r")
        self._emit(text + CUT_MARK if self._overflow else text)
        self._partial.clear()
        self._overflow = False
