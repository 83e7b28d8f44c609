"""Puts the engine together and takes it apart again: the one place where its parts meet.

What starts first ends last: the lock, the store, the runtime, the keeper, the doors. A caller's own exception leaves
`run_engine` as it is, not wrapped into a group, because the engine is a guest in somebody else's program.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio

from reconciler.engine.api.apps import AppRoutes
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
from reconciler.engine.api.waits import WaitRoutes
from reconciler.engine.clock import Clock, SystemClock
from reconciler.engine.inventory import Inventory
from reconciler.engine.keeper import Keeper, Surroundings
from reconciler.engine.logbook import LogBook
from reconciler.engine.operations import Operations
from reconciler.engine.ports import listen
from reconciler.engine.processes import ProcessRuntime, ProcessSettings
from reconciler.engine.proxy.candidates import Candidates
from reconciler.engine.proxy.destinations import Destinations
from reconciler.engine.proxy.server import ProxyServer
from reconciler.engine.proxy.upstreams import Upstreams
from reconciler.engine.runtime import Runtime
from reconciler.engine.serving import serve_api, serve_proxy
from reconciler.engine.settings import EngineSettings
from reconciler.engine.store import Store, lock, unlock

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


RuntimeFactory = Callable[[EngineSettings, asyncio.TaskGroup], Runtime]


def process_runtime(settings: EngineSettings, tasks: asyncio.TaskGroup) -> Runtime:
    """The runtime of real processes."""
    cache_dir = settings.cache_dir or settings.state_dir / "cache"
    cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    process_settings = ProcessSettings(
        host=settings.host,
        machines_dir=settings.state_dir / "machines",
        cache_dir=cache_dir.resolve(),
        images=settings.images,
    )
    return ProcessRuntime(process_settings, tasks)


@asynccontextmanager
async def run_engine(
    settings: EngineSettings, *, clock: Clock | None = None, runtime: RuntimeFactory = process_runtime
) -> AsyncGenerator[Engine]:
    """Runs an engine in the present event loop until the block ends; then nothing it started is left.

    Raises:
        EnvironmentFault: the state directory is in use or unreadable, or a port is taken.
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
            async with _assembled(settings, clock or SystemClock(), store, runtime(settings, tasks), tasks) as engine:
                yield engine
        except Exception as error:  # noqa: BLE001 - handed on below: a task group would wrap it.
            failure = error
    if failure is not None:
        raise failure


@asynccontextmanager
async def _assembled(
    settings: EngineSettings, clock: Clock, store: Store, runtime: Runtime, tasks: asyncio.TaskGroup
) -> AsyncGenerator[Engine]:
    inventory = Inventory(store=store, clock=clock)
    await inventory.load()
    around = Surroundings(
        inventory=inventory,
        clock=clock,
        logs=LogBook(clock),
        timings=settings.timings,
        base_environment=settings.base_environment,
    )
    keeper = Keeper(around, runtime, tasks)
    operations = Operations(inventory=inventory, keeper=keeper, clock=clock, settings=settings)
    desk = Desk(
        inventory=inventory, operations=operations, keeper=keeper, logs=around.logs, clock=clock, settings=settings
    )
    api = await _api(desk, store)
    proxy = _proxy(desk, tasks)
    async with AsyncExitStack() as doors:
        api_socket = doors.enter_context(listen(settings.host, settings.api_port, "the Machines API"))
        proxy_socket = doors.enter_context(listen(settings.host, settings.proxy_port, "the Flycast stand-in"))
        doors.push_async_callback(_shielded, runtime.close)
        doors.push_async_callback(_shielded, keeper.close)
        if settings.boot:
            await keeper.resume()
        await doors.enter_async_context(serve_proxy(proxy, proxy_socket))
        await doors.enter_async_context(serve_api(api, api_socket, tasks))
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


async def _api(desk: Desk, store: Store) -> MachinesApi:
    groups = (
        AppRoutes(desk),
        MachineRoutes(desk),
        ExecutionRoutes(desk),
        WaitRoutes(desk),
        MetadataRoutes(desk),
        LeaseRoutes(desk),
        SecretRoutes(desk, await _digest_key(store)),
        OrganizationRoutes(desk),
        PlatformRoutes(desk),
        LogRoutes(desk),
    )
    return MachinesApi([route for group in groups for route in group.routes()], desk)


def _proxy(desk: Desk, tasks: asyncio.TaskGroup) -> ProxyServer:
    settings, clock = desk.settings, desk.clock
    candidates = Candidates(inventory=desk.inventory, clock=clock, wake_s=settings.timings.wake_s)
    destinations = Destinations(
        inventory=desk.inventory,
        keeper=desk.keeper,
        operations=desk.operations,
        candidates=candidates,
        clock=clock,
        logs=desk.logs,
        region=settings.region,
        wake_s=settings.timings.wake_s,
    )
    return ProxyServer(destinations, Upstreams(settings.host, clock), clock, tasks)


async def _digest_key(store: Store) -> bytes:
    """The key of secret digests, made once for a state directory."""
    known = (await store.load(KEY_KIND)).get(DIGEST_KEY)
    if known is None:
        known = secrets.token_hex(32)
        store.put(KEY_KIND, DIGEST_KEY, known)
        await store.settle()
    return bytes.fromhex(known)
