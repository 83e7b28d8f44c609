"""Puts the engine together and takes it apart again: the one place where its parts meet.

What starts first ends last: the lock, the store, the runtime, the keeper, the doors. A caller's own exception leaves
`run_engine` as it is, not wrapped into a group, because the engine is a guest in somebody else's program.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import anyio

from reconciler.engine.api.apps import AppRoutes
from reconciler.engine.api.exchange import Route
from reconciler.engine.api.executions import ExecutionRoutes
from reconciler.engine.api.leases import LeaseRoutes
from reconciler.engine.api.logs import LogRoutes
from reconciler.engine.api.lookup import Desk
from reconciler.engine.api.machines import MachineRoutes
from reconciler.engine.api.metadata import MetadataRoutes
from reconciler.engine.api.organizations import OrganizationRoutes
from reconciler.engine.api.platform import PlatformRoutes
from reconciler.engine.api.router import MachinesApi
from reconciler.engine.api.secrets import SecretRoutes
from reconciler.engine.api.tokens import TokenRoutes
from reconciler.engine.api.volumes import VolumeRoutes
from reconciler.engine.api.waits import WaitRoutes
from reconciler.engine.clock import Clock, SystemClock
from reconciler.engine.control import ControlRoutes
from reconciler.engine.faults.book import Faults
from reconciler.engine.faults.flapping import FlappingInventory
from reconciler.engine.faults.held import HeldKeeper
from reconciler.engine.faults.wiring import Steering, behind_faults
from reconciler.engine.inventory import Inventory
from reconciler.engine.keeper import Keeper, Surroundings
from reconciler.engine.logbook import LogBook
from reconciler.engine.memory_limits import usable_groups
from reconciler.engine.operations import Operations
from reconciler.engine.ports import listen
from reconciler.engine.processes import ProcessRuntime, ProcessSettings
from reconciler.engine.proxy.autostop import AutostopLoop
from reconciler.engine.proxy.candidates import Candidates
from reconciler.engine.proxy.carrier import Carrier
from reconciler.engine.proxy.destinations import Destinations
from reconciler.engine.proxy.loads import Loads
from reconciler.engine.proxy.server import ProxyServer
from reconciler.engine.proxy.upstreams import Upstreams
from reconciler.engine.runtime import Runtime
from reconciler.engine.serving import serve_api, serve_proxy
from reconciler.engine.settings import EngineSettings
from reconciler.engine.simulation import Simulation
from reconciler.engine.steering import SteerableClock
from reconciler.engine.store import Store, lock, unlock
from reconciler.errors import EnvironmentFault

KEY_KIND = "key"
DIGEST_KEY = "secret-digests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A running engine, as its host sees it."""

    api_url: str
    """`http://127.0.0.1:4280`, without `/v1`."""
    proxy_url: str
    """The Flycast stand-in: send a request here with `Host: {app}.flycast`."""
    proxy_port: int
    token: str = field(repr=False)


class RouteGroup(Protocol):
    def routes(self) -> Iterable[Route]: ...


RuntimeFactory = Callable[[EngineSettings, asyncio.TaskGroup], Runtime]


def process_runtime(settings: EngineSettings, tasks: asyncio.TaskGroup) -> Runtime:
    """The runtime of real processes."""
    cache_dir = settings.cache_dir or settings.state_dir / "cache"
    cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    process_settings = ProcessSettings(
        host=settings.host,
        machines_dir=settings.state_dir / "machines",
        volumes_dir=settings.state_dir / "volumes",
        cache_dir=cache_dir.resolve(),
        images=settings.images,
        memory=usable_groups() if settings.memory_limits else None,
    )
    return ProcessRuntime(process_settings, tasks)


