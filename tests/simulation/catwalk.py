"""One life of Catwalk in a run: all its objects, from the start of its process to its end, which may be sudden.

The world outside (the platform, the repository, GitHub, the files of the store) goes on when a life ends. A life that
was killed sends nothing any more, whatever its tasks still try: its wire and its store are dead.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from reconciler.core.actions import Action, Outcome, Pass
from reconciler.core.holds import Hold
from reconciler.core.secret import SecretValue
from reconciler.core.types import Observation, ProbeResult, Revision, Trigger
from reconciler.errors import EnvironmentFault, InvalidManifests, Unavailable
from reconciler.fly.client import MachinesAPI, Timing
from reconciler.fly.fleet import FlyFleet
from reconciler.fly.session import LAG_S
from reconciler.loop.loose_secrets import LOOSE_SECRETS
from reconciler.loop.passes import Reconciler
from reconciler.loop.progress import ProgressEvent, RevisionAccepted
from reconciler.loop.setup import PassSettings, Ports
from reconciler.loop.store.store import Store, open_store
from reconciler.report.outbox import Outbox
from reconciler.report.reporter import GitHubReporter
from reconciler.report.statuses import CommitStatus
from reconciler.report.stores import OutboxStore
from tests.simulation import fleetfile
from tests.simulation.cloud import ORGANIZATION, TOKEN, Platform
from tests.simulation.determinism import WallClock
from tests.simulation.fleetfile import FILE, FLEET, Fleetfile, Secrets
from tests.simulation.wire import Answer, Client

RUNNER_IMAGE: Final = "registry.fly.io/catwalk-runner:0.1.0"
DRAIN_S: Final = 60.0


@dataclass
class Repository:
    """Commits, and a host that may be down."""

    commits: dict[str, bytes] = field(default_factory=dict[str, bytes])
    newest: str = ""
    down: bool = False

    def commit(self, content: bytes) -> str:
        name = hashlib.sha1(f"{len(self.commits)} ".encode() + content).hexdigest()
        self.commits[name] = content
        self.newest = name
        return name

    async def head(self) -> Revision:
        self._answer()
        return Revision(commit=self.newest, branch="main", source="https://github.com/acme/fleet")

    async def files(self, revision: Revision) -> Mapping[str, bytes]:
        self._answer()
        return {FILE: self.commits[revision.commit]}

    def servers(self, commit: str) -> Fleetfile:
        return fleetfile.servers_of({FILE: self.commits[commit]})

    def readable(self, commit: str) -> Fleetfile:
        """The servers of a commit; none where its file is broken."""
        try:
            return self.servers(commit)
        except InvalidManifests:
            return ()

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("git-unreachable", "no answer")


@dataclass
class GitHub:
    """Statuses by commit, oldest first, and a service that may be down or lose its answers."""

    posted: list[CommitStatus] = field(default_factory=list[CommitStatus])
    down: bool = False
    loses: bool = False

    async def statuses(self, sha: str) -> Sequence[CommitStatus]:
        self._answer()
        return [status for status in reversed(self.posted) if status.sha == sha]

    async def post(self, status: CommitStatus) -> None:
        self._answer()
        self.posted.append(status)
        if self.loses:
            raise Unavailable("github-unreachable", "the answer was lost")

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("github-unreachable", "no answer")


class Registry:
    def __init__(self) -> None:
        self.down = False

    async def check(self, reference: object, *, entrypoint: str = "") -> None:
        del reference, entrypoint
        if self.down:
            raise Unavailable("registry-unavailable", "no answer")


@dataclass(kw_only=True)
class Outside:
    """All that outlives a life."""

    platform: Platform
    state_dir: Path
    clock: WallClock
    letters: OutboxStore
    repository: Repository = field(default_factory=Repository)
    github: GitHub = field(default_factory=GitHub)
    registry: Registry = field(default_factory=Registry)
    secrets: Secrets = field(default_factory=Secrets)


class Killed(Exception):
    """The process was killed in the middle of a pass."""


class Witness:
    """Sees every change that a life makes at the platform, before and after. See `invariants`."""

    def before(self, method: str, path: str) -> None: ...

    def after(self, method: str, path: str) -> None: ...

    def observed(self, observation: Observation) -> None: ...

    def begins(self, action: Action) -> None: ...


class _Line(Client):
    """The wire of one life: tells the witness, and dies with its process."""

    def __init__(self, life: "Life", witness: Witness, headers: Mapping[str, str]) -> None:
        super().__init__(life.outside.platform.wire, headers)
        self._life, self._witness = life, witness

    @asynccontextmanager
    async def stream(self, method: str, path: str, **options: Any) -> AsyncIterator[Answer]:  # noqa: ANN401 - handed on.
        if self._life.dead:
            raise httpx.ConnectError("the process is dead")
        if method == "GET":
            async with super().stream(method, path, **options) as answer:
                yield answer
            return
        await self._life.maybe_die(before=True)
        self._witness.before(method, path)
        try:
            async with super().stream(method, path, **options) as answer:
                yield answer
        finally:
            self._witness.after(method, path)
            await self._life.maybe_die(before=False)


class _Eyes:
    """The fleet's door, seen by the witness."""

    def __init__(self, fleet: FlyFleet, witness: Witness) -> None:
        self._fleet, self._witness = fleet, witness

    async def observe(self, *, glance: bool = False) -> Observation:
        seen = await self._fleet.observe(glance=glance)
        self._witness.observed(seen)
        return seen

    async def apply(self, action: Action, *, secrets: Mapping[str, SecretValue], revision: Revision) -> Outcome:
        self._witness.begins(action)
        return await self._fleet.apply(action, secrets=secrets, revision=revision)


