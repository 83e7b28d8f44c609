"""One line for every call: who, which server, which tool, how it ended and how long it took. Never arguments.

Lines are JSON objects. The event loop only puts values into a queue; a thread of its own writes them out, a batch at a
time, so that a slow disk or pipe slows no call. When even that cannot keep up, lines are dropped and their number is
written, because a data path that stops for its log serves nobody.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import BinaryIO, Final

from gateway.observation import EndedCall, Event

MAX_PENDING: Final = 100_000
_PAUSE_S = 0.2
_SHOWN_CHARACTERS = 128


class AuditLog:
    """An observer that writes. `close` writes what is left; a closed log drops what comes after."""

    def __init__(self, stream: BinaryIO, *, now: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._now = now
        self._pending: deque[tuple[float, EndedCall]] = deque()
        self._dropped = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_forever, name="audit-log", daemon=True)
        self._thread.start()

    def call_ended(self, call: EndedCall) -> None:
        """As `Observer.call_ended`."""
        if len(self._pending) < MAX_PENDING:
            self._pending.append((self._now(), call))
        else:
            self._dropped += 1

    def stream_changed(self, server: str, change: int) -> None:
        """A stream gets its line when it ends, as a call."""

    def happened(self, event: Event, server: str) -> None:
        """Counted by metrics."""

    def refused(self, code: str) -> None:
        """Counted by metrics: before a caller is known there is nobody to hold to account."""

    def close(self) -> None:
        """Write the rest and stop."""
        self._closing.set()
        self._thread.join()

    def _write_forever(self) -> None:
        while not self._closing.wait(_PAUSE_S):
            self._write()
        self._write()

    def _write(self) -> None:
        dropped, self._dropped = self._dropped, 0
        lines = [_line(*self._pending.popleft()) for _ in range(len(self._pending))]
        if dropped:
            lines.append(json.dumps({"event": "calls-not-logged", "count": dropped}))
        if lines:
            self._stream.write(("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
            self._stream.flush()


def _line(at_s: float, call: EndedCall) -> str:
    values = {
        "time": datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "event": "call",
        "who": call.principal,
        "server": call.server,
        "method": call.method[:_SHOWN_CHARACTERS] or call.http_method,
        "tool": call.name[:_SHOWN_CHARACTERS] if call.method == "tools/call" else "",
        "result": call.result.value,
        "status": call.status,
        "ms": round(call.seconds * 1000, 1),
    }
    return json.dumps(values, ensure_ascii=False)