@asynccontextmanager
async def run_engine(
    settings: EngineSettings,
    *,
    clock: Clock | None = None,
    runtime: RuntimeFactory = process_runtime,
    simulation: Simulation | None = None,
    faults: Faults | None = None,
) -> AsyncGenerator[Engine]:
    """Runs an engine in the present event loop until the block ends; then nothing it started is left.

    With a `simulation`, clock and runtime are the simulation's, and no machine is a process. With `faults`, or with
    `settings.control`, the clock is one that can jump.

    Raises:
        EnvironmentFault: the state directory is in use or unreadable, a port is taken, or faults meet a clock that
            cannot jump.
    """
    failure: BaseException | None = None
    async with AsyncExitStack() as held:
        # Machines have working directories of their own: a relative path would mean another place to them.
        settings = replace(settings, state_dir=settings.state_dir.absolute())
        descriptor = await asyncio.to_thread(lock, settings.state_dir, exclusive=settings.boot)
        held.callback(unlock, descriptor)
        store = await Store.open(settings.state_dir)
        held.push_async_callback(_shielded, store.close)
        tasks = await held.enter_async_context(asyncio.TaskGroup())
        try:
            clock = simulation.clock if simulation else clock
            steering = _steering(settings, clock, faults)
            ground = _Ground(
                settings=settings,
                clock=steering.clock if steering else clock or SystemClock(),
                store=store,
                runtime=simulation.runtime(tasks) if simulation else runtime(settings, tasks),
                tasks=tasks,
                simulation=simulation,
                steering=steering,
            )
            async with _assembled(ground) as engine:
                yield engine
        except Exception as error:  # noqa: BLE001 - handed on below: a task group would wrap it.
            failure = error
    if failure is not None:
        raise failure


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What the parts of an engine stand on."""

    settings: EngineSettings
    clock: Clock
    store: Store
    runtime: Runtime
    tasks: asyncio.TaskGroup
    simulation: Simulation | None
    steering: Steering | None


def _steering(settings: EngineSettings, clock: Clock | None, faults: Faults | None) -> Steering | None:
    """Nothing, unless faults were handed in or the control routes are on.

    Raises:
        EnvironmentFault: the engine was given a clock that cannot jump.
    """
    if faults is None and not settings.control:
        return None
    if not isinstance(clock, SteerableClock | None):
        raise EnvironmentFault(
            "clock-not-steerable",
            "the engine was given a clock that cannot jump, which faults and control need",
            hint="give it a SteerableClock, a Simulation, or no clock",
        )
    return Steering(faults=Faults() if faults is None else faults, clock=clock or SteerableClock())


@asynccontextmanager
async def _assembled(ground: _Ground) -> AsyncGenerator[Engine]:
    settings, clock, store, runtime, tasks = ground.settings, ground.clock, ground.store, ground.runtime, ground.tasks
    steering = ground.steering
    inventory = (
        FlappingInventory(store=store, clock=clock, faults=steering.faults)
        if steering
        else Inventory(store=store, clock=clock)
    )
    await inventory.load()
    around = Surroundings(
        inventory=inventory,
        clock=clock,
        logs=LogBook(clock),
        timings=settings.timings,
        base_environment=settings.base_environment,
    )
    keeper = HeldKeeper(around, runtime, tasks, steering.faults) if steering else Keeper(around, runtime, tasks)
    operations = Operations(inventory=inventory, keeper=keeper, clock=clock, settings=settings)
    desk = Desk(
        inventory=inventory, operations=operations, keeper=keeper, logs=around.logs, clock=clock, settings=settings
    )
    api = await _api(desk, store, ground)
    carrier = _carrier(desk)
    proxy = ProxyServer(carrier, tasks)
    async with AsyncExitStack() as doors:
        api_socket = doors.enter_context(listen(settings.host, settings.api_port, "the Machines API"))
        proxy_socket = doors.enter_context(listen(settings.host, settings.proxy_port, "the Flycast stand-in"))
        doors.push_async_callback(_shielded, runtime.close)
        doors.push_async_callback(_shielded, keeper.close)
        if ground.simulation is not None:
            ground.simulation.attach(inventory.settle)
            doors.callback(ground.simulation.detach)
        served = doors.enter_context(behind_faults(api, desk, steering)) if steering else api
        if settings.boot:
            await keeper.resume()
            doors.callback(tasks.create_task(_autostop(desk, carrier.destinations).run()).cancel)
        await doors.enter_async_context(serve_proxy(proxy, proxy_socket))
        await doors.enter_async_context(serve_api(served, api_socket, tasks))
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        proxy_port = proxy_socket.getsockname()[1]
        yield Engine(
            api_url=f"http://{host}:{api_socket.getsockname()[1]}",
            proxy_url=f"http://{host}:{proxy_port}",
            proxy_port=proxy_port,
            token=settings.token,
        )


async def _shielded(close: Callable[[], Awaitable[None]]) -> None:
    """Runs one bounded step of the end to its end, also when the host's cancellation is delivered again and again."""
    with anyio.CancelScope(shield=True):
        await close()


async def _api(desk: Desk, store: Store, ground: _Ground) -> MachinesApi:
    groups: list[RouteGroup] = [
        AppRoutes(desk),
        MachineRoutes(desk),
        ExecutionRoutes(desk),
        WaitRoutes(desk),
        MetadataRoutes(desk),
        LeaseRoutes(desk),
        SecretRoutes(desk, await _digest_key(store)),
        OrganizationRoutes(desk),
        PlatformRoutes(desk),
        VolumeRoutes(desk),
        TokenRoutes(desk),
        LogRoutes(desk),
    ]
    if desk.settings.control and ground.steering is not None:
        groups.append(ControlRoutes(ground.steering, ground.simulation, ground.settings.tags))
    return MachinesApi([route for group in groups for route in group.routes()], desk)


def _carrier(desk: Desk) -> Carrier:
    settings, clock, wake_s = desk.settings, desk.clock, desk.settings.timings.wake_s
    loads = Loads(desk.inventory, clock)
    destinations = Destinations(
        inventory=desk.inventory,
        keeper=desk.keeper,
        operations=desk.operations,
        candidates=Candidates(inventory=desk.inventory, clock=clock, loads=loads, wake_s=wake_s),
        loads=loads,
        clock=clock,
        logs=desk.logs,
        region=settings.region,
        wake_s=wake_s,
        queue_s=settings.timings.queue_s,
    )
    return Carrier(destinations=destinations, upstreams=Upstreams(settings.host, clock), clock=clock)


def _autostop(desk: Desk, destinations: Destinations) -> AutostopLoop:
    return AutostopLoop(
        inventory=desk.inventory,
        operations=desk.operations,
        candidates=destinations.candidates,
        loads=destinations.loads,
        clock=desk.clock,
        logs=desk.logs,
        timings=desk.settings.timings,
        idle_after_s=desk.settings.idle_after_s,
    )


async def _digest_key(store: Store) -> bytes:
    """The key of secret digests, made once for a state directory."""
    known = (await store.load(KEY_KIND)).get(DIGEST_KEY)
    if known is None:
        known = secrets.token_hex(32)
        store.put(KEY_KIND, DIGEST_KEY, known)
        await store.settle()
    return bytes.fromhex(known)
