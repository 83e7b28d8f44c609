"""What a pass costs by the size of the fleet. Run by hand: `python -m tests.bench.reconcile`.

Two processes on loopback for each size: the engine with the simulated runtime in real time and Fly's rate limits, and a
reconciler with its real doors (git, manifests, store, Machines API), which applies a fleet of that size for the first
time and then runs passes that find nothing to do. Registries and MCP are left out. Memory is the largest resident set
of the reconciler's process. The plot is written beside this file.
"""

import argparse
import asyncio
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import pygit2

from reconciler.cli.machines_doors import FLY_STARTS_AT_ONCE, PROBES_AT_ONCE
from reconciler.core.actions import Pass
from reconciler.core.secret import SecretValue
from reconciler.core.types import ProbeResult, Trigger
from reconciler.fly.client import MachinesAPI
from reconciler.fly.fleet import FlyFleet
from reconciler.fly.session import LAG_S
from reconciler.loop.clock import SystemClock
from reconciler.loop.passes import Reconciler
from reconciler.loop.setup import PassSettings, Ports
from reconciler.loop.store.store import open_store
from reconciler.sops.identities import Identities
from reconciler.sops.server_secrets import ServerSecrets
from reconciler.sources.git.remote import RemoteSource
from reconciler.sources.manifests import read_manifests

TOKEN: Final = "fm2_bench"
PLOT: Final = Path(__file__).with_suffix(".svg")
MIB: Final = 2**20
REST_S: Final = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    servers: int
    first_s: float
    first_cpu_s: float
    refused: int
    """Calls that were answered 429."""
    awake_s: float
    """Median of the passes that find nothing to do, with every machine awake: each is read, for its checks."""
    awake_cpu_s: float
    idle_s: float
    """Median of the passes that find nothing to do, with every machine asleep."""
    idle_cpu_s: float
    memory_mib: float


def manifest(servers: int) -> str:
    head = "apiVersion: catwalk.dev/v1\nfleet: bench\nservers:\n"
    one = "  server-{0}:\n    package: pypi:mcp-server-{0}@1.0.0\n    args: [--zone=Europe/Berlin]\n"
    return head + "".join(one.format(number) for number in range(servers))


def repository(directory: Path, servers: int) -> str:
    """A bare repository with one commit; its address."""
    made = pygit2.init_repository(str(directory), bare=True, initial_head="main")
    tree = made.TreeBuilder()
    tree.insert("catwalk.yaml", made.create_blob(manifest(servers).encode()), pygit2.enums.FileMode.BLOB)
    author = pygit2.Signature("Bench", "bench@example.com", 1_800_000_000, 0)
    made.create_commit("refs/heads/main", author, author, "A fleet", tree.write(), [])
    return directory.as_uri()


class Answers:
    """Stands for the servers: the engine's machines speak no MCP."""

    async def probe(self, app: str, *, machine_id: str = "") -> ProbeResult:
        del app, machine_id
        return ProbeResult(answered=True, tools=("echo",))


class Exists:
    async def check(self, reference: object, *, entrypoint: str = "") -> None:
        del reference, entrypoint


class Nobody:
    async def begin(self, begun: Pass) -> None:
        """Nobody is told."""

    async def report(self, finished: Pass) -> None:
        """Nobody is told."""


@dataclass(slots=True)
class Refused:
    calls: int = 0

    def count(self, _action: str, status: int, _seconds: float) -> None:
        self.calls += status == 429


@asynccontextmanager
async def reconciler(directory: Path, url: str, source_url: str, refused: Refused) -> AsyncIterator[Reconciler]:
    clock = SystemClock()
    store = await open_store(directory / "state", clock)
    async with MachinesAPI(base_url=url, token=SecretValue(TOKEN), on_call=refused.count) as api:
        ports = Ports(
            source=RemoteSource(url=source_url, state_dir=directory / "state", branch="main"),
            read_manifests=read_manifests,
            secrets=ServerSecrets(Identities()),
            catalog=Exists(),
            fleet=FlyFleet(api, fleet="bench", organization="personal"),
            prober=Answers(),
            reporter=Nobody(),
            memory=store,
            clock=clock,
        )
        settings = PassSettings(
            runner_image="registry.fly.io/catwalk-runner:0.1.0",
            digest_key=b"k" * 32,
            servers_at_once=FLY_STARTS_AT_ONCE,
            probes_at_once=PROBES_AT_ONCE,
        )
        yield Reconciler(ports, settings)
    store.close()


async def until_settled(subject: Reconciler) -> None:
    finished: Pass | None = None
    while finished is None or finished.plan is None or finished.plan.actions or not finished.settled:
        finished = await subject.run_pass(Trigger.POLL)


