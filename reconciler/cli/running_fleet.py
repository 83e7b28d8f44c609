"""`catwalk up`: the whole product in one process.

Order matters. The gateway's port is bound first, then the engine started, then the reconciler wired to the engine's
address; then gateway, dashboard and loop run until the person stops them. On the way out the loop ends its actions, the
gateway its calls, and the engine its machines, each within a bound.
"""

import os
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from gateway.relay import OutsideRules
from gateway.settings import GatewaySettings
from reconciler.cli.auditing import AuditBook, everybody
from reconciler.cli.fleet_process import Manner, Stage, announced, run_fleet, set_stage
from reconciler.cli.idle_times import IdleTimes
from reconciler.cli.keys import session_key
from reconciler.cli.machine_environment import machine_environment, package_cache, runner_command
from reconciler.cli.machines_doors import Address, engine_address
from reconciler.cli.place import Endpoint, Place, make_state
from reconciler.cli.ready import Announce, ReadyWatch
from reconciler.cli.repository import open_source
from reconciler.cli.serving import bind
from reconciler.cli.telemetry import traces
from reconciler.cli.wiring import Request, wired
from reconciler.core.runner import RUNNER_IMAGE_NAME
from reconciler.engine import Engine, EngineSettings, Timings, run_engine
from reconciler.loop.progress import Progress
from reconciler.loop.schedule import ScheduleSettings
from reconciler.settings import Settings

HOST: Final = "127.0.0.1"
IDLE_LOOK_S: Final = 2.0
"""How often the engine looks for idle machines: no `idle_after` below it makes a difference."""


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


async def run_up(up: Up) -> None:
    """Runs until the process is told to stop.

    Raises:
        CatwalkError: it cannot start: a port, a repository, a state directory, a key file.
    """
    started = time.monotonic()
    # What can be refused at once is refused before anything is created.
    source = open_source(up.place.directory, up.settings, worktree=up.worktree)
    with bind(HOST, up.port) as listener:
        make_state(up.place)
        idle_times = IdleTimes()
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(traces(up.environment))
            engine = await opened.enter_async_context(run_engine(_engine_settings(up, idle_times)))
            address = engine_address(engine.api_url, engine.token, engine.proxy_port)
            stage = _stage(up, address, f"http://{HOST}:{listener.getsockname()[1]}", started)
            request = Request(
                place=up.place,
                settings=up.settings,
                address=address,
                source=source,
                progress=stage.progress,
                remotes=stage.remotes,
                holder="catwalk up",
                on_call=stage.metrics.on_call,
                idle_times=idle_times,
            )
            connected = await opened.enter_async_context(wired(request))
            opened.enter_context(announced(up.place, _endpoint(engine, stage.gateway_url)))
            audit = AuditBook(connected.store, connected.ports.clock, everybody)
            await run_fleet(stage, connected, _manner(up, audit), listener)


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


def _stage(up: Up, address: Address, gateway_url: str, started: float) -> Stage:
    watch = ReadyWatch(gateway_url=gateway_url, elapsed_s=lambda: time.monotonic() - started, announce=up.announce)
    outside = OutsideRules(networks=up.settings.outbound_networks)
    return set_stage(gateway_url, address.data_path, outside, up.progress, watch)


def _manner(up: Up, audit: AuditBook) -> Manner:
    gateway = GatewaySettings(session_key=session_key(up.place.state_dir))
    return Manner(gateway=gateway, schedule=ScheduleSettings(), audit=audit)


def _endpoint(engine: Engine, gateway_url: str) -> Endpoint:
    return Endpoint(
        pid=os.getpid(),
        gateway_url=gateway_url,
        engine_url=engine.api_url,
        engine_token=engine.token,
        proxy_port=engine.proxy_port,
    )
