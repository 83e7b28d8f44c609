"""What every process that runs a fleet does, whether its machines are here or on Fly.

Gateway, dashboard and loop run side by side until somebody ends them. On the way out the loop ends the actions that
have begun, the gateway its calls, each within a bound; who is impatient asks twice.
"""

import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from gateway.app import Gateway, Readiness, create_app
from gateway.routing import RouteTable
from gateway.settings import GatewaySettings
from reconciler.cli.fleet_view import LiveFleetView
from reconciler.cli.place import Endpoint, Place, remove_endpoint, write_endpoint
from reconciler.cli.routes import RouteKeeper
from reconciler.cli.serving import serve
from reconciler.cli.wiring import Wired
from reconciler.fly.probe import DataPath
from reconciler.loop.live import LiveState
from reconciler.loop.progress import Chorus, Progress
from reconciler.loop.schedule import ScheduleSettings
from reconciler.loop.worker import Worker
from reconciler.web.handlers import web_handlers

LAST_ACTIONS_S: Final = 10.0
"""How long actions under way may take after the first signal. A second one does not wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What listens to the passes, and what they tell it."""

    gateway_url: str
    """Where people and clients reach the gateway."""
    live: LiveState
    routes: RouteTable
    keeper: RouteKeeper
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a fleet is served, and how often its source is asked."""

    gateway: GatewaySettings
    schedule: ScheduleSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cast:
    """What runs side by side until the end."""

    view: LiveFleetView
    worker: Worker
    app: Gateway
    stop: anyio.Event


def set_stage(gateway_url: str, data_path: DataPath, *voices: Progress) -> Stage:
    """Everything that listens: state and routes first, then those who tell people."""
    live, routes = LiveState(), RouteTable()
    keeper = RouteKeeper(routes, data_path)
    progress = Chorus(live, keeper, *voices)
    return Stage(gateway_url=gateway_url, live=live, routes=routes, keeper=keeper, progress=progress)


async def run_fleet(stage: Stage, connected: Wired, manner: Manner, listener: socket.socket) -> None:
    """Serves and reconciles until the process is told to stop."""
    cast = await _cast(stage, connected, manner)
    async with anyio.create_task_group() as watch:
        watch.start_soon(_stop_on_signal, cast, watch.cancel_scope)
        async with anyio.create_task_group() as work:
            work.start_soon(serve, cast.app, listener, cast.stop)
            await cast.worker.run()
            cast.stop.set()
        watch.cancel_scope.cancel()


async def _cast(stage: Stage, connected: Wired, manner: Manner) -> _Cast:
    statuses = await connected.store.statuses()
    stage.live.remember(connected.latest, statuses)
    stage.keeper.remember(connected.fleet.name, {status.server for status in statuses})
    view = LiveFleetView(connected, stage.live, stage.gateway_url)
    stop = anyio.Event()
    app = create_app(
        manner.gateway,
        stage.routes,
        lambda: _readiness(stage.live, stop),
        route_handlers=web_handlers(view, connected.ports.clock),
    )
    worker = Worker(connected.reconciler, connected.ports, stage.live, manner.schedule)
    return _Cast(view=view, worker=worker, app=app, stop=stop)


def _readiness(live: LiveState, stop: anyio.Event) -> Readiness:
    if stop.is_set():
        return Readiness(is_ready=False, detail="this process is stopping")
    return Readiness(is_ready=live.view().ready, detail="the first pass is not done yet")


async def _stop_on_signal(cast: _Cast, scope: anyio.CancelScope) -> None:
    """The first signal asks everything to end; a second one, or a bound, cuts it short."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        await anext(signals)
        cast.worker.stop()
        cast.view.stop()
        cast.stop.set()
        with anyio.move_on_after(LAST_ACTIONS_S):
            await anext(signals)
        scope.cancel()


@contextmanager
def announced(place: Place, endpoint: Endpoint) -> Generator[None]:
    """Lets other commands find this process for as long as it runs."""
    write_endpoint(place, endpoint)
    try:
        yield
    finally:
        remove_endpoint(place)
