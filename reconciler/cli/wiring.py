"""The composition root: the one place where rooms are handed to each other.

Nothing here decides anything. Everything that a pass needs is built from settings and addresses, and given to it as
values.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from gateway.relay import OutsideRules
from reconciler.cli.idle_times import IdleTimes
from reconciler.cli.known_secrets import KnownSecrets
from reconciler.cli.machines_doors import Address, MachinesDoors, open_machines
from reconciler.cli.named_fleet import NamedFleet
from reconciler.cli.place import Place
from reconciler.cli.remote_servers import RemoteServers, WholeFleetProber
from reconciler.cli.reporting import Backstage, Report, Reporting, silent
from reconciler.cli.trusting import commit_trust
from reconciler.core.actions import Pass
from reconciler.core.applied import AppliedState
from reconciler.fly.client import OnCall
from reconciler.loop.applied import SHELF, KeptState, StateReporter, applied_state
from reconciler.loop.clock import SystemClock
from reconciler.loop.leadership import Leadership, LedReporter, holder_name
from reconciler.loop.loose_secrets import LOOSE_SECRETS
from reconciler.loop.passes import Reconciler
from reconciler.loop.ports import HostVerifier, ManifestReader, Reporter, Source
from reconciler.loop.progress import Progress, Silence
from reconciler.loop.setup import PassSettings, Ports
from reconciler.loop.store.digest_key import SameKey, digest_key, given_key
from reconciler.loop.store.store import Store, open_store
from reconciler.loop.trust import SHELF as TRUST
from reconciler.loop.trust import Trust, TrustsAll
from reconciler.settings import Settings
from reconciler.sops.identities import load_identities
from reconciler.sops.server_secrets import ServerSecrets
from reconciler.sops.services.configured import key_environment
from reconciler.sources.manifests import read_manifests
from reconciler.sources.packages import PackageCatalog
from reconciler.sources.sealed import sealed_secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a command wants wired."""

    place: Place
    settings: Settings
    address: Address
    source: Source
    progress: Progress = field(default_factory=Silence)
    report: Report = silent
    """Whom it tells what."""
    holder: str = ""
    """The command, where it acts on the fleet and so must lead it; empty where it only reads."""
    asks_to_lead: bool = False
    """Whether a process that leads is asked to step aside, because a person waits."""
    checks_signatures: bool = False
    """Whether commits take effect only as `policy.signed_commits` has it: right for a fleet that others use."""
    host_verifier: HostVerifier | None = None
    """Asks the git host about signatures; None where there is nobody to ask."""
    on_call: OnCall | None = None
    """Counts requests to the Machines API."""
    idle_times: IdleTimes = field(default_factory=IdleTimes)
    """Learns from the manifests; of use to whoever runs the engine."""
    remotes: RemoteServers | None = None
    """Relays to remote servers; None where the command only asks them how they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """A reconciler with everything around it, ready to run."""

    ports: Ports
    settings: PassSettings
    reconciler: Reconciler
    store: Store
    fleet: NamedFleet
    doors: MachinesDoors
    known_secrets: KnownSecrets
    lead: Leadership | None
    """The right to act, if it was asked for."""
    latest: Pass | None
    """The last pass of an earlier process."""
    reporting: Reporting
    kept_state: KeptState
    """What is in force, as the leader has kept it."""
    plain_reader: ManifestReader
    """Reads manifests and learns nothing from them, as is right for a proposed commit."""


class _Late:
    """What is in force, for a reporter that is made before the reconciler is."""

    def __init__(self) -> None:
        self._reconciler: Reconciler | None = None
        self._digest_key = b""

    def made(self, reconciler: Reconciler, settings: PassSettings) -> Reconciler:
        self._reconciler, self._digest_key = reconciler, settings.digest_key
        return reconciler

    def state(self) -> AppliedState | None:
        desired = self._reconciler.in_force if self._reconciler is not None else None
        return applied_state(desired, sealed_secrets, self._digest_key)


@asynccontextmanager
async def wired(request: Request) -> AsyncGenerator[Wired]:
    """Builds a reconciler and closes its doors in the end.

    Raises:
        EnvironmentFault: no state directory, no usable key file.
    """
    async with AsyncExitStack() as opened:
        settings = _pass_settings(request)
        store, same_key = await _open_store(request, settings, opened)
        secrets = _secrets(request)
        doors = await opened.enter_async_context(_machines(request, secrets))
        remotes = _remotes(request, opened)
        latest = await store.latest_pass()
        plain = partial(read_manifests, environment=request.settings.environment)
        fleet = _named_fleet(request, plain, doors, latest)
        lead = _leadership(request, store)
        memory = store if lead is None else store.fenced(lead)
        reporting = request.report(_backstage(memory, lead, doors, fleet))
        kept_state, late = KeptState(memory.shelf(SHELF)), _Late()
        ports = Ports(
            source=request.source,
            read_manifests=fleet.read_manifests,
            secrets=secrets,
            catalog=await opened.enter_async_context(PackageCatalog()),
            fleet=fleet,
            prober=WholeFleetProber(doors.prober, remotes, secrets.redact),
            remotes=remotes,
            reporter=_led(StateReporter(reporting.reporter, kept_state, late.state), lead),
            memory=memory,
            clock=SystemClock(),
            progress=request.progress,
            gates=() if lead is None else (lead, same_key),
            trust=_trust(request, memory),
            intents=store,
            loose_secrets=memory.shelf(LOOSE_SECRETS),
        )
        yield Wired(
            ports=ports,
            settings=settings,
            reconciler=late.made(Reconciler(ports, settings), settings),
            store=store,
            fleet=fleet,
            doors=doors,
            known_secrets=secrets,
            lead=lead,
            latest=latest,
            reporting=reporting,
            kept_state=kept_state,
            plain_reader=plain,
        )


def _machines(request: Request, secrets: KnownSecrets) -> AbstractAsyncContextManager[MachinesDoors]:
    return open_machines(request.address, secrets.redact, on_call=request.on_call)


def _named_fleet(request: Request, plain: ManifestReader, doors: MachinesDoors, latest: Pass | None) -> NamedFleet:
    known_name = latest.fleet if latest is not None else ""
    return NamedFleet(request.idle_times.learning(plain), doors.open_fleet, known_name=known_name)


def _secrets(request: Request) -> KnownSecrets:
    keys = key_environment(request.settings.key_environment or {})
    return KnownSecrets(ServerSecrets(load_identities(keys)))


async def _open_store(request: Request, settings: PassSettings, opened: AsyncExitStack) -> tuple[Store, SameKey]:
    store = await open_store(request.place.state_dir, SystemClock(), url=request.settings.database_url)
    opened.callback(store.close)
    same_key = SameKey(store, settings.digest_key)
    await same_key.agree(acts=bool(request.holder))
    return store, same_key


def _backstage(memory: Store, lead: Leadership | None, doors: MachinesDoors, fleet: NamedFleet) -> Backstage:
    return Backstage(store=memory, lead=lead, logs=doors.logs, fleet_name=lambda: fleet.name)


def _led(reporter: Reporter, lead: Leadership | None) -> Reporter:
    return reporter if lead is None else LedReporter(reporter, lead)


def _trust(request: Request, memory: Store) -> Trust:
    if not request.checks_signatures:
        return TrustsAll()
    return commit_trust(request.source, memory.shelf(TRUST), request.settings, request.host_verifier)


def _remotes(request: Request, opened: AsyncExitStack) -> RemoteServers:
    remotes = request.remotes or RemoteServers(OutsideRules(networks=request.settings.outbound_networks))
    opened.push_async_callback(remotes.aclose)
    return remotes


def _pass_settings(request: Request) -> PassSettings:
    given = request.settings.digest_key
    return PassSettings(
        runner_image=request.settings.runner_image,
        digest_key=given_key(given) if given is not None else digest_key(request.place.state_dir),
        servers_at_once=request.address.starts_at_once,
        probes_at_once=request.address.probes_at_once,
        lists_lag_s=request.address.lists_lag_s,
    )


def _leadership(request: Request, store: Store) -> Leadership | None:
    if not request.holder:
        return None
    return Leadership(store.leases, holder=holder_name(request.holder), asks=request.asks_to_lead)
