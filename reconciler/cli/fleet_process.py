"""What every process that runs a fleet does, whether its machines are here or on Fly.

Gateway, dashboard and loop run side by side until somebody ends them. On the way out the loop ends the actions that
have begun, the gateway its calls, each within a bound; who is impatient asks twice.
"""

import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final

import anyio
from litestar import Router
from prometheus_client import CollectorRegistry, ProcessCollector

from gateway.aggregate.settings import Running
from gateway.app import Gateway, Readiness, create_app
from gateway.metrics import GatewayMetrics
from gateway.relay import OutsideRules
from gateway.routing import RouteTable
from gateway.settings import GatewaySettings
from reconciler.cli.auditing import AuditBook
from reconciler.cli.facts import FactsBook
from reconciler.cli.fleet_view import LiveFleetView, Told
from reconciler.cli.gateway_access import FollowedAccess
from reconciler.cli.gateway_names import FollowedNames
from reconciler.cli.place import Endpoint, Place, remove_endpoint, write_endpoint
from reconciler.cli.progress_log import EndOfLogContext, LogContext
from reconciler.cli.progress_text import status_detail
from reconciler.cli.proposing import catching_up, proposal_worker
from reconciler.cli.remote_servers import RemoteServers
from reconciler.cli.routes import RouteKeeper
from reconciler.cli.serving import serve
from reconciler.cli.stored_view import MOST_TRANSITIONS
from reconciler.cli.tool_desk import GatewayToolDesk
from reconciler.cli.wiring import Wired
from reconciler.core.secret import SecretValue
from reconciler.core.types import ServerState, ServerStatus
from reconciler.errors import Unavailable
from reconciler.fly.probe import DataPath
from reconciler.loop.clock import pause
from reconciler.loop.elsewhere import SharedInbox
from reconciler.loop.live import LiveState
from reconciler.loop.log_tails import SHELF, LogTails
from reconciler.loop.metrics import LoopMetrics
from reconciler.loop.ports import ProposalSource
from reconciler.loop.progress import Chorus, Progress
from reconciler.loop.proposing import ProposalWorker
from reconciler.loop.schedule import ScheduleSettings
from reconciler.loop.standing_by import RemoteFollower
from reconciler.loop.usage import UsageBook
from reconciler.loop.worker import Worker
from reconciler.web.handlers import web_handlers
from reconciler.web.metrics import MetricsPage, metrics_handler
from reconciler.web.site import Guard
from reconciler.web.webhooks import Followed, Hooks, webhook_router

LAST_ACTIONS_S: Final = 10.0
"""How long actions under way may take after the first signal. A second one does not wait."""

FOLLOW_S: Final = 2.0
"""How often a process that stands by looks what the leader has recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What listens to the passes, and what they tell it."""

    gateway_url: str
    """Where people and clients reach the gateway."""
    live: LiveState
    routes: RouteTable
    keeper: RouteKeeper
    remotes: RemoteServers
    names: FollowedNames
    book: UsageBook
    progress: Progress
    metrics: LoopMetrics
    registry: CollectorRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """Whose webhooks are believed, and what they must be about."""

    secret: SecretValue
    followed: Followed


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a fleet is served, and how often its source is asked."""

    gateway: GatewaySettings
    schedule: ScheduleSettings
    webhooks: Webhooks | None = None
    """None takes none in."""
    access: FollowedAccess | None = None
    """Who may use the gateway; None where only this machine reaches it."""
    guards: tuple[Guard, ...] = ()
    """What dashboard and API are behind."""
    proposals: ProposalSource | None = None
    """Where proposed commits are read; None plans none."""
    audit: AuditBook
    """Where it is written down who did what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cast:
    """What runs side by side until the end."""

    view: LiveFleetView
    facts: FactsBook
    worker: Worker
    inbox: SharedInbox | None
    proposing: ProposalWorker | None
    app: Gateway
    stop: anyio.Event


