"""`catwalk serve`: control plane and gateway in one process, for machines on Fly and a repository on a git host.

It differs from `catwalk up` in where things are, not in what is done: the source is a mirror of a remote branch, the
machines are Fly's, statuses go to GitHub, and what happens is logged instead of shown.
"""

import os
import secrets
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from gateway.audit import AuditLog
from gateway.relay import OutsideRules
from reconciler.cli.auditing import AuditBook, readers_of
from reconciler.cli.crew_metrics import Crewmate, CrewRegistry, told
from reconciler.cli.fleet_process import Manner, Stage, Webhooks, announced, run_fleet, set_stage
from reconciler.cli.gateway_access import FollowedAccess
from reconciler.cli.github_access import GitHubAccess, git_lender, open_github
from reconciler.cli.keys import session_key
from reconciler.cli.machines_doors import Address, fly_address
from reconciler.cli.notifying import open_channels
from reconciler.cli.place import Endpoint, Place, make_state
from reconciler.cli.progress_log import LogProgress, announce_log
from reconciler.cli.ready import ReadyWatch
from reconciler.cli.reporting import Outside
from reconciler.cli.repository import github_repository, remote_source
from reconciler.cli.service_settings import is_loopback, require_service, service_gateway
from reconciler.cli.serving import bind
from reconciler.cli.sign_in import sign_in
from reconciler.cli.telemetry import traces
from reconciler.cli.wiring import Request, wired
from reconciler.loop.progress import ProgressEvent, RevisionAccepted
from reconciler.loop.schedule import ScheduleSettings
from reconciler.report.reporter import ReportSettings
from reconciler.settings import Settings
from reconciler.sources.git import RemoteSource
from reconciler.web.site import Guard
from reconciler.web.webhooks import Followed

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.serve")

JITTER: Final = 0.2
"""Each poll comes up to this part of its interval earlier or later, so that many fleets do not ask at one moment."""

PROPOSED: Final = "proposed"
"""The folder of proposed commits: a mirror of its own, so that a vast pull request does not hold the fleet up."""

HEALTH_S: Final = 8.0
HEALTH_JITTER_S: Final = 1.5
"""Two looks are at most 11 s apart, which leaves a check of 4 s until a crash has to be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One of several processes behind one port."""

    number: int
    local_token: str = field(repr=False)
    """What commands on this machine use; all workers know the same one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What `catwalk serve` was asked for."""

    place: Place
    settings: Settings
    host: str
    port: int
    directory: str
    """The followed directory inside the repository; empty for its root."""
    poll_s: float
    insecure: bool
    worker: Worker | None = None
    """Which of several processes behind the port this is; None where it is the only one."""

    @property
    def workers_dir(self) -> Path:
        """Where workers leave what they count."""
        return self.place.state_dir / "workers"


async def run_service(service: Service) -> None:
    """Runs until the process is told to stop.

    Raises:
        CatwalkError: it cannot start; a group of them where several settings are missing.
    """
    started = time.monotonic()
    settings, place = service.settings, service.place
    require_service(settings, host=service.host)
    address = fly_address(settings)
    with bind(service.host, service.port, is_shared=service.worker is not None) as listener:
        make_state(place)
        local_url = local_url_of(service.host, listener.getsockname()[1])
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(traces(os.environ))
            github = await opened.enter_async_context(open_github(settings))
            channels = await opened.enter_async_context(open_channels(settings))
            sources = _sources(service, github)
            gateway_url = settings.public_url.rstrip("/") or local_url
            access = _access(service, gateway_url)
            stage = _stage(service, address, gateway_url, started, access)
            request = Request(
                place=place,
                settings=settings,
                address=address,
                source=sources.followed,
                progress=stage.progress,
                remotes=stage.remotes,
                holder="catwalk serve",
                on_call=stage.metrics.on_call,
                report=replace(_outside(service, github), channels=channels).report,
                checks_signatures=True,
                host_verifier=github.verifier if github is not None else None,
            )
            connected = await opened.enter_async_context(wired(request))
            endpoint = endpoint_of(local_url, service.worker)
            if service.worker is None:
                opened.enter_context(announced(place, endpoint))
            if isinstance(stage.registry, CrewRegistry):
                await opened.enter_async_context(told(stage.registry))
            log.info("listening", address=local_url, gateway=stage.gateway_url, repository=settings.repo_url)
            lines = AuditLog(sys.stderr.buffer)
            opened.callback(lines.close)
            book = AuditBook(connected.store, connected.ports.clock, readers_of(access, endpoint.local_token))
            made = _manner(service, _Audit(lines=lines, book=book), access, endpoint.local_token)
            await run_fleet(stage, connected, replace(made, proposals=sources.proposed), listener)
    log.info("stopped")


