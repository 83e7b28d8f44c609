"""One run: a seed, everything that happens, and what was violated."""

import asyncio
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

import httpx

from reconciler.core.actions import Pass
from reconciler.core.types import Trigger
from reconciler.engine.settings import Timings
from reconciler.loop.store.database import open_database
from reconciler.loop.store.sqlite import sqlite_url
from reconciler.loop.store.store import FILE_NAME
from reconciler.report.stores import MemoryOutboxStore
from tests.simulation import ending
from tests.simulation.catwalk import Killed, Life, Outside
from tests.simulation.cloud import ORGANIZATION, TIMINGS, TOKEN, platform
from tests.simulation.determinism import SeededLoop, WallClock, seeded
from tests.simulation.fleetfile import BROKEN, Fleetfile, written
from tests.simulation.invariants import Guard
from tests.simulation.schedule import MOST_CHANGES, Schedule, Step, schedule
from tests.simulation.wire import Client

MEMORY: Final = Path("/dev/shm")
FOREIGN_CONFIG: Final = {"image": "registry.fly.io/something:1", "env": {"SIM_MODE": "well"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    seed: int
    violations: tuple[str, ...]
    passes: int
    kills: int
    faults: int
    """How often a fault acted."""
    simulated_s: float


@dataclass
class Run:
    """A run in progress."""

    plan: Schedule
    outside: Outside
    say: Callable[[str], None]
    life: Life = field(init=False)
    guard: Guard = field(init=False)
    passes: int = 0
    kills: int = 0
    fired: int = 0
    numbers: int = 0

    def __post_init__(self) -> None:
        self.guard = Guard(self.outside, self._in_force, self.say)

    def _in_force(self) -> Fleetfile:
        """What is to run now: what the accepted revision declares, and what held servers went back to."""
        if not self.life.in_force:
            return ()
        servers = self.outside.repository.servers
        return tuple(
            next((old for old in servers(self.life.fallbacks[one.name]) if old.name == one.name), one)
            if self.life.fallbacks.get(one.name)
            else one
            for one in servers(self.life.in_force)
        )

    async def all(self) -> None:
        await self._meet_strangers()
        self._commit(self.plan.first)
        await self._begin()
        await self.run_pass(Trigger.START)
        for step in self.plan.steps:
            self.say(f"{self._time()} {step}")
            await self._take(step)
            self.guard.check_strangers()
        self.say(f"{self._time()} the end: everything is mended")
        self.heal()
        await ending.settle(self)
        self.guard.check_strangers()
        await self.life.end()

    async def run_pass(self, trigger: Trigger, dies_at: tuple[int, bool] | None = None) -> Pass | None:
        """A pass; none when the process was killed in it, and another has begun."""
        self.passes += 1
        try:
            finished = await self.life.run_pass(trigger, dies_at=dies_at)
        except Killed:
            self.kills += 1
            await self._restart()
            return None
        self.guard.passed(finished)
        self.say(f"{self._time()}   {summary(finished)}")
        return finished

    def heal(self) -> None:
        """Ends every fault, but not what faults have left behind."""
        outside = self.outside
        self.fired += outside.platform.faults.fired()
        outside.platform.faults.clear()
        outside.repository.down = outside.registry.down = outside.secrets.tampered = False
        outside.github.down = outside.github.loses = False

    async def commit_last(self) -> str:
        return self._commit(self.plan.last)

    async def _take(self, step: Step) -> None:
        outside = self.outside
        match step.verb:
            case "pass":
                await self.run_pass(step.trigger)
            case "kill":
                await self.run_pass(step.trigger, (step.choice % MOST_CHANGES + 1, step.before))
            case "commit":
                self._commit(step.fleet)
            case "fault":
                assert step.rule is not None
                outside.platform.faults.add(step.rule)
            case "heal":
                self.heal()
            case "time":
                await asyncio.sleep(step.seconds)
            case "clock":
                outside.clock.skew_s += step.seconds
            case "restart":
                await self._restart()
            case _:
                await self._disturb(step)

    async def _disturb(self, step: Step) -> None:
        outside = self.outside
        match step.verb:
            case "source":
                outside.repository.down = True
            case "registry":
                outside.registry.down = True
            case "secrets":
                outside.secrets.tampered = True
            case "github":
                outside.github.down, outside.github.loses = step.choice % 2 == 0, step.choice % 2 == 1
            case _:
                await self._at_a_machine(step)

    async def _at_a_machine(self, step: Step) -> None:
        ours = [one for one in self.outside.platform.machines() if one.id not in self.guard.strangers]
        if not ours:
            return
        machine = ours[step.choice % len(ours)]
        path = f"/v1/apps/{machine.app}/machines/{machine.id}"
        match step.verb:
            case "crash":
                self.outside.platform.crash(machine)
            case "sleep":
                server = next((one for one in self._in_force() if one.app == machine.app), None)
                if server is not None and not server.minimum:
                    await self._somebody("POST", f"{path}/suspend")
            case "meddle" if step.choice % 2:
                await self._somebody("DELETE", f"{path}?force=true")
            case "meddle":
                config = machine.config.model_dump(mode="json", exclude_none=True)
                await self._somebody("POST", path, {"config": {**config, "env": {"MEDDLED": str(step.choice)}}})
            case _:
                await self._stranger(machine.app, f"stranger-{step.choice}")

    def _commit(self, fleet: Fleetfile | None) -> str:
        self.numbers += 1
        content = BROKEN.encode() if fleet is None else written(fleet)
        return self.outside.repository.commit(content)

    async def _begin(self) -> None:
        self.life = Life(self.outside, self.guard)
        await self.life.begin()

    async def _restart(self) -> None:
        await self.life.end()
        await self._begin()

    async def _meet_strangers(self) -> None:
        """Others use the organization too, and one of them a name like ours."""
        for app in ("other", "acme-byhand"):
            await self._somebody("POST", "/v1/apps", {"app_name": app, "name": app, "org_slug": ORGANIZATION})
            await asyncio.sleep(2 * self.plan.lag_s)
            await self._stranger(app, f"{app}-1")

    async def _stranger(self, app: str, name: str) -> None:
        body = {"name": name, "config": FOREIGN_CONFIG}
        known = {machine.id for machine in self.outside.platform.machines()}
        await self._somebody("POST", f"/v1/apps/{app}/machines", body)
        await asyncio.sleep(5 + 2 * self.plan.lag_s)
        self.guard.strangers |= {one.id: one for one in self.outside.platform.machines(app) if one.id not in known}

    async def _somebody(self, method: str, path: str, body: object = None) -> None:
        """A call that is not Catwalk's; it meets the same faults."""
        client = Client(self.outside.platform.wire, {"authorization": f"FlyV1 {TOKEN}"})
        bare, _, query = path.partition("?")
        content = b"" if body is None else json.dumps(body).encode()
        try:
            async with (
                asyncio.timeout(20),
                client.stream(method, bare, params=dict(parse_qsl(query)), content=content) as answer,
            ):
                self.say(f"        somebody: {method} {path} {answer.status_code}")
        except (httpx.HTTPError, TimeoutError) as error:
            self.say(f"        somebody: {method} {path} {type(error).__name__}")

    def _time(self) -> str:
        return f"{asyncio.get_running_loop().time():8.1f}"


def summary(finished: Pass) -> str:
    plan = finished.plan
    counts = f"{len(plan.actions)} now, {len(plan.deferred)} later, {len(plan.held)} held" if plan else "no plan"
    states = " ".join(f"{status.server}={status.state}" for status in finished.statuses)
    problems = "; ".join(map(str, finished.problems))
    return f"pass {finished.number}: {counts}; {states}{f'; {problems}' if problems else ''}"


def silence(_: str) -> None:
    """Says nothing."""


def simulate(seed: int, say: Callable[[str], None] = silence) -> Result:
    """Does one run from its beginning to its end."""
    place, empty = MEMORY if MEMORY.is_dir() else None, _empty_store()
    with tempfile.TemporaryDirectory(prefix="catwalk-sim-", dir=place) as directory, seeded(seed) as loop:
        state_dir = Path(directory) / "state"
        state_dir.mkdir()
        (state_dir / FILE_NAME).write_bytes(empty)
        return loop.run_until_complete(_simulate(seed, Path(directory), loop, say))


@cache
def _empty_store() -> bytes:
    """A store as the migrations leave it: making it anew would be a tenth of each run."""
    with tempfile.TemporaryDirectory(prefix="catwalk-sim-") as directory:
        path = Path(directory) / FILE_NAME
        open_database(sqlite_url(path)).close()
        return path.read_bytes()


async def _simulate(seed: int, directory: Path, loop: SeededLoop, say: Callable[[str], None]) -> Result:
    plan = schedule(seed)
    timings = _lagging(plan.lag_s)
    async with platform(directory / "engine", loop, timings) as found:
        outside = Outside(
            platform=found, state_dir=directory / "state", clock=WallClock(loop), letters=MemoryOutboxStore()
        )
        run = Run(plan, outside, say)
        await run.all()
        faults = [f"engine: {type(error).__name__}: {error}" for error in found.wire.faults]
        return Result(
            seed=seed,
            violations=(*dict.fromkeys((*run.guard.violations, *faults)),),
            passes=run.passes,
            kills=run.kills,
            faults=run.fired,
            simulated_s=loop.time(),
        )


def _lagging(lag_s: float) -> Timings:
    return replace(TIMINGS, replication_lag_s=lag_s, list_lag_s=lag_s)
