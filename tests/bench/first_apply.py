"""How much of what Fly's rate limits allow a first apply uses. Run by hand: `python -m tests.bench.first_apply`.

Fly counts calls by action and app or machine, and every server is an app of its own. So the limits allow as many
servers side by side as there are, and bind each by itself: a fleet can be applied in the time that one server takes.
That time is measured first, then that of the fleet, with as many servers at once as `catwalk serve` works at, or as
many as are asked for; the quotient of the two is the part that is made use of. Planner, loop, store, engine and client
with its limits of what is under way at once are the real ones, in one process whose time is made up: neither this
computer nor its network is measured. The engine enforces Fly's limits; what it refuses is counted.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from reconciler.cli.machines_doors import FLY_STARTS_AT_ONCE, PROBES_AT_ONCE
from reconciler.core.actions import Pass
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.secret import SecretValue
from reconciler.core.types import (
    IdleAction,
    PackageReference,
    ProbeResult,
    Registry,
    Revision,
    Scale,
    ServerSpec,
    ServerState,
    Trigger,
)
from reconciler.engine import RateLimits
from reconciler.fly.client import MachinesAPI, Timing
from reconciler.fly.fleet import FlyFleet
from reconciler.loop.passes import Reconciler
from reconciler.loop.setup import PassSettings, Ports
from reconciler.loop.store.store import open_store
from reconciler.report.reporter import NullReporter
from tests.simulation.cloud import ORGANIZATION, TIMINGS, TOKEN, Platform, platform
from tests.simulation.determinism import SeededLoop, WallClock, seeded
from tests.simulation.wire import Client

FLEET: Final = "acme"
MEMORY: Final = Path("/dev/shm")
PROBE_S: Final = 0.02
"""What an MCP answer takes: three exchanges in one region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    servers: int
    at_once: int
    start_s: float
    """What a machine takes to start; it is healthy two seconds later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    applied_s: float
    """Of made-up time, from the start of the pass to its end, when every server was seen ready."""
    refused: int
    """Calls that were answered 429."""
    calls: int
    waits: int
    """Of the calls; most of the others are the same for each server."""
    cpu_s: float


class Upstream:
    """One commit."""

    async def head(self) -> Revision:
        return Revision(commit="a" * 40, branch="main", source="https://github.com/acme/fleet")

    async def files(self, _revision: Revision) -> Mapping[str, bytes]:
        return {"catwalk.yaml": b""}


class Answers:
    async def probe(self, app: str, *, machine_id: str = "") -> ProbeResult:
        del app, machine_id
        await asyncio.sleep(PROBE_S)
        return ProbeResult(answered=True, tools=("echo",))


class Exists:
    async def check(self, reference: object, *, entrypoint: str = "") -> None:
        del reference, entrypoint


class NoSecrets:
    async def read(self, spec: ServerSpec, files: Mapping[str, bytes]) -> Mapping[str, SecretValue]:
        del spec, files
        return {}


def manifests(servers: int) -> ManifestSet:
    specs = [
        ServerSpec(
            fleet=FLEET,
            name=f"server-{number:04}",
            package=PackageReference(registry=Registry.PYPI, name=f"mcp-server-{number}", version="1.0.0"),
            scale=Scale(minimum=0, maximum=1, idle=IdleAction.SUSPEND),
        )
        for number in range(servers)
    ]
    return ManifestSet(fleet=FLEET, organization=ORGANIZATION, specs=tuple(specs))


async def apply_all(found: Platform, state_dir: Path, loop: SeededLoop, case: Case) -> tuple[Pass, Counter[str]]:
    counted: Counter[str] = Counter()

    def count(action: str, status: int, _seconds: float) -> None:
        counted.update([action, str(status), "all"])

    clock = WallClock(loop)
    api = MachinesAPI(
        base_url="http://127.0.0.1:9",
        token=SecretValue(TOKEN),
        timing=Timing(monotonic=loop.time, fraction=lambda: 0.5),
        on_call=count,
    )
    await api.aclose()
    api._http = Client(found.wire, {"authorization": f"FlyV1 {TOKEN}"})  # type: ignore[assignment]  # The part in use.
    store = await open_store(state_dir, clock)
    ports = Ports(
        source=Upstream(),
        read_manifests=lambda _files: manifests(case.servers),
        secrets=NoSecrets(),
        catalog=Exists(),
        fleet=FlyFleet(api, fleet=FLEET, organization=ORGANIZATION),
        prober=Answers(),
        reporter=NullReporter(),
        memory=store,
        clock=clock,
    )
    settings = PassSettings(
        runner_image="registry.fly.io/catwalk-runner:0.1.0",
        digest_key=b"k" * 32,
        servers_at_once=case.at_once,
        probes_at_once=PROBES_AT_ONCE,
    )
    finished = await Reconciler(ports, settings).run_pass(Trigger.COMMIT)
    store.close()
    return finished, counted


async def measured(loop: SeededLoop, directory: Path, case: Case) -> Figures:
    begun_s = time.process_time()
    timings = replace(TIMINGS, start_s=case.start_s)
    async with platform(directory / "engine", loop, timings, rate_limits=RateLimits()) as found:
        (directory / "state").mkdir()
        before_s = loop.time()
        finished, counted = await apply_all(found, directory / "state", loop, case)
        applied_s = loop.time() - before_s
    states = {status.state for status in finished.statuses}
    assert states == {ServerState.READY}, (states, finished.problems[:3])
    assert len(finished.statuses) == case.servers
    return Figures(
        applied_s=applied_s,
        refused=counted["429"],
        calls=counted["all"],
        waits=counted["wait"],
        cpu_s=time.process_time() - begun_s,
    )


def run(case: Case) -> Figures:
    place = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="catwalk-bench-", dir=place) as directory, seeded(0) as loop:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(measured(loop, Path(directory), case))


def tell(case: Case, found: Figures, alone: Figures) -> None:
    part = alone.applied_s / found.applied_s
    figures = f"{found.applied_s:.1f} | {part:.2f} | {found.refused} | {found.calls:,} | {found.waits:,}"
    print(f"| {case.start_s:g} | {case.servers:,} | {case.at_once:,} | {figures} | {found.cpu_s:.1f} |", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--servers", type=int, default=1000)
    options.add_argument("--at-once", default=str(FLY_STARTS_AT_ONCE), help="how many are worked at side by side")
    options.add_argument("--start", default="0.5,5,30", help="seconds that a machine takes to start")
    chosen = options.parse_args()
    print("| start, s | servers | at once | first apply, s | of what the limits allow | 429s | calls | waits | CPU s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for start_s in map(float, chosen.start.split(",")):
        one = Case(servers=1, at_once=1, start_s=start_s)
        alone = run(one)
        tell(one, alone, alone)
        for at_once in map(int, chosen.at_once.split(",")):
            case = Case(servers=chosen.servers, at_once=at_once, start_s=start_s)
            tell(case, run(case), alone)


if __name__ == "__main__":
    main()
