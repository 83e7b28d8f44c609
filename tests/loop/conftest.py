"""A small world for the loop: in-memory doubles of our own ports, with faults that a test switches on.

The doubles keep state as the real doors do (machines that exist stay, a name is taken once), so that a test can ask
what became of the world after several passes. Time moves only when the loop waits or a test says so.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel
import pytest

from reconciler.core.actions import (
    Action,
    AllocateAddress,
    Cordon,
    Create,
    CreateApp,
    Destroy,
    DestroyApp,
    Outcome,
    Pass,
    Plan,
    SetSecrets,
    Start,
    Stop,
    Uncordon,
    Update,
)
from reconciler.core.attempts import attempt_of
from reconciler.core.holds import GoodServer, Hold
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.problems import Location, Problem
from reconciler.core.secret import SecretValue
from reconciler.core.setbacks import Setback
from reconciler.core.types import (
    Check,
    CheckState,
    MachineState,
    Observation,
    ObservedApp,
    ObservedMachine,
    OutcomeKind,
    PackageReference,
    ProbeResult,
    Registry,
    Revision,
    Scale,
    SecretDeclaration,
    ServerSpec,
    ServerStatus,
    Trigger,
)
from reconciler.errors import CatwalkError, InvalidManifests
from reconciler.loop.passes import Reconciler
from reconciler.loop.ports import ServerSecrets
from reconciler.loop.progress import Progress, ProgressEvent
from reconciler.loop.setup import PassSettings, Ports
from reconciler.loop.signals import Signals
from reconciler.loop.store.setbacks import Failure, failure_after
from tests.postgres import Cluster, cluster, programs

EPOCH = datetime(2026, 11, 24, 12, tzinfo=UTC)
CANARY = "canary-5b1f0e"


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = EPOCH

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@dataclass
class FakeSource:
    """Commits by name. `head_error` and `files_error` are raised while they are set."""

    newest: str = "one"
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    head_error: Exception | None = None
    files_error: Exception | None = None
    reads: list[str] = field(default_factory=list)

    async def head(self) -> Revision:
        await anyio.lowlevel.checkpoint()
        if self.head_error is not None:
            raise self.head_error
        return revision(self.newest)

    async def files(self, wanted: Revision) -> Mapping[str, bytes]:
        await anyio.lowlevel.checkpoint()
        self.reads.append(wanted.subject)
        if self.files_error is not None:
            raise self.files_error
        return self.commits[wanted.subject]


def revision(name: str) -> Revision:
    return Revision(commit=hashlib.sha1(name.encode()).hexdigest(), branch="main", source="/repository", subject=name)


def read_manifests(files: Mapping[str, bytes]) -> ManifestSet:
    """Each word of the one manifest is a server: `name=package@version*awake`; `secret` as package asks for a secret.

    `!` breaks the file.
    """
    words = files["catwalk.yaml"].decode().split()
    if "!" in words:
        problem = Problem(
            code="unknown-key", message="unknown key", location=Location(file="catwalk.yaml", line=3, column=5)
        )
        raise InvalidManifests((problem, replace(problem, code="no-package", message="no package")))
    return ManifestSet(fleet="acme", organization="acme", specs=tuple(spec(word) for word in sorted(words)))


def spec(word: str) -> ServerSpec:
    name, _, rest = word.partition("=")
    secret = SecretDeclaration(name="TOKEN", file="catwalk.yaml", inline=True)
    rest, _, awake = rest.partition("*")
    package, _, version = rest.partition("@")
    return ServerSpec(
        fleet="acme",
        name=name,
        package=PackageReference(registry=Registry.PYPI, name=name, version=version or "1"),
        secrets=(secret,) if package == "secret" else (),
        suspended=package == "suspended",
        scale=Scale(minimum=int(awake or 0), maximum=max(1, int(awake or 0))),
        location=Location(file="catwalk.yaml", line=7),
    )


@dataclass
class FakeSecrets:
    errors: dict[str, Exception] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    value: str = CANARY

    async def read(self, wanted: ServerSpec, files: Mapping[str, bytes]) -> ServerSecrets:
        await anyio.lowlevel.checkpoint()
        assert "catwalk.yaml" in files
        self.reads.append(wanted.name)
        if wanted.name in self.errors:
            raise self.errors[wanted.name]
        value = files.get("token", self.value.encode()).decode()
        return {name: SecretValue(value) for name in wanted.secret_names}


@dataclass
class FakeCatalog:
    errors: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def check(self, reference: PackageReference, *, entrypoint: str = "") -> None:
        await anyio.lowlevel.checkpoint()
        assert not entrypoint
        self.asked.append(reference.name)
        if reference.name in self.errors:
            raise self.errors[reference.name]


@dataclass
class FakeFleet:
    """Machines that become healthy `boot_s` seconds after they were created or updated."""

    clock: ManualClock
    boot_s: float = 3.0
    apps: set[str] = field(default_factory=set)
    machines: dict[str, ObservedMachine] = field(default_factory=dict)
    applied: list[Action] = field(default_factory=list)
    secrets: dict[str, list[str]] = field(default_factory=dict)
    incomplete: str = ""
    observe_error: Exception | None = None
    failing: dict[str, Exception | Problem] = field(default_factory=dict)
    """By the class name of an action, or `Class server`."""
    output: str = '{"state": "installing", "cause": null, "detail": "fetching"}'
    broken: dict[str, str] = field(default_factory=dict)
    """What the adapter answers for ever, by a word in the configuration or the secrets of the machine."""
    before_apply: Callable[[Action], None] = lambda _: None
    running: int = 0
    most_running: int = 0
    looks: list[str] = field(default_factory=list)

    async def observe(self, *, glance: bool = False) -> Observation:
        self.looks.append("glance" if glance else "look")
        await anyio.lowlevel.checkpoint()
        if self.observe_error is not None:
            raise self.observe_error
        apps = tuple(ObservedApp(name=name) for name in sorted(self.apps))
        machines = tuple(self._seen(machine) for machine in self.machines.values())
        return Observation(
            apps=apps, machines=machines, complete=not self.incomplete, incomplete_reason=self.incomplete
        )

    def _seen(self, machine: ObservedMachine) -> ObservedMachine:
        assert machine.updated_at is not None
        ready = self.clock.now() - machine.updated_at >= timedelta(seconds=self.boot_s)
        configured = " ".join([machine.config, *self.secrets.get(machine.app, [])])
        broken = next((output for word, output in self.broken.items() if word in configured), "")
        check = Check(
            name="health",
            state=CheckState.PASSING if ready and not broken else CheckState.CRITICAL,
            output=broken or ('{"state": "ready"}' if ready else self.output),
        )
        awake = machine.state is MachineState.STARTED
        return replace(machine, checks=(check,) if awake else ())

    async def apply(self, action: Action, *, secrets: ServerSecrets, revision: Revision) -> Outcome:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            self.before_apply(action)
            return self._apply(action, secrets, revision)
        finally:
            self.running -= 1

    def _apply(self, action: Action, secrets: ServerSecrets, revision: Revision) -> Outcome:
        kind = type(action).__name__
        fault = self.failing.get(f"{kind} {action.server}") or self.failing.get(kind)
        if isinstance(fault, Problem):
            return Outcome(action=action, kind=OutcomeKind.FAILED, detail=fault.message, problem=fault)
        if fault is not None:
            raise fault
        self.applied.append(action)
        self._change(action, revision)
        if isinstance(action, SetSecrets):
            self.secrets[action.app] = [value.reveal() for value in secrets.values()]
        return Outcome(action=action, kind=OutcomeKind.APPLIED)

    def _change(self, action: Action, revision: Revision) -> None:
        match action:
            case CreateApp():
                self.apps.add(action.app)
            case Create():
                assert action.app in self.apps, "a machine needs its app"
                assert all(found.name != action.machine.name for found in self.machines.values()), "the name is taken"
                self._put(action.machine.name, action, revision)
            case Update():
                self._put(action.machine.name, action, revision)
            case Start():
                self._set(action.machine_id, MachineState.STARTED)
            case Stop():
                self._set(action.machine_id, MachineState.STOPPED)
            case Destroy():
                self.machines = {key: found for key, found in self.machines.items() if found.id != action.machine_id}
            case DestroyApp():
                self.machines = {key: found for key, found in self.machines.items() if found.app != action.app}
                self.apps.discard(action.app)
            case Cordon() | Uncordon():
                self._rotate(action.machine_id, cordoned=isinstance(action, Cordon))
            case AllocateAddress() | SetSecrets():
                pass

    def _put(self, name: str, action: Create | Update, revision: Revision) -> None:
        machine = action.machine
        self.machines[name] = ObservedMachine(
            app=machine.app,
            id=hashlib.sha256(name.encode()).hexdigest()[:14],
            name=name,
            state=MachineState.STARTED,
            region=machine.region,
            instance_id=machine.digest[:8],
            fleet="acme",
            server=machine.server,
            digest=machine.digest,
            revision=revision.commit,
            config=machine.config,
            updated_at=self.clock.now(),
        )

    def create(self, action: Create) -> None:
        """Makes the machine without telling anybody."""
        self._put(action.machine.name, action, revision("one"))

    def _set(self, machine_id: str, state: MachineState) -> None:
        for name, found in self.machines.items():
            if found.id == machine_id:
                self.machines[name] = replace(found, state=state)

    def _rotate(self, machine_id: str, *, cordoned: bool) -> None:
        for name, found in self.machines.items():
            if found.id == machine_id:
                self.machines[name] = replace(found, cordoned=cordoned)

    def change(self, name: str, **changes: object) -> None:
        """Something happens to a machine from outside."""
        self.machines[name] = replace(self.machines[name], **changes)  # type: ignore[arg-type]  # Tests name fields.


@dataclass
class FakeProber:
    results: dict[str, ProbeResult] = field(default_factory=dict)
    probed: list[str] = field(default_factory=list)
    error: Exception | None = None

    async def probe(self, app: str, *, machine_id: str = "") -> ProbeResult:
        await anyio.lowlevel.checkpoint()
        assert machine_id, "the verdict is about a machine"
        self.probed.append(app)
        if self.error is not None:
            raise self.error
        return self.results.get(app, ProbeResult(answered=True, tools=("get_time",)))


@dataclass
class FakeReporter:
    reported: list[Pass] = field(default_factory=list)
    begun: list[Pass] = field(default_factory=list)
    error: Exception | None = None

    async def begin(self, begun: Pass) -> None:
        await anyio.lowlevel.checkpoint()
        self.begun.append(begun)
        if self.error is not None:
            raise self.error

    async def report(self, finished: Pass) -> None:
        await anyio.lowlevel.checkpoint()
        self.reported.append(finished)
        if self.error is not None:
            raise self.error


@dataclass
class FakeMemory:
    """What the store keeps, in lists, in the order in which it was told."""

    number: int = 0
    diary: list[tuple[str, object]] = field(default_factory=list)
    good: list[Revision] = field(default_factory=list)
    apps: set[str] = field(default_factory=set)
    known: tuple[ServerStatus, ...] = ()
    failing: dict[str, Exception] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=ManualClock)
    failures: dict[tuple[str, str], Failure] = field(default_factory=dict)
    good_by_server: dict[str, GoodServer] = field(default_factory=dict)
    held: dict[str, Hold] = field(default_factory=dict)
    confirmed: dict[str, datetime] = field(default_factory=dict)
    agreed: dict[str, datetime] = field(default_factory=dict)

    def _enter(self, name: str, value: object = None) -> None:
        if name in self.failing:
            raise self.failing[name]
        self.diary.append((name, value))

    async def next_number(self) -> int:
        self._enter("number")
        self.number += 1
        return self.number

    async def record_intents(self, number: int, plan: Plan) -> None:
        assert number == self.number
        self._enter("intents", plan)
        self.apps |= {action.app for action in plan.actions}

    async def record_outcome(self, number: int, outcome: Outcome) -> None:
        assert number == self.number
        self._enter("outcome", outcome)
        if isinstance(outcome.action, DestroyApp) and outcome.kind is OutcomeKind.APPLIED:
            self.apps.discard(outcome.action.app)
            self._forget_server(outcome.action.server)
            return
        key = (outcome.action.server, attempt_of(outcome.action).machine)
        failure = failure_after(outcome, self.failures.pop(key, None), self.clock.now())
        if failure is not None:
            self.failures[key] = failure

    def _forget_server(self, server: str) -> None:
        self.failures = {key: found for key, found in self.failures.items() if key[0] != server}
        self.good_by_server.pop(server, None)
        self.held.pop(server, None)

    async def record_pass(self, finished: Pass) -> None:
        self._enter("pass", finished)
        self.known = finished.statuses

    async def last_good(self) -> Revision | None:
        self._enter("last good")
        return self.good[-1] if self.good else None

    async def keep_last_good(self, revision: Revision) -> None:
        self._enter("keep", revision)
        self.good.append(revision)

    async def owned_apps(self) -> frozenset[str]:
        self._enter("owned")
        return frozenset(self.apps)

    async def statuses(self) -> tuple[ServerStatus, ...]:
        self._enter("statuses")
        return self.known

    async def setbacks(self) -> tuple[Setback, ...]:
        self._enter("setbacks")
        return tuple(self.failures[key].setback for key in sorted(self.failures))

    async def good_servers(self) -> Mapping[str, GoodServer]:
        self._enter("good servers")
        return dict(self.good_by_server)

    async def keep_good_servers(self, arrived: Sequence[GoodServer]) -> None:
        self._enter("keep servers", tuple(arrived))
        self.good_by_server.update((good.server, good) for good in arrived)

    async def holds(self) -> tuple[Hold, ...]:
        self._enter("holds")
        return tuple(self.held[server] for server in sorted(self.held))

    async def hold(self, hold: Hold) -> None:
        self._enter("hold", hold)
        self.held[hold.server] = hold

    async def release_holds(self, servers: Collection[str]) -> None:
        self._enter("release", tuple(servers))
        for server in servers:
            self.held.pop(server, None)

    async def confirm_prune(self, digest: str) -> None:
        self._enter("confirm", digest)
        self.confirmed[digest] = self.clock.now()

    async def confirmed_prunes(self) -> frozenset[str]:
        self._enter("confirmed")
        oldest = self.clock.now() - timedelta(hours=24)
        return frozenset(digest for digest, at in self.confirmed.items() if at > oldest)

    async def agreed_apps(self) -> frozenset[str]:
        self._enter("agreed")
        oldest = self.clock.now() - timedelta(hours=24)
        return frozenset(app for app, at in self.agreed.items() if at > oldest)

    async def keep_agreed_apps(self, apps: Collection[str]) -> None:
        self._enter("keep agreed", frozenset(apps))
        self.agreed = {app: self.agreed.get(app, self.clock.now()) for app in apps}

    async def use_prune(self, digest: str) -> None:
        self._enter("use", digest)
        self.confirmed.pop(digest, None)


@dataclass
class Ear:
    """Remembers what it heard."""

    events: list[ProgressEvent] = field(default_factory=list)

    def on_event(self, event: ProgressEvent) -> None:
        self.events.append(event)

    def heard(self, kind: type) -> list[ProgressEvent]:
        return [event for event in self.events if isinstance(event, kind)]


class World:
    """All the doubles together, and the reconciler between them."""

    canary = CANARY
    mute = ProbeResult(answered=False, problem="no MCP answer")
    bug = ZeroDivisionError(f"a bug that saw {CANARY}")
    settings = PassSettings(runner_image="runner:1", digest_key=b"k" * 32)

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.source = FakeSource()
        self.secrets = FakeSecrets()
        self.catalog = FakeCatalog()
        self.fleet = FakeFleet(clock=self.clock)
        self.prober = FakeProber()
        self.reporter = FakeReporter()
        self.memory = FakeMemory(clock=self.clock)
        self.ear = Ear()
        self.pauses: list[float] = []
        self.on_pause: Callable[[], None] = lambda: None
        self.ports = Ports(
            source=self.source,
            read_manifests=read_manifests,
            secrets=self.secrets,
            catalog=self.catalog,
            fleet=self.fleet,
            prober=self.prober,
            reporter=self.reporter,
            memory=self.memory,
            clock=self.clock,
            progress=self.ear,
            pause=self.pause,
        )
        self.restart()

    def restart(self) -> None:
        """The process ends and another begins, with the memory of the first."""
        self.reconciler = Reconciler(self.ports, self.settings)

    def listen(self, progress: Progress) -> None:
        """Another listener hears the passes."""
        self.ports = replace(self.ports, progress=progress)
        self.restart()

    async def pause(self, event: anyio.Event, timeout_s: float) -> bool:
        await anyio.lowlevel.checkpoint()
        assert len(self.pauses) < 1_000, "the loop waits for ever"
        self.pauses.append(timeout_s)
        self.clock.advance(timeout_s)
        self.on_pause()
        return event.is_set()

    def commit(self, name: str, manifest: str, **files: str) -> Revision:
        extra = {path: text.encode() for path, text in files.items()}
        self.source.commits[name] = {"catwalk.yaml": manifest.encode(), **extra}
        self.source.newest = name
        return revision(name)

    async def run(self, trigger: Trigger = Trigger.COMMIT, *, expected_digest: str = "", **cuts: anyio.Event) -> Pass:
        signals = Signals(**cuts)
        return await self.reconciler.run_pass(trigger, signals=signals, expected_digest=expected_digest)

    def states(self, finished: Pass) -> dict[str, str]:
        return {status.server: status.state.value for status in finished.statuses}

    def done(self) -> list[str]:
        return [f"{type(action).__name__} {action.server}" for action in self.fleet.applied]

    def error(self, kind: type[CatwalkError], code: str = "broken", message: str = "it is broken") -> CatwalkError:
        return kind(code, message)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def codes() -> Callable[[Sequence[Problem]], list[str]]:
    return lambda problems: [problem.code for problem in problems]


@pytest.fixture(scope="session")
def new_world() -> type[World]:
    """For tests that need a fresh world for every example."""
    return World


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server for this session, one for each worker of xdist."""
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    with cluster(found) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of either kind, as CATWALK_DATABASE_URL names it; empty for the file in the state directory."""
    if request.param == "sqlite":
        return ""
    running: Cluster = request.getfixturevalue("postgres")
    return running.url(running.new_database())