def set_stage(
    gateway_url: str,
    data_path: DataPath,
    outside: OutsideRules,
    *voices: Progress,
    registry: CollectorRegistry | None = None,
) -> Stage:
    """Everything that listens: state and routes first, then those who tell people."""
    live, routes, book, names = LiveState(), RouteTable(), UsageBook(), FollowedNames()
    remotes = RemoteServers(outside)
    keeper = RouteKeeper(routes, data_path, remotes)
    registry = registry if registry is not None else CollectorRegistry()
    ProcessCollector(registry=registry)
    metrics = LoopMetrics(registry)
    return Stage(
        gateway_url=gateway_url,
        live=live,
        routes=routes,
        keeper=keeper,
        remotes=remotes,
        names=names,
        book=book,
        progress=Chorus(LogContext(), live, keeper, names, book, metrics, *voices, EndOfLogContext()),
        metrics=metrics,
        registry=registry,
    )


async def run_fleet(stage: Stage, connected: Wired, manner: Manner, listener: socket.socket) -> None:
    """Serves and reconciles until the process is told to stop."""
    cast = await _cast(stage, connected, manner)
    async with anyio.create_task_group() as watch:
        watch.start_soon(_stop_on_signal, cast, watch.cancel_scope)
        async with anyio.create_task_group() as work:
            work.start_soon(serve, cast.app, listener, cast.stop)
            work.start_soon(_follow_leader, stage, connected, manner, cast)
            work.start_soon(manner.audit.run, cast.stop)
            await _reconcile(cast, connected)
            cast.stop.set()
        await manner.audit.flush()
        watch.cancel_scope.cancel()


async def _reconcile(cast: _Cast, connected: Wired) -> None:
    """The loop and all that tells of it. What is still to be said when the loop ends is said while calls end."""
    async with anyio.create_task_group() as telling:
        telling.start_soon(connected.reporting.run)
        if cast.inbox is not None:
            telling.start_soon(cast.inbox.run, cast.stop, lambda: _leads(connected))
        if cast.proposing is not None:
            telling.start_soon(cast.proposing.run)
            if (catch_up := catching_up(connected, cast.proposing)) is not None:
                telling.start_soon(catch_up.run)
        await cast.worker.run()
        telling.cancel_scope.cancel()
    cast.stop.set()
    await connected.reporting.farewell(connected.lead)


async def _cast(stage: Stage, connected: Wired, manner: Manner) -> _Cast:
    facts = FactsBook(connected.kept_state)
    await _remember(stage, connected, manner, facts)
    view = LiveFleetView(connected, stage.live, Told(book=stage.book, facts=facts), stage.gateway_url)
    stop = anyio.Event()
    worker = Worker(connected.reconciler, connected.ports, stage.live, manner.schedule, lead=connected.lead)
    worker.keep_logs(LogTails(connected.doors.logs, connected.store.shelf(SHELF)))
    inbox = await _shared_inbox(connected, manner, worker)
    proposing = proposal_worker(connected, manner.proposals)
    on_loopback = manner.gateway.is_bound_to_loopback
    desk = GatewayToolDesk(stage.gateway_url)
    app = create_app(
        _gateway_settings(stage, manner),
        stage.routes,
        lambda: _readiness(stage, connected, stop),
        route_handlers=[
            *web_handlers(view, connected.ports.clock, guards=manner.guards, tools=desk, audit=manner.audit),
            *_webhook_handlers(connected, manner, worker, inbox, proposing),
            *([metrics_handler(stage.registry)] if on_loopback else []),
        ],
        # A page in a browser can reach loopback under a name of its own; collectors call others by their address.
        plugins=[] if on_loopback else [MetricsPage(stage.registry)],
    )
    desk.connect(app)
    stage.metrics.watch_loop(waiting=lambda: int(worker.queue.pending is not None), leads=lambda: _leads(connected))
    return _Cast(view=view, facts=facts, worker=worker, inbox=inbox, proposing=proposing, app=app, stop=stop)


