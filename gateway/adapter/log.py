"""The log of the machine: its own events as JSON lines, the output of installers and of the server as they were
written.

Lines leave through a queue and a thread, because the reader of a pipe may be slow and the loop must not wait for it.
Values of environment variables whose name says that they are credentials are replaced by the name of the variable in
every line.
"""

import json
import logging
import queue
import re
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener

_LOGGER = logging.getLogger("catwalk.adapter")
_CREDENTIAL_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|PRIVATE|COOKIE|SESSION|DSN|DATABASE_URL", re.IGNORECASE
)
_SHORTEST_CREDENTIAL = 6
_LONGEST_LINE = 8_000
_QUEUE_LINES = 20_000


class Mask:
    """Replaces known credentials in text that leaves the process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        named = {
            value: name
            for name, value in environment.items()
            if _CREDENTIAL_NAME.search(name) and len(value) >= _SHORTEST_CREDENTIAL
        }
        self._names = named
        ordered = sorted(named, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """The text without credentials."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: f"[{self._names[found[0]]}]", text)


class AdapterLog:
    """Where everything that happens in the machine is written, masked and cut to a bounded line length."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask

    def event(self, name: str, **data: object) -> None:
        """One event of the adapter as a JSON line that starts with the key `catwalk`."""
        _LOGGER.info("%s", self.mask(json.dumps({"catwalk": name, **data}, ensure_ascii=False)))

    def output(self, line: str) -> None:
        """One line that an installer or the server wrote, as it was."""
        _LOGGER.info("%s", self.mask(line.rstrip())[:_LONGEST_LINE])


class _DroppingHandler(QueueHandler):
    """A full queue loses the newest lines instead of stopping the data path."""

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            return


@contextmanager
def logging_to_stdout() -> Generator[None]:
    """Send the log to standard output while the block runs, and everything that is queued before it ends."""
    lines: queue.Queue[logging.LogRecord] = queue.Queue(_QUEUE_LINES)
    listener = QueueListener(lines, logging.StreamHandler(sys.stdout))
    handler = _DroppingHandler(lines)
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False
    listener.start()
    try:
        yield
    finally:
        listener.stop()
        _LOGGER.removeHandler(handler)
