"""A server that is kept alive: started, initialised, restarted when it ends, given up when it ends too often.

One upstream serves either many clients that look alike to the server (shared) or one legacy session (isolated). After a
restart it is initialised again with the same parameters, so its users notice nothing but the calls that were in flight.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import anyio

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.child import CannotWrite
from gateway.adapter.connection import MAX_WAITING_BYTES, Connection, ServerVoice
from gateway.adapter.diagnose import diagnose_exit
from gateway.adapter.handshake import (
    Approach,
    Greeting,
    Handshake,
    UpstreamLost,
    announce_initialized,
    shake_hands,
)
from gateway.adapter.listening import listening_ports
from gateway.adapter.log import AdapterLog
from gateway.adapter.source import Source
from gateway.protocol.messages import InvalidMessage
from gateway.protocol.revisions import Era
from gateway.protocol.scan import MalformedJson

READY_BUDGET_S = 120.0
_MAX_CRASHES = 5
_CRASH_WINDOW_S = 60.0
_BACKOFF_S = (0.0, 0.2, 0.5, 1.0, 2.0)
_STDERR_SETTLE_S = 0.2


class CrashBudget:
    """How often a server may end by itself: five times in sixty seconds; the pause before a restart grows."""

    def __init__(self) -> None:
        self._crashes: deque[float] = deque()
        self.any_noted = False

    def note(self, now_s: float) -> float | None:
        """Record a crash; return the pause in seconds before the next start, None when the budget is used up."""
        self._crashes.append(now_s)
        self.any_noted = True
        while self._crashes[0] < now_s - _CRASH_WINDOW_S:
            self._crashes.popleft()
        count = len(self._crashes)
        return None if count > _MAX_CRASHES else _BACKOFF_S[count - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A process that has been initialised."""

    connection: Connection
    handshake: Handshake
    raw_server_info: str | None = None
    """What the server calls itself, as JSON text; every answer to a modern client carries it."""


class Upstream:
    """See the module. `run` must run in a task for as long as the upstream is used; cancelling it ends the process."""

    def __init__(self, source: Source, voice: ServerVoice, greeting: Greeting, log: AdapterLog) -> None:
        self._source = source
        self._voice = voice
        self._greeting = greeting
        self._log = log
        self._crashes = CrashBudget()
        self._live: asyncio.Future[Live] = asyncio.get_running_loop().create_future()
        self.announce_at_once = True
        self.max_waiting_bytes = MAX_WAITING_BYTES
        self.on_restart: Callable[[Live], None] | None = None

    @property
    def current(self) -> Live | None:
        """The running process, None while there is none."""
        return self._live.result() if self._live.done() and not self._live.exception() else None

    async def live(self) -> Live:
        """The running process; waits for one that is being started. Raises AdapterFailure when it was given up."""
        return await asyncio.shield(self._live)

    async def run(self) -> None:
        """Keep the server alive until cancelled. Raises AdapterFailure when that is impossible."""
        try:
            while True:
                await self._one_life()
        except AdapterFailure as failure:
            self._renew()
            self._live.set_exception(failure)
            self._live.exception()
            raise

    async def _one_life(self) -> None:
        connection = Connection(self._voice, self._log, self.max_waiting_bytes)
        connection.use(await self._source.open(connection))
        try:
            handshake = await self._shake_hands(connection)
            if handshake is None:
                return
            info = handshake.raw_server_info()
            self._go_live(Live(connection=connection, handshake=handshake, raw_server_info=info))
            status = await connection.end_status()
        finally:
            self._renew()
            await connection.close()
        await self._after_crash(status, list(connection.child.last_error_lines))

    async def _shake_hands(self, connection: Connection) -> Handshake | None:
        """None when the server ended on the probe: it will be started again and greeted in the old way."""
        try:
            with anyio.fail_after(READY_BUDGET_S):
                handshake = await shake_hands(connection, self._greeting)
        except TimeoutError as error:
            raise _silence(connection.child.pid) from error
        except (UpstreamLost, CannotWrite) as error:
            if self._greeting.approach is Approach.PROBE:
                self._log.event("server-ended-on-probe")
                self._remember(Era.LEGACY)
                return None
            raise await self._diagnosis(connection) from error
        except (MalformedJson, InvalidMessage) as error:
            detail = f"the answer to initialize is no JSON-RPC message: {error}"
            raise AdapterFailure(Cause.NOT_AN_MCP_SERVER, detail) from error
        self._remember(handshake.era)
        return handshake

    def _remember(self, era: Era) -> None:
        """The era is a property of the server: a restart does not ask for it again."""
        approach = Approach.LEGACY if era is Era.LEGACY else Approach.MODERN
        self._greeting = replace(self._greeting, approach=approach)

    async def _diagnosis(self, connection: Connection) -> AdapterFailure:
        await connection.close()
        with anyio.move_on_after(_STDERR_SETTLE_S):
            await connection.end_status()
        status = connection.exited.result() if connection.exited.done() else 0
        return diagnose_exit(status, [self._log.mask(line) for line in connection.child.last_error_lines])

    def _go_live(self, live: Live) -> None:
        restarted = self._crashes.any_noted
        if live.handshake.era is Era.LEGACY and live.handshake.succeeded and (self.announce_at_once or restarted):
            with suppress(CannotWrite):  # Its end is about to be noticed.
                announce_initialized(live.connection)
        live.connection.on_renewed = lambda: self._restore(live)
        self._log.event("server-started", pid=live.connection.child.pid, restarted=restarted)
        self._live.set_result(live)
        # Before anybody else learns of the end: who asks then waits for the next process instead of getting this one.
        live.connection.exited.add_done_callback(lambda _: self._renew())
        if restarted:
            self._restore(live)

    def _restore(self, live: Live) -> None:
        if self.on_restart is not None:
            self.on_restart(live)

    def _renew(self) -> None:
        if self._live.done():
            self._live = asyncio.get_running_loop().create_future()

    async def _after_crash(self, status: int, lines: list[str]) -> None:
        pause_s = self._crashes.note(time.monotonic())
        last = next((line for line in reversed(lines) if line.strip()), "nothing on standard error")
        self._log.event("server-ended", status=status, last_line=last, restart_in_s=pause_s)
        if pause_s is None:
            detail = f"the server ended {_MAX_CRASHES + 1} times within {_CRASH_WINDOW_S:.0f} s, last with {last}"
            raise AdapterFailure(Cause.CRASH_LOOP, self._log.mask(detail))
        await anyio.sleep(pause_s)


def _silence(group: int) -> AdapterFailure:
    """What to say about a server that never answered: one that listens on TCP speaks HTTP, not stdio."""
    ports = listening_ports(group)
    if not ports:
        text = f"the server gave no answer to initialize within {READY_BUDGET_S:.0f} s"
        return AdapterFailure(Cause.TIMEOUT, text)
    text = f"the server answers nothing on stdio but listens on TCP port {ports[0]}: start it with its stdio transport"
    return AdapterFailure(Cause.NOT_AN_MCP_SERVER, text)
