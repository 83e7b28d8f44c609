"""Live updates over server-sent events (WHATWG HTML, section 9.2): hints to read `/api/fleet` again, and log lines.

Browsers reconnect by themselves, so nothing is replayed. The number of open streams is bounded, because each costs a
connection for as long as a page stays open.
"""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from litestar.response.sse import ServerSentEventMessage

from reconciler.errors import Unavailable
from reconciler.loop.ports import LogLine
from reconciler.web.view import FleetEvent, FleetView

MOST_STREAMS: Final = 64
"""Pages that may listen at once. A page without a stream looks again at intervals instead."""
RETRY_MS: Final = 5000
"""How long a browser waits before it reconnects."""


class TooManyStreams(Unavailable):
    """Every stream is taken."""

    def __init__(self) -> None:
        super().__init__("too-many-streams", f"{MOST_STREAMS} pages listen already", hint="read /api/fleet instead")


class LiveStreams:
    """The streams that are open now."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open = 0

    def check_room(self) -> None:
        """Refuses one more stream than there may be.

        Raises:
            TooManyStreams: as it says.
        """
        if self._open >= MOST_STREAMS:
            raise TooManyStreams

    async def tail(
        self, lines: AsyncIterator[LogLine], after: datetime | None
    ) -> AsyncIterator[ServerSentEventMessage]:
        """Log lines as they are sent, from the first one that is newer than `after`."""
        self._open += 1
        try:
            yield ServerSentEventMessage(event="open", data="{}", retry=RETRY_MS)
            async for line in lines:
                if after is None or line.at > after:
                    yield _line(line)
        finally:
            self._open -= 1

    async def messages(self, view: FleetView) -> AsyncIterator[ServerSentEventMessage]:
        """The events of `view` as they are sent, after one that says that the stream stands."""
        self._open += 1
        try:
            yield ServerSentEventMessage(event="open", data="{}", retry=RETRY_MS)
            async for event in view.events():
                yield _message(event)
        finally:
            self._open -= 1


def _line(line: LogLine) -> ServerSentEventMessage:
    data = {"at": line.at.isoformat(), "level": line.level, "message": line.message}
    return ServerSentEventMessage(event="line", data=json.dumps(data))


def _message(event: FleetEvent) -> ServerSentEventMessage:
    data = {"server": event.server, "state": event.state}
    return ServerSentEventMessage(event=event.kind, data=json.dumps(data))