async def timed(subject: Reconciler, trigger: Trigger, rounds: int) -> tuple[float, float]:
    """Median seconds of a pass, and of its processor time."""
    walls, cpus = [], []
    for _ in range(rounds):
        # The client lists the organization once a second at most; a pass that comes sooner waits for that.
        await asyncio.sleep(REST_S)
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        finished = await subject.run_pass(trigger)
        walls.append(time.perf_counter() - wall_s)
        cpus.append(time.process_time() - cpu_s)
        assert finished.plan is not None
        assert finished.plan.empty
    return statistics.median(walls), statistics.median(cpus)


async def measured(directory: Path, url: str, servers: int, rounds: int, line: Connection) -> Figures:
    source_url, refused = repository(directory / "upstream.git", servers), Refused()
    async with reconciler(directory, url, source_url, refused) as subject:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        await subject.run_pass(Trigger.START)
        first_s, first_cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        await until_settled(subject)
        # For a minute after a change the client reads what it touched one by one, because lists may lag.
        await asyncio.sleep(LAG_S + REST_S)
        awake_s, awake_cpu_s = await timed(subject, Trigger.POLL, rounds)
        line.send("let them sleep")
        await asyncio.to_thread(line.recv)
        # The first pass after that reads each machine once more, because all have changed.
        await subject.run_pass(Trigger.POLL)
        idle_s, idle_cpu_s = await timed(subject, Trigger.POLL, rounds)
    return Figures(
        servers=servers,
        first_s=first_s,
        first_cpu_s=first_cpu_s,
        refused=refused.calls,
        awake_s=awake_s,
        awake_cpu_s=awake_cpu_s,
        idle_s=idle_s,
        idle_cpu_s=idle_cpu_s,
        memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB,
    )


def reconciler_process(directory: Path, url: str, servers: int, rounds: int, line: Connection) -> None:
    line.send(asyncio.run(measured(directory, url, servers, rounds, line)))


def run(servers: int, rounds: int) -> Figures:
    from tests.bench.reconcile_engine import engine_process  # noqa: PLC0415  # Its memory is not the reconciler's.

    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="catwalk-bench-") as name:
        directory = Path(name)
        here, there = context.Pipe()
        engine = context.Process(target=engine_process, args=(directory / "engine", TOKEN, there), daemon=True)
        engine.start()
        url = here.recv()
        ours, theirs = context.Pipe()
        arguments = (directory, url, servers, rounds, theirs)
        subject = context.Process(target=reconciler_process, args=arguments, daemon=True)
        subject.start()
        assert ours.recv() == "let them sleep"
        here.send("let them sleep")
        ours.send(here.recv())
        found: Figures = ours.recv()
        subject.join()
        here.send(None)
        engine.join(30)
    return found


def plot(figures: Sequence[Figures]) -> str:
    """Milliseconds of processor time for each server by the size of the fleet, for the three kinds of pass."""
    width, height, left, bottom = 640, 320, 60, 40
    most = max(one.first_cpu_s / one.servers * 1000 for one in figures) * 1.1
    step = (width - left - 30) / max(1, len(figures) - 1)

    def point(number: int, value_ms: float) -> str:
        return f"{left + number * step:.0f},{height - bottom - value_ms / most * (height - bottom - 20):.0f}"

    series = (
        ("first apply", "#1f6feb", [one.first_cpu_s / one.servers * 1000 for one in figures]),
        ("nothing to do, all awake", "#9a6700", [one.awake_cpu_s / one.servers * 1000 for one in figures]),
        ("nothing to do, all asleep", "#2da44e", [one.idle_cpu_s / one.servers * 1000 for one in figures]),
    )
    box = f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {box}>']
    parts += [f'<rect width="{width}" height="{height}" fill="white"/>']
    for number, one in enumerate(figures):
        x = left + number * step
        parts.append(f'<text x="{x:.0f}" y="{height - 15}" text-anchor="middle">{one.servers}</text>')
    parts.append(f'<text x="{width / 2:.0f}" y="{height - 2}" text-anchor="middle">servers</text>')
    parts.append(f'<text x="5" y="14">processor time per server, ms (top: {most:.1f})</text>')
    parts.append(f'<path d="M{left},20 V{height - bottom} H{width - 20}" fill="none" stroke="#888"/>')
    for row, (name, color, values) in enumerate(series):
        line = " ".join(point(number, value) for number, value in enumerate(values))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(f'<text x="{width - 190}" y="{30 + 16 * row}" fill="{color}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sizes", default="10,100,1000")
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    figures = []
    print("| servers | first apply, s | CPU ms | 429s | awake: pass, s | CPU ms | asleep: pass, s | CPU ms | MiB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for size in map(int, chosen.sizes.split(",")):
        one = run(size, chosen.rounds)
        figures.append(one)
        print(
            f"| {one.servers:,} | {one.first_s:.1f} | {one.first_cpu_s / size * 1000:.1f} | {one.refused} "
            f"| {one.awake_s:.2f} | {one.awake_cpu_s / size * 1000:.2f} | {one.idle_s:.2f} "
            f"| {one.idle_cpu_s / size * 1000:.2f} | {one.memory_mib:.0f} |",
            flush=True,
        )
        PLOT.write_text(plot(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
