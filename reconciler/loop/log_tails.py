"""Keeps what servers that are unwell wrote, before it is gone.

A version that fails is taken away by the way back, its app by the next commit, and the log service forgets after days.
So the newest lines of each server that is not well are kept in the store for as long as the server is declared. Those
of healthy servers are not: nobody will ask why they work, and reading a thousand logs each few seconds is not free.
Lines come redacted from the door.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import structlog

from reconciler.core.types import ServerState, ServerStatus
from reconciler.errors import CatwalkError
from reconciler.loop.concurrency import each
from reconciler.loop.ports import LogLine, Logs, TextShelf

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.loop")

SHELF: Final = "log-tails"
KEPT_LINES: Final = 1000
KEPT_CHARACTERS: Final = 262_144
"""Of one server; the oldest lines go first."""
MOST_SERVERS: Final = 20
"""Read at one tick. A fleet-wide outage has one cause, and a few logs show it."""
AT_ONCE: Final = 4
_WELL: Final = frozenset({ServerState.READY, ServerState.IDLE, ServerState.SUSPENDED, ServerState.PENDING})


class LogTails:
    """The ends of logs, by server."""

    def __init__(self, logs: Logs, shelf: TextShelf) -> None:
        self._logs, self._shelf = logs, shelf
        self._kept: dict[str, str] | None = None

    async def collect(self, fleet: str, statuses: Sequence[ServerStatus]) -> None:
        """Reads the logs of servers that are unwell, and forgets servers that are not declared any more.

        Raises:
            CatwalkError: the store does not answer, or this process leads no longer.
        """
        kept = await self._known()
        declared = {status.server for status in statuses}
        if gone := kept.keys() - declared:
            await self._shelf.forget(sorted(gone))
        fresh: dict[str, str] = {}

        async def read(server: str) -> None:
            if (text := await self._read(f"{fleet}-{server}")) and text != kept.get(server):
                fresh[server] = text

        unwell = [status.server for status in statuses if status.state not in _WELL]
        await each(unwell[:MOST_SERVERS], read, limit=AT_ONCE)
        if fresh:
            await self._shelf.save(fresh)
        self._kept = {server: text for server, text in kept.items() if server in declared} | fresh

    async def tail(self, server: str) -> tuple[LogLine, ...]:
        """What was kept of a server, oldest line first; empty where it was never unwell.

        Raises:
            Unavailable: the store does not answer.
        """
        return _lines(dict(await self._shelf.load()).get(server, "[]"))

    async def _known(self) -> dict[str, str]:
        if self._kept is None:
            self._kept = dict(await self._shelf.load())
        return self._kept

    async def _read(self, app: str) -> str:
        """The document of an app's newest lines; empty where they cannot be read, which is no news about the server."""
        try:
            return _document(await self._logs.recent(app, limit=KEPT_LINES))
        except CatwalkError as fault:
            log.info("log-not-read", app=app, code=fault.problem.code)
            return ""


def _document(lines: Sequence[LogLine]) -> str:
    """Empty for no lines: what was kept before is worth more."""
    kept: list[list[str]] = []
    room = KEPT_CHARACTERS
    for line in reversed(lines):
        room -= len(line.message)
        if room < 0:
            break
        kept.append([line.at.isoformat(), line.machine_id, line.level, line.message])
    return json.dumps(kept[::-1], ensure_ascii=False) if kept else ""


def _lines(document: str) -> tuple[LogLine, ...]:
    rows: Iterable[list[str]] = json.loads(document)
    return tuple(
        LogLine(at=datetime.fromisoformat(at), machine_id=machine_id, level=level, message=message)
        for at, machine_id, level, message in rows
    )
