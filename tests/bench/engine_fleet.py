"""What a thousand machines cost the engine. Run by hand: `python -m tests.bench.engine_fleet`.

Two processes on loopback: `catwalk engine --runtime simulated` (real time, every machine with one HTTP check each five
seconds), and this program, which makes one app and one machine for each server over HTTP, as Catwalk does, lists the
organization, and restarts the engine on the same state. Memory is the resident set of the engine's process once all
machines run and are checked. The restart is the time from the start of the engine's `run_engine` to its first answered
org-wide list; beside it stands the same from the start of the process, with Python and its imports.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import psutil
import uvloop

from reconciler.engine import EngineSettings, Simulation, run_engine

TOKEN = "fm2_bench"
CHECK = {
    "type": "http",
    "method": "GET",
    "path": "/health",
    "interval": "5s",
    "timeout": "4s",
    "grace_period": "5s",
}
SERVICE = {
    "protocol": "tcp",
    "internal_port": 8080,
    "autostop": "suspend",
    "autostart": True,
    "min_machines_running": 0,
    "ports": [{"port": 80, "handlers": ["http"]}],
    "concurrency": {"type": "requests", "soft_limit": 200},
    "checks": [CHECK],
}
TOGETHER = 16
"""Creates under way at once."""


def config_of(number: int) -> dict[str, object]:
    """What Catwalk sends for a server."""
    return {
        "image": "registry.fly.io/catwalk-runner:0.1.0",
        "init": {"cmd": ["--", f"pypi:mcp-server-{number}@2026.10.19"]},
        "env": {"LOG_LEVEL": "info", "REGION_HINT": "ams"},
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512},
        "restart": {"policy": "on-failure", "max_retries": 10},
        "stop_config": {"signal": "SIGTERM", "timeout": "10s"},
        "metadata": {
            "catwalk_fleet": "bench",
            "catwalk_server": f"server-{number}",
            "catwalk_digest": f"sha256:{number:064d}",
            "catwalk_revision": f"{number:040d}",
        },
        "services": [SERVICE],
    }


async def serve(state_dir: Path, line: Connection) -> None:
    began_s = time.perf_counter()
    settings = EngineSettings(state_dir=state_dir, token=TOKEN)
    async with run_engine(settings, simulation=Simulation(running=True)) as engine:
        line.send((engine.api_url, time.perf_counter() - began_s))
        await asyncio.to_thread(line.recv)


def engine_process(state_dir: Path, line: Connection) -> None:
    # As the command does.
    uvloop.run(serve(state_dir, line))


@dataclass(slots=True)
class Running:
    """One engine in a process of its own."""

    process: multiprocessing.Process
    line: Connection
    url: str
    ready_s: float
    """From the call of `run_engine` to the beginning of its block."""
    began_s: float
    """When the process was started, by the clock of this program."""

    def memory_mib(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    def client(self) -> httpx.AsyncClient:
        headers = {"authorization": f"FlyV1 {TOKEN}"}
        return httpx.AsyncClient(base_url=f"{self.url}/v1", headers=headers, timeout=60)

    def stop(self) -> float:
        began_s = time.perf_counter()
        self.line.send(None)
        self.process.join(60)
        return time.perf_counter() - began_s


def start(state_dir: Path) -> Running:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=engine_process, args=(state_dir, theirs), daemon=True)
    began_s = time.perf_counter()
    process.start()
    url, ready_s = ours.recv()
    return Running(process=process, line=ours, url=url, ready_s=ready_s, began_s=began_s)


async def fill(client: httpx.AsyncClient, machines: int) -> None:
    turns = asyncio.Semaphore(TOGETHER)

    async def make(number: int) -> None:
        app = f"bench-server-{number}"
        async with turns:
            made = await client.post("/apps", json={"name": app, "org_slug": "personal", "network": app})
            made.raise_for_status()
            body = {"name": f"server-{number}-1", "region": "ams", "config": config_of(number)}
            (await client.post(f"/apps/{app}/machines", json=body)).raise_for_status()

    async with asyncio.TaskGroup() as tasks:
        for number in range(machines):
            tasks.create_task(make(number))


async def listed(client: httpx.AsyncClient, machines: int, **query: str) -> float:
    """Seconds for the whole fleet, read as JSON, over as many pages as it takes."""
    began_s = time.perf_counter()
    seen, cursor = 0, ""
    while not seen or cursor:
        answer = (await client.get("/orgs/personal/machines", params={**query, "cursor": cursor})).json()
        seen, cursor = seen + len(answer["machines"]), answer["next_cursor"]
    assert seen == machines, f"{seen} of {machines} machines were listed"
    return time.perf_counter() - began_s


async def all_started(client: httpx.AsyncClient, machines: int) -> None:
    async with asyncio.timeout(120):
        while (await count_started(client)) < machines:  # noqa: ASYNC110 - the engine is another process.
            await asyncio.sleep(0.2)


async def count_started(client: httpx.AsyncClient) -> int:
    query = {"summary": "true", "state": "started"}
    return len((await client.get("/orgs/personal/machines", params=query)).json()["machines"])


async def first_life(engine: Running, machines: int, rounds: int) -> dict[str, float]:
    empty_mib = engine.memory_mib()
    async with engine.client() as client:
        began_s = time.perf_counter()
        await fill(client, machines)
        filled_s = time.perf_counter() - began_s
        await all_started(client, machines)
        # Every machine has been checked twice by then.
        await asyncio.sleep(12)
        whole = [await listed(client, machines) for _ in range(rounds)]
        short = [await listed(client, machines, summary="true") for _ in range(rounds)]
    return {
        "create, s": filled_s,
        "list, median ms": statistics.median(whole) * 1000,
        "list, worst ms": max(whole) * 1000,
        "list of summaries, median ms": statistics.median(short) * 1000,
        "memory empty, MiB": empty_mib,
        "memory, MiB": engine.memory_mib(),
    }


async def second_life(engine: Running, machines: int) -> dict[str, float]:
    async with engine.client() as client:
        first_s = await listed(client, machines)
        whole_s = time.perf_counter() - engine.began_s
        await asyncio.sleep(7)
    return {
        "restart to the first list, s": engine.ready_s + first_s,
        "restart with Python and its imports, s": whole_s,
        "memory after the restart, MiB": engine.memory_mib(),
    }


async def measured(state_dir: Path, machines: int, rounds: int) -> dict[str, float]:
    engine = await asyncio.to_thread(start, state_dir)
    figures = await first_life(engine, machines, rounds)
    figures["stop, s"] = await asyncio.to_thread(engine.stop)
    engine = await asyncio.to_thread(start, state_dir)
    figures |= await second_life(engine, machines)
    await asyncio.to_thread(engine.stop)
    return figures


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--machines", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=15)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figures = asyncio.run(measured(Path(directory), chosen.machines, chosen.rounds))
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}, indent=2))


if __name__ == "__main__":
    main()
