"""The life of one machine: install, start, prove, serve until told to stop or until it cannot go on.

`/health` is served from the first moment. A permanent failure stays readable there for a while before the process ends
with the exit code of its cause; a stop lets running calls finish within a bounded time, then ends every process.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import anyio
import uvicorn

from gateway.adapter.causes import AdapterFailure, exit_code
from gateway.adapter.child import Launch
from gateway.adapter.connection import MAX_SHARED_WAITING_BYTES
from gateway.adapter.handshake import Approach, Greeting, client_params
from gateway.adapter.http.app import AdapterApp
from gateway.adapter.http.common import CommonVoice
from gateway.adapter.http.legacy import LegacyEndpoint
from gateway.adapter.http.modern import ModernEndpoint
from gateway.adapter.http.parking import ParkingLot
from gateway.adapter.http.pool import SessionPool
from gateway.adapter.http.requeststate import StateSeal
from gateway.adapter.http.watched import watched_protocol
from gateway.adapter.httpsource import Endpoint, HttpSource
from gateway.adapter.launch import prepare_launch
from gateway.adapter.log import AdapterLog
from gateway.adapter.options import Options, SessionMode, Transport
from gateway.adapter.readiness import prove, watch
from gateway.adapter.source import Source, StdioSource
from gateway.adapter.status import State, Status
from gateway.adapter.toolheaders import ToolHeaders
from gateway.adapter.upstream import Upstream

_DRAIN_S = 5
_KEEP_ALIVE_S = 75
_BACKLOG = 2048


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the machine decides what a signal means."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class Machine:
    """See the module. Use once: `await Machine(options, log).run(listener)`."""

    def __init__(self, options: Options, log: AdapterLog) -> None:
        self._options = options
        self._log = log
        self._status = Status()
        self._app = AdapterApp(self._status, options, log)
        self._failure: AdapterFailure | None = None
        self._stop_asked = asyncio.Event()

    async def run(self, listener: socket.socket) -> int:
        """Serve on a bound socket until the end; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_asked.set)
        loop.add_signal_handler(signal.SIGUSR1, self._leave)
        server = _http_server(self._app)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            tasks.start_soon(self._live_and_stop, server)
        self._log.event("stopped")
        return exit_code(self._failure.cause) if self._failure else 0

    def _leave(self) -> None:
        self._app.leave()
        self._log.event("leaving")

    async def _live_and_stop(self, server: _Server) -> None:
        async with anyio.create_task_group() as life:
            life.start_soon(self._live)
            await self._stop_asked.wait()
            self._app.drain()
            server.should_exit = True
            await _until(lambda: not server.server_state.tasks, _DRAIN_S)
            life.cancel_scope.cancel()

    async def _live(self) -> None:
        """Everything behind the endpoint, until cancelled or failed."""
        try:
            launch = await prepare_launch(
                self._options, self._log, lambda detail: self._status.enter(State.INSTALLING, detail)
            )
            self._status.enter(State.STARTING)
            await self._run_server(launch)
        except* AdapterFailure as group:
            await self._fail(_first(group))

    async def _run_server(self, launch: Launch) -> None:
        common = CommonVoice()
        source = self._source(launch, common)
        greeting = Greeting(approach=Approach.PROBE, raw_params=client_params({}))
        shared = Upstream(source, common, greeting, self._log)
        shared.max_waiting_bytes = MAX_SHARED_WAITING_BYTES
        common.upstream = shared
        pool = SessionPool(self._options, source, common, self._log)
        common.sessions = pool.sharing
        shared.on_restart = pool.restore_shared
        modern = self._modern_endpoint(common, pool)
        self._app.connect(LegacyEndpoint(pool), modern, lambda: _close_streams(pool, modern))
        async with anyio.create_task_group() as tasks:
            if isinstance(source, HttpSource):
                source.run_in(tasks)
            pool.run_in(tasks)
            tasks.start_soon(shared.run)
            tasks.start_soon(pool.sweep_forever)
            tasks.start_soon(self._prove_then_watch, shared, common.tools)

    def _source(self, launch: Launch, common: CommonVoice) -> Source:
        options = self._options
        if options.transport is Transport.STDIO:
            return StdioSource(launch)
        endpoint = Endpoint(port=options.server_port, path=options.server_path)
        return HttpSource(launch, endpoint, common.tools, self._log)

    def _modern_endpoint(self, common: CommonVoice, pool: SessionPool) -> ModernEndpoint:
        lanes = None if self._options.sessions is SessionMode.SHARED else pool.lanes
        lot = ParkingLot(StateSeal(os.environ.get("FLY_MACHINE_ID", "")))
        return ModernEndpoint(common, lanes, lot, common.tools)

    async def _prove_then_watch(self, shared: Upstream, tools: ToolHeaders) -> None:
        while True:
            weakness = await prove(shared)
            self._status.enter(State.READY, weakness)
            self._log.event("ready", weakness=weakness)
            live = await shared.live()
            await tools.learn(live)
            await watch(live, self._log)
            self._status.enter(State.STARTING, "the server ended and is being started again")

    async def _fail(self, failure: AdapterFailure) -> None:
        self._failure = failure
        self._status.fail(failure)
        self._log.event("failed", cause=failure.cause.value, detail=failure.detail)
        with anyio.move_on_after(self._options.linger_s):
            await self._stop_asked.wait()
        self._stop_asked.set()


def _close_streams(pool: SessionPool, modern: ModernEndpoint) -> None:
    pool.close_streams()
    modern.close_streams()


def _http_server(app: AdapterApp) -> _Server:
    config = uvicorn.Config(
        app,  # pyright: ignore[reportArgumentType] - uvicorn types scopes as closed dictionaries
        http=watched_protocol() or "auto",
        access_log=False,
        log_config=None,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_DRAIN_S,
        backlog=_BACKLOG,
    )
    return _Server(config)


async def _until(holds: Callable[[], bool], limit_s: float) -> None:
    with anyio.move_on_after(limit_s):
        while not holds():  # noqa: ASYNC110 - uvicorn keeps its requests in a set and sets no event
            await anyio.sleep(0.02)


def _first(group: BaseExceptionGroup[AdapterFailure]) -> AdapterFailure:
    """One failure of a group: tasks that failed together report the same server."""
    for each in group.exceptions:
        return each if isinstance(each, AdapterFailure) else _first(each)
    raise AssertionError("an exception group is never empty")
