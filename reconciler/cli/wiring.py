"""The composition root: the one place where rooms are handed to each other.

Nothing here decides anything. Everything that a pass needs is built from settings and addresses, and given to it as
values.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from reconciler.cli.idle_times import IdleTimes
from reconciler.cli.known_secrets import KnownSecrets
from reconciler.cli.machines_doors import Address, MachinesDoors, open_machines
from reconciler.cli.named_fleet import NamedFleet
from reconciler.cli.place import Place
from reconciler.core.actions import Pass
from reconciler.loop.clock import SystemClock
from reconciler.loop.passes import Reconciler
from reconciler.loop.ports import Reporter, Source
from reconciler.loop.progress import Progress, Silence
from reconciler.loop.setup import PassSettings, Ports
from reconciler.loop.store.digest_key import digest_key
from reconciler.loop.store.store import Store, open_store
from reconciler.report.reporter import NullReporter
from reconciler.settings import Settings
from reconciler.sops.identities import load_identities
from reconciler.sops.server_secrets import ServerSecrets
from reconciler.sources.manifests import read_manifests
from reconciler.sources.packages import PackageCatalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a command wants wired."""

    place: Place
    settings: Settings
    address: Address
    source: Source
    progress: Progress = field(default_factory=Silence)
    reporter: Reporter = field(default_factory=NullReporter)
    idle_times: IdleTimes = field(default_factory=IdleTimes)
    """Learns from the manifests; of use to whoever runs the engine."""


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
    latest: Pass | None
    """The last pass of an earlier process."""


@asynccontextmanager
async def wired(request: Request) -> AsyncGenerator[Wired]:
    """Builds a reconciler and closes its doors in the end.

    Raises:
        EnvironmentFault: no state directory, no usable key file.
    """
    clock = SystemClock()
    async with AsyncExitStack() as opened:
        store = await open_store(request.place.state_dir, clock, url=request.settings.database_url)
        opened.callback(store.close)
        secrets = KnownSecrets(ServerSecrets(load_identities(request.settings.age_environment or {})))
        doors = await opened.enter_async_context(open_machines(request.address, secrets.redact))
        catalog = await opened.enter_async_context(PackageCatalog())
        latest = await store.latest_pass()
        read = request.idle_times.learning(read_manifests)
        fleet = NamedFleet(read, doors.open_fleet, known_name=latest.fleet if latest else "")
        ports = Ports(
            source=request.source,
            read_manifests=fleet.read_manifests,
            secrets=secrets,
            catalog=catalog,
            fleet=fleet,
            prober=doors.prober,
            reporter=request.reporter,
            memory=store,
            clock=clock,
            progress=request.progress,
        )
        settings = PassSettings(
            runner_image=request.settings.runner_image, digest_key=digest_key(request.place.state_dir)
        )
        yield Wired(
            ports=ports,
            settings=settings,
            reconciler=Reconciler(ports, settings),
            store=store,
            fleet=fleet,
            doors=doors,
            known_secrets=secrets,
            latest=latest,
        )