def _gateway_settings(stage: Stage, manner: Manner) -> GatewaySettings:
    def note(server: str) -> str:
        return caller_note(stage.live.status(server))

    def running(server: str) -> Running | None:
        return what_runs(stage.live.status(server))

    observers = (*manner.gateway.observers, manner.audit, GatewayMetrics(stage.registry))
    aggregate = replace(manner.gateway.aggregate, running=running, prefix=stage.names.prefix)
    settings = replace(manner.gateway, server_note=note, observers=observers, aggregate=aggregate)
    if manner.access is None:
        return settings
    return replace(settings, access=manner.access, resource_metadata=manner.access.metadata)


async def _shared_inbox(connected: Wired, manner: Manner, worker: Worker) -> SharedInbox | None:
    """Where webhooks come in, here and at other processes; none where none are taken in."""
    if manner.webhooks is None:
        return None
    inbox = SharedInbox(connected.store, connected.ports.clock, wake=worker.wake)
    await inbox.begin()
    return inbox


def _webhook_handlers(
    connected: Wired, manner: Manner, worker: Worker, inbox: SharedInbox | None, proposing: ProposalWorker | None
) -> list[Router]:
    if manner.webhooks is None or inbox is None:
        return []
    hooks = Hooks(
        secret=manner.webhooks.secret,
        followed=manner.webhooks.followed,
        inbox=inbox,
        wake=worker.wake,
        clock=connected.ports.clock,
        proposed=proposing.wake if proposing is not None else _ignore,
        changed=connected.reporting.forget_permissions,
    )
    return [webhook_router(hooks)]


def _ignore() -> None:
    """Nobody plans proposed commits."""


def caller_note(status: ServerStatus | None) -> str:
    """What callers are told of a server that does not answer: its state and cause, redacted like every verdict."""
    if status is None or status.state in {ServerState.READY, ServerState.IDLE}:
        return ""
    return f"{status.state}: {status_detail(status) or 'on its way'}"


def what_runs(status: ServerStatus | None) -> Running | None:
    """What the common address of all servers is told of one of them: a list of one that sleeps is good for as long as
    the same machine would wake with the same configuration.
    """
    if status is None:
        return None
    identity = f"{status.revision}/{status.machine_id}/{status.package}"
    return Running(identity=identity, is_asleep=status.state is ServerState.IDLE)


def _leads(connected: Wired) -> bool:
    return connected.lead is None or connected.lead.may_act()


def _readiness(stage: Stage, connected: Wired, stop: anyio.Event) -> Readiness:
    """The leader is ready after its first pass; who stands by carries traffic as soon as it knows where to."""
    if stop.is_set():
        return Readiness(is_ready=False, detail="this process is stopping")
    stands_by = not _leads(connected) and len(stage.routes) > 0
    return Readiness(is_ready=stage.live.view().ready or stands_by, detail="the first pass is not done yet")


async def _remember(stage: Stage, connected: Wired, manner: Manner, facts: FactsBook) -> None:
    """Takes over what the store knows: from an earlier process, or from the one that leads."""
    statuses, latest = await connected.store.statuses(), await connected.store.latest_pass()
    if manner.access is not None:
        manner.access.remember(latest)
    stage.names.remember(latest)
    stage.live.remember(latest, statuses)
    await facts.remember(latest)
    stage.book.remember(await connected.store.transitions(limit=MOST_TRANSITIONS))
    name = latest.fleet if latest is not None and latest.fleet else connected.fleet.name
    stage.keeper.remember(name, {status.server for status in statuses})


async def _follow_leader(stage: Stage, connected: Wired, manner: Manner, cast: _Cast) -> None:
    """Keeps routes and pages of a process that stands by in step with what the leader records."""
    ports = connected.ports
    remotes = RemoteFollower(
        source=ports.source,
        read_manifests=connected.plain_reader,
        secrets=ports.secrets,
        remotes=ports.remotes,
        clock=ports.clock,
    )
    while not await pause(cast.stop, FOLLOW_S):
        if not _leads(connected):
            with suppress(Unavailable):
                await _remember(stage, connected, manner, cast.facts)
                await remotes.catch_up(await connected.store.latest_pass())


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
