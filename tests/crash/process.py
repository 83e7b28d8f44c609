"""The process that is killed: one Catwalk with its real doors, which runs passes until nothing is left to do.

Everything outside of it lives elsewhere: the engine with the machines, GitHub, the repository, the database. Its time
is the engine's, so that both agree on when a lease or a wait is over; a pause moves that time on instead of waiting.
"""

import json
import os
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx

from reconciler.core.actions import Pass
from reconciler.core.secret import SecretValue
from reconciler.core.types import ProbeResult, ServerState, Trigger
from reconciler.fly.client import MachinesAPI, Timing
from reconciler.fly.fleet import FlyFleet
from reconciler.loop.leadership import Leadership, LedReporter, holder_name
from reconciler.loop.loose_secrets import LOOSE_SECRETS
from reconciler.loop.passes import Reconciler
from reconciler.loop.setup import PassSettings, Ports
from reconciler.loop.store.digest_key import digest_key
from reconciler.loop.store.store import open_store
from reconciler.report.github import GitHub, PersonalToken, RepositoryStatuses
from reconciler.report.outbox import Outbox
from reconciler.report.reporter import GitHubReporter
from reconciler.report.repository import Repository
from reconciler.report.stores import LETTERS, ShelfOutboxStore
from reconciler.sops.identities import load_identities
from reconciler.sops.server_secrets import ServerSecrets
from reconciler.sources.git.remote import RemoteSource
from reconciler.sources.manifests import read_manifests
from tests.crash.points import Point, Recorder, watched

