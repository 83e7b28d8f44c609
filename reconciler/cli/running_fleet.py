"""`catwalk up`: the whole product in one process.

Order matters. The gateway's port is bound first, then the engine started, then the reconciler wired to the engine's
address; then gateway, dashboard and loop run until the person stops them. On the way out the loop ends its actions, the
gateway its calls, and the engine its machines, each within a bound.
"""

import os
import secrets
import signal
import socket
import time
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio
from litestar import Litestar

from gateway.app import Readiness, create_app
from gateway.routing import RouteTable
from gateway.settings import GatewaySettings
from reconciler.cli.fleet_view import LiveFleetView
from reconciler.cli.idle_times import IdleTimes
from reconciler.cli.keys import session_key
from reconciler.cli.machine_environment import RUNNER_IMAGE_NAME, machine_environment, package_cache, runner_command
from reconciler.cli.machines_doors import Address, engine_address
from reconciler.cli.place import Endpoint, Place, make_state, remove_endpoint, write_endpoint
from reconciler.cli.ready import Announce, ReadyWatch
from reconciler.cli.routes import RouteKeeper
from reconciler.cli.serving import bind, serve
from reconciler.cli.wiring import Request, Wired, open_source, wired
from reconciler.engine import Engine, EngineSettings, Timings, run_engine
from reconciler.loop.live import LiveState
from reconciler.loop.progress import Chorus, Progress
from reconciler.loop.schedule import ScheduleSettings
from reconciler.loop.worker import Worker
from reconciler.settings import Settings
from reconciler.web.handlers import web_handlers

HOST: Final = "127.0.0.1"
IDLE_LOOK_S: Final = 2.0
"""How often the engine looks for idle machines; a shorter `idle_after` makes no difference."""
LAST_ACTIONS_S: Final = 10.0
"""How long actions under way may take after Ctrl-C. A second Ctrl-C does not wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Up:
    """What `catwalk up` was asked for."""

    place: Place
    settings: Settings
    environment: dict[str, str] = field(repr=False)
    port: int
    worktree: bool
    progress: Progress
    announce: Announce


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """What listens to the passes, and what they tell it."""

    gateway_url: str
    address: Address
    live: LiveState
    routes: RouteTable
    keeper: RouteKeeper
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cast:
    """What runs side by side until the end."""

    view: LiveFleetView
    worker: Worker
    app: Litestar


async def run_up(up: Up) -> None:
    """Runs until the process is told to stop.

    Raises:
        CatwalkError: it cannot start: a port, a repository, a state directory, a key file.
    """
    started = time.monotonic()
    # What can be refused at once is refused before anything is created.
    open_source(up.place.directory, up.settings, worktree=up.worktree)
    with bind(HOST, up.port) as listener:
        make_state(up.place)
        idle_times = IdleTimes()
        async with AsyncExitStack() as opened:
            engine = await opened.enter_async_context(run_engine(_engine_settings(up, idle_times)))
            stage = _stage(up, engine, f"http://{HOST}:{listener.getsockname()[1]}", started)
            connected = await opened.enter_async_context(wired(_request(up, stage, idle_times)))
            opened.enter_context(_announced(up.place, engine, stage.gateway_url))
            cast = await _cast(up, stage, connected)
            await _run(cast, listener)


async def _run(cast: _Cast, listener: socket.socket) -> None:
    stop = anyio.Event()
    async with anyio.create_task_group() as watch:
        watch.start_soon(_stop_on_signal, cast, stop, watch.cancel_scope)
        async with anyio.create_task_group() as work:
            work.start_soon(serve, cast.app, listener, stop)
            await cast.worker.run()
            stop.set()
        watch.cancel_scope.cancel()


def _engine_settings(up: Up, idle_times: IdleTimes) -> EngineSettings:
    cache = package_cache(up.environment)
    cache.mkdir(parents=True, exist_ok=True)
    return EngineSettings(
        state_dir=up.place.engine_dir,
        token=secrets.token_urlsafe(32),
        images={RUNNER_IMAGE_NAME: runner_command()},
        base_environment=machine_environment(up.environment),
        cache_dir=cache,
        timings=Timings(autostop_tick_s=IDLE_LOOK_S),
        idle_after_s=idle_times.of,
    )


def _stage(up: Up, engine: Engine, gateway_url: str, started: float) -> _Stage:
    address = engine_address(engine.api_url, engine.token, engine.proxy_port)
    live, routes = LiveState(), RouteTable()
    keeper = RouteKeeper(routes, address.data_path)
    watch = ReadyWatch(gateway_url=gateway_url, elapsed_s=lambda: time.monotonic() - started, announce=up.announce)
    return _Stage(
        gateway_url=gateway_url,
        address=address,
        live=live,
        routes=routes,
        keeper=keeper,
        progress=Chorus(live, keeper, up.progress, watch),
    )


def _request(up: Up, stage: _Stage, idle_times: IdleTimes) -> Request:
    return Request(
        place=up.place,
        settings=up.settings,
        address=stage.address,
        worktree=up.worktree,
        progress=stage.progress,
        idle_times=idle_times,
    )


async def _cast(up: Up, stage: _Stage, connected: Wired) -> _Cast:
    statuses = await connected.store.statuses()
    stage.live.remember(connected.latest, statuses)
    stage.keeper.remember(connected.fleet.name, {status.server for status in statuses})
    view = LiveFleetView(connected, stage.live, stage.gateway_url)
    app = create_app(
        GatewaySettings(session_key=session_key(up.place.state_dir)),
        stage.routes,
        lambda: _readiness(stage.live),
        route_handlers=web_handlers(view, connected.ports.clock),
    )
    worker = Worker(connected.reconciler, connected.ports, stage.live, ScheduleSettings())
    return _Cast(view=view, worker=worker, app=app)


def _readiness(live: LiveState) -> Readiness:
    return Readiness(is_ready=live.view().ready, detail="the first pass is not done yet")


async def _stop_on_signal(cast: _Cast, stop: anyio.Event, scope: anyio.CancelScope) -> None:
    """The first signal asks everything to end; a second one, or a bound, cuts it short."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        await anext(signals)
        cast.worker.stop()
        cast.view.stop()
        stop.set()
        with anyio.move_on_after(LAST_ACTIONS_S):
            await anext(signals)
        scope.cancel()


@contextmanager
def _announced(place: Place, engine: Engine, gateway_url: str) -> Generator[None]:
    """Lets other commands find this process for as long as it runs."""
    endpoint = Endpoint(
        pid=os.getpid(),
        gateway_url=gateway_url,
        engine_url=engine.api_url,
        engine_token=engine.token,
        proxy_port=engine.proxy_port,
    )
    write_endpoint(place, endpoint)
    try:
        yield
    finally:
        remove_endpoint(place)