class _Prober:
    """Every machine that serves answers, unless its program speaks no MCP."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def probe(self, app: str, *, machine_id: str = "") -> ProbeResult:
        machines = self._platform.machines(app)
        serving = [one for one in machines if self._platform.serves(one) and machine_id in {"", one.id}]
        if not serving:
            return ProbeResult(answered=False, problem="nobody answers")
        mute = (serving[0].config.env or {}).get("SIM_VOICE") == "mute"
        return ProbeResult(answered=not mute, tools=() if mute else ("echo",), problem="no MCP" if mute else "")


class _Mortal:
    """The store of one life: it refuses everything once its process is dead."""

    def __init__(self, store: Store, life: "Life") -> None:
        self._store, self._life = store, life

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - stands for any method of the store.
        if self._life.dead:
            raise EnvironmentFault("dead", "the process is dead")
        return getattr(self._store, name)

    async def holds(self) -> tuple[Hold, ...]:
        found: tuple[Hold, ...] = await self.__getattr__("holds")()
        self._life.fallbacks = {hold.server: hold.fallback for hold in found}
        return found

    async def hold(self, hold: Hold) -> None:
        await self.__getattr__("hold")(hold)
        self._life.fallbacks[hold.server] = hold.fallback

    async def release_holds(self, servers: Collection[str]) -> None:
        await self.__getattr__("release_holds")(servers)
        for server in servers:
            self._life.fallbacks.pop(server, None)


class Life:
    """One process."""

    def __init__(self, outside: Outside, witness: Witness) -> None:
        self.outside, self._witness = outside, witness
        self.dead = False
        self.in_force = ""
        """The commit that the last pass took for what is wanted."""
        self.fallbacks: dict[str, str] = {}
        """The commits that held servers went back to, by server."""
        self._dies_at: tuple[int, bool] | None = None
        self._changes = 0
        self._task: asyncio.Task[Pass] | None = None

    async def begin(self) -> None:
        loop = asyncio.get_running_loop()
        timing = Timing(monotonic=loop.time, fraction=lambda: 0.5)
        self._api = MachinesAPI(base_url="http://127.0.0.1:9", token=SecretValue(TOKEN), timing=timing)
        headers = {"authorization": f"FlyV1 {TOKEN}"}
        await self._api.aclose()
        self._api._http = _Line(self, self._witness, headers)  # type: ignore[assignment] - the part that is used.
        self.store = await open_store(self.outside.state_dir, self.outside.clock)
        self._outbox = Outbox(self.outside.github, self.outside.letters, self.outside.clock)
        self._reporter = GitHubReporter(self._outbox)
        ports = Ports(
            source=self.outside.repository,
            read_manifests=fleetfile.read,
            secrets=self.outside.secrets,
            catalog=self.outside.registry,
            fleet=_Eyes(FlyFleet(self._api, fleet=FLEET, organization=ORGANIZATION), self._witness),
            prober=_Prober(self.outside.platform),
            reporter=self._reporter,
            memory=_Mortal(self.store, self),  # type: ignore[arg-type] - see its class.
            clock=self.outside.clock,
            progress=self,
            intents=self.store,
            loose_secrets=self.store.shelf(LOOSE_SECRETS),
        )
        settings = PassSettings(
            runner_image=RUNNER_IMAGE, digest_key=b"k" * 32, look_again_s=4, window_margin_s=4, lists_lag_s=LAG_S
        )
        self._reconciler = Reconciler(ports, settings)

    def on_event(self, event: ProgressEvent) -> None:
        if isinstance(event, RevisionAccepted):
            self.in_force = event.revision.commit

    async def run_pass(self, trigger: Trigger, *, dies_at: tuple[int, bool] | None = None) -> Pass:
        """One pass, and what it has to say to GitHub.

        Args:
            trigger: why.
            dies_at: kills the process at the so-manieth change, before it is sent (true) or once it is answered.

        Raises:
            Killed: it was.
        """
        self._dies_at, self._changes = dies_at, 0
        self._task = asyncio.ensure_future(self._reconciler.run_pass(trigger))
        try:
            finished = await self._task
        except asyncio.CancelledError:
            if self.dead:
                raise Killed from None
            raise
        finally:
            self._dies_at = None
        await self.say()
        return finished

    async def say(self) -> None:
        """Sends to GitHub what is due."""
        await self._reporter.drain(timeout_s=DRAIN_S)

    async def maybe_die(self, *, before: bool) -> None:
        """Ends the process here if this is where it ends."""
        self._changes += before
        if self._dies_at == (self._changes, before) and not self.dead:
            assert self._task is not None
            self.dead = True
            self._task.cancel()
            await asyncio.Event().wait()

    async def end(self) -> None:
        """Drops everything, as the end of a process does."""
        self.dead = True
        await self._api.aclose()
        self.store.close()