FLEET, ORGANIZATION = "acme", "acme-org"
RUNNER_IMAGE = "registry.fly.io/catwalk-runner:0.1.0"
MOST_PASSES = 40
BETWEEN_PASSES_S = 10.0
DRAIN_S = 20.0
LEAD_PATIENCE_S = 20.0
SLOWLY = 20.0
"""By which the process's own sense of its lease is slowed, so that a busy machine does not cost it the lead: that is
proven elsewhere. The restarted process must get the lead from the dead one all the same."""
WELL = frozenset({ServerState.READY, ServerState.IDLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What one process is told at its start."""

    engine_url: str
    engine_token: str = field(repr=False)
    github_url: str
    github_token: str = field(repr=False)
    upstream_url: str
    state_dir: Path
    database_url: str
    age_key: str = field(repr=False)
    log: Path
    """Where its side effects are written down."""
    result: Path
    """Where it tells how it ended, if it does."""
    output: Path
    """What it says on standard output and error."""
    fatal: Point | None = None


class EngineTime:
    """The engine's time: moved on by every pause of the process."""

    def __init__(self, engine: httpx.AsyncClient, now: datetime) -> None:
        self._engine = engine
        self._began, self._began_s = now, time.monotonic()
        self._skipped_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped_s

    def now(self) -> datetime:
        return self._began + timedelta(seconds=self.monotonic() - self._began_s)

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            answer = await self._engine.post("/_engine/clock", json={"advance_s": seconds})
            answer.raise_for_status()
            self._skipped_s += seconds

    async def pause(self, event: anyio.Event, timeout_s: float) -> bool:
        if not event.is_set():
            await self.sleep(timeout_s)
        return event.is_set()


class EveryServerAnswers:
    """A simulated machine speaks no MCP; what its health checks say is the engine's and stays real."""

    async def probe(self, app: str, *, machine_id: str = "") -> ProbeResult:
        del app, machine_id
        return ProbeResult(answered=True, tools=("echo",))


class EveryPackageExists:
    async def check(self, reference: object, *, entrypoint: str = "") -> None:
        """Registries are no part of this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catwalk:
    reconciler: Reconciler
    reporter: GitHubReporter
    time: EngineTime


def live(life: Life) -> None:
    """The whole life of one process."""
    descriptor = os.open(life.output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    with watched(Recorder(life.log, life.fatal)):
        anyio.run(_live, life)


async def _live(life: Life) -> None:
    async with opened(life) as catwalk:
        finished = await run_until_done(catwalk)
        life.result.write_text(json.dumps(finished), encoding="utf-8")


async def run_until_done(catwalk: Catwalk) -> dict[str, Any]:
    """Passes until one finds nothing to do and everything well; tells of how many, and of the last."""
    trigger = Trigger.START
    for number in range(1, MOST_PASSES + 1):
        finished = await catwalk.reconciler.run_pass(trigger)
        said = await catwalk.reporter.drain(timeout_s=DRAIN_S)
        if said and _is_done(finished):
            return {"done": True, "passes": number, "commit": _commit(finished), "words": _words(finished)}
        trigger = Trigger.HEALTH
        await catwalk.time.sleep(BETWEEN_PASSES_S)
    return {"done": False, "passes": MOST_PASSES, "commit": _commit(finished), "words": _words(finished)}


def _is_done(finished: Pass) -> bool:
    plan = finished.plan
    idle = plan is not None and plan.empty and not plan.deferred and not plan.held
    return idle and finished.settled and all(status.state in WELL for status in finished.statuses)


def _commit(finished: Pass) -> str:
    return finished.applied_revision.commit if finished.applied_revision else ""


def _words(finished: Pass) -> list[str]:
    """What a person needs to see why it is not done."""
    plan = finished.plan
    left = [] if plan is None else [*plan.actions, *plan.deferred, *plan.held]
    unwell = [status for status in finished.statuses if status.state not in WELL]
    return [str(found) for found in (*finished.problems, *left, *unwell)]


@asynccontextmanager
async def opened(life: Life) -> AsyncGenerator[Catwalk]:
    """Everything wired as the product wires it, with the engine in Fly's place."""
    async with AsyncExitStack() as stack:
        engine_time = await stack.enter_async_context(_engine_time(life))
        timing = Timing(monotonic=engine_time.monotonic, sleep=engine_time.sleep, fraction=lambda: 0.5)
        token = SecretValue(life.engine_token)
        api = await stack.enter_async_context(MachinesAPI(base_url=life.engine_url, token=token, timing=timing))
        github = await stack.enter_async_context(
            GitHub(life.github_url, PersonalToken(SecretValue(life.github_token)), engine_time)
        )
        key = digest_key(life.state_dir)
        store = await open_store(life.state_dir, engine_time, url=life.database_url)
        stack.callback(store.close)
        lead = Leadership(store.leases, holder=holder_name("catwalk serve"), elapsed=lambda: time.monotonic() / SLOWLY)
        statuses = RepositoryStatuses(github, Repository(host="github.com", owner="acme", name="fleet"))
        letters = ShelfOutboxStore(store.fenced(lead).shelf(LETTERS))
        reporter = GitHubReporter(Outbox(statuses, letters, engine_time, turn=lead, sleep=engine_time.sleep))
        source = RemoteSource(url=life.upstream_url, state_dir=life.state_dir, branch="main")
        ports = Ports(
            source=source,
            read_manifests=read_manifests,
            secrets=ServerSecrets(load_identities({"SOPS_AGE_KEY": life.age_key})),
            catalog=EveryPackageExists(),
            fleet=FlyFleet(api, fleet=FLEET, organization=ORGANIZATION),
            prober=EveryServerAnswers(),
            reporter=LedReporter(reporter, lead),
            memory=store.fenced(lead),
            clock=engine_time,
            pause=engine_time.pause,
            gates=(lead,),
            intents=store,
            loose_secrets=store.fenced(lead).shelf(LOOSE_SECRETS),
        )
        reconciler = Reconciler(ports, PassSettings(runner_image=RUNNER_IMAGE, digest_key=key))
        await stack.enter_async_context(lead.held(patience_s=LEAD_PATIENCE_S))
        yield Catwalk(reconciler=reconciler, reporter=reporter, time=engine_time)


@asynccontextmanager
async def _engine_time(life: Life) -> AsyncGenerator[EngineTime]:
    headers = {"Authorization": f"FlyV1 {life.engine_token}"}
    async with httpx.AsyncClient(base_url=life.engine_url, headers=headers, trust_env=False) as engine:
        now = datetime.fromisoformat((await engine.get("/_engine/clock")).json()["now"])
        yield EngineTime(engine, now.astimezone(UTC))