def endpoint_of(local_url: str, worker: Worker | None = None) -> Endpoint:
    """How commands on this machine reach this process, or all workers."""
    token = worker.local_token if worker is not None else secrets.token_urlsafe(32)
    return Endpoint(pid=os.getpid(), gateway_url=local_url, local_token=token)


def _registry(service: Service) -> CollectorRegistry:
    if service.worker is None:
        return CollectorRegistry()
    return CrewRegistry(Crewmate(folder=service.workers_dir, number=service.worker.number))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sources:
    """The repository, read for two purposes."""

    followed: RemoteSource
    proposed: RemoteSource


def _sources(service: Service, github: GitHubAccess | None) -> _Sources:
    settings, state_dir, directory = service.settings, service.place.state_dir, service.directory
    lender = git_lender(settings, github)
    return _Sources(
        followed=remote_source(settings, state_dir, directory=directory, lender=lender),
        proposed=remote_source(settings, state_dir / PROPOSED, directory=directory, lender=lender),
    )


def _outside(service: Service, github: GitHubAccess | None) -> Outside:
    has_buttons = github is not None and github.installation is not None
    manner = ReportSettings(directory=service.directory, repeats=has_buttons)
    return Outside(settings=service.settings, access=github, manner=manner)


def _access(service: Service, gateway_url: str) -> FollowedAccess:
    return FollowedAccess(open_without_rules=service.insecure, base_url=gateway_url, outside=_rules(service))


def _rules(service: Service) -> OutsideRules:
    return OutsideRules(networks=service.settings.outbound_networks)


def _stage(service: Service, address: Address, gateway_url: str, started: float, access: FollowedAccess) -> Stage:
    watch = ReadyWatch(gateway_url=gateway_url, elapsed_s=lambda: time.monotonic() - started, announce=announce_log())
    voices = (access, ClosedNotice(access), LogProgress(), watch)
    return set_stage(gateway_url, address.data_path, _rules(service), *voices, registry=_registry(service))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Audit:
    """Who did what, written down twice: each call in the log, and what a page shows in the store."""

    lines: AuditLog
    book: AuditBook


def _manner(service: Service, audit: _Audit, access: FollowedAccess, local_token: str) -> Manner:
    key = session_key(service.place.state_dir)
    gateway = service_gateway(service.settings, host=service.host, session_key=key)
    return Manner(
        gateway=replace(gateway, observers=(audit.lines,)),
        schedule=ScheduleSettings(
            poll_s=service.poll_s,
            poll_jitter_s=service.poll_s * JITTER,
            health_s=HEALTH_S,
            health_jitter_s=HEALTH_JITTER_S,
        ),
        webhooks=_webhooks(service.settings),
        access=access,
        guards=() if service.insecure else (_guard(audit.book, access, local_token),),
        audit=audit.book,
    )


def _guard(book: AuditBook, access: FollowedAccess, local_token: str) -> Guard:
    return sign_in(access, local_token, refused=lambda: book.sign_in_refused("pages", "unauthenticated"))


class ClosedNotice:
    """Says once in the log that nobody is let in, which is safe and not what anybody wants."""

    def __init__(self, access: FollowedAccess) -> None:
        self._access = access

    def on_event(self, event: ProgressEvent) -> None:
        if isinstance(event, RevisionAccepted) and self._access.closed:
            hint = "name tokens or a provider in `gateway.auth` of the manifest, or start with --insecure"
            log.warning("gateway-closed", hint=hint)


def _webhooks(settings: Settings) -> Webhooks | None:
    repository = github_repository(settings)
    if settings.webhook_secret is None or repository is None:
        return None
    followed = Followed(repository=repository.full_name, branch=settings.branch)
    return Webhooks(secret=settings.webhook_secret, followed=followed)


def local_url_of(host: str, port: int) -> str:
    """How commands on this machine reach the gateway, whatever it listens on."""
    name = host if is_loopback(host) else "127.0.0.1" if ":" not in host else "::1"
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
