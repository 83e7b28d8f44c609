"""What the machines of an app wrote, from Fly's log service.

The service is not part of the Machines API and not officially supported, but flyctl depends on it (Fly docs, "Logs API
options"). Its cursor is a time in nanoseconds, which can repeat lines of the same instant, so lines are told apart by
their id. It answers 401 both for an app that does not exist and for a token that may not read logs (deploy tokens may
not): the Machines API is asked which of the two it is.
"""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from reconciler.errors import CatwalkError, Unavailable
from reconciler.fly import apps, errors, paths
from reconciler.fly.calls import Call
from reconciler.fly.client import MachinesAPI
from reconciler.fly.rates import Rate
from reconciler.fly.wire import LogEntry, LogPage
from reconciler.loop.ports import LogLine

PAGES: Final = 100
"""At a hundred lines a page; retention is a week, and a status page needs the end of it."""
REMEMBERED_IDS: Final = 1000
SHORTEST_PAUSE_S: Final = 0.064
LONGEST_PAUSE_S: Final = 4.0
"""flyctl backs off between the same two."""
FAILURES: Final = 10
"""How often in a row a follower may fail, as flyctl does."""
LINE_CHARACTERS: Final = 8192
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_POLLING: Final = Rate(per_second=16.0, burst=16)
"""No limit is documented; the back-off is what keeps a follower polite."""


class FlyLogs:
    """Reads the log service; every line passes redaction before anybody sees it."""

    def __init__(self, service: MachinesAPI, *, machines_api: MachinesAPI, redact: Callable[[str], str]) -> None:
        """Makes no call yet.

        Args:
            service: the connection to the log service (`https://api.fly.io`).
            machines_api: the connection to the Machines API, to tell a missing app from a refused token.
            redact: takes the known secrets out of a line.
        """
        self._service = service
        self._machines_api = machines_api
        self._redact = redact

    async def recent(self, app: str, *, limit: int) -> Sequence[LogLine]:
        """The newest lines, oldest first. An app that does not exist wrote nothing.

        Raises:
            Unavailable: the log service does not answer.
            Refused: the token may not read logs.
        """
        lines: deque[LogLine] = deque(maxlen=max(1, limit))
        cursor = _Cursor()
        try:
            for _ in range(PAGES):
                page = await self._page(app, cursor.token)
                lines.extend(self._line(entry) for entry in cursor.take(page))
                if not cursor.moved:
                    break
        except errors.NotFound:
            return ()
        return tuple(lines)

    async def follow(self, app: str) -> AsyncGenerator[LogLine]:
        """Lines as they come, beginning with the newest page. Ends only with the caller.

        Raises:
            Unavailable: the log service did not answer ten times in a row.
            Refused: the token may not read logs.
        """
        cursor, failures, pause_s = _Cursor(), 0, SHORTEST_PAUSE_S
        while True:
            try:
                fresh = tuple(cursor.take(await self._page(app, cursor.token)))
                failures = 0
            except errors.NotFound:
                fresh = ()  # The app may be created yet; whoever follows it wants to see that.
            except Unavailable:
                failures += 1
                fresh = ()
                if failures >= FAILURES:
                    raise
            for entry in fresh:
                yield self._line(entry)
            pause_s = SHORTEST_PAUSE_S if fresh else min(LONGEST_PAUSE_S, pause_s * 2)
            await self._service.timing.sleep(pause_s)

    async def _page(self, app: str, token: str) -> LogPage:
        call = Call(
            method="GET",
            path=f"/api/v1/apps/{paths.part(app)}/logs",
            query={"next_token": token} if token else {},
            purpose=f"read the log of app {app}",
            action="read log",
            subject=app,
            rate=_POLLING,
        )
        try:
            return await self._service.ask(call, LogPage)
        except errors.Unauthorized as error:
            raise await self._explained(app) from error

    async def _explained(self, app: str) -> CatwalkError:
        """What the 401 of the log service means."""
        try:
            await apps.get(self._machines_api, app)
        except errors.NotFound as missing:
            return missing
        except CatwalkError as error:
            return error
        return errors.Forbidden(
            "fly-logs-refused",
            f"the token may not read the log of app {app}",
            hint="deploy tokens cannot read logs: use an organization or read-only token",
        )

    def _line(self, entry: LogEntry) -> LogLine:
        wrote = entry.attributes
        message = self._redact(wrote.message)[:LINE_CHARACTERS]
        return LogLine(at=_time(wrote.timestamp), machine_id=wrote.instance, level=wrote.level, message=message)


class _Cursor:
    """Where reading has come to, and which lines of that instant were read already."""

    def __init__(self) -> None:
        self.token = ""
        self.moved = False
        """Whether the last page brought anything new, so that there may be more."""
        self._seen: deque[str] = deque(maxlen=REMEMBERED_IDS)

    def take(self, page: LogPage) -> Iterator[LogEntry]:
        """The entries of a page that were not read yet."""
        token = str(page.meta.next_token)
        self.moved = bool(page.data) and token not in {"", self.token}
        self.token = token or self.token
        known = set(self._seen)
        fresh = [entry for entry in page.data if not entry.id or entry.id not in known]
        self._seen.extend(entry.id for entry in fresh)
        yield from fresh


def _time(text: str) -> datetime:
    """RFC 3339; a line whose time cannot be read is kept and sorts first."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return _EPOCH
    return found if found.tzinfo else found.replace(tzinfo=UTC)
