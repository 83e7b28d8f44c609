"""The engine beside `reconcile.py`, in a process of its own: simulated machines in real time, and Fly's rate limits."""

import asyncio
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import httpx

from reconciler.engine import EngineSettings, RateLimits, Simulation, Timings, run_engine

NEVER_S: Final = 1e9


async def all_asleep(client: httpx.AsyncClient) -> None:
    query = {"summary": "true", "state": "started"}
    while (await client.get("/orgs/personal/machines", params=query)).json()["machines"]:  # noqa: ASYNC110
        await asyncio.sleep(1)


def engine_process(state_dir: Path, token: str, line: Connection) -> None:
    async def serve() -> None:
        idle_s = NEVER_S

        def idle_after_s(_app: str) -> float:
            return idle_s

        settings = EngineSettings(
            state_dir=state_dir,
            token=token,
            rate_limits=RateLimits(),
            timings=Timings(autostop_tick_s=1),
            idle_after_s=idle_after_s,
        )
        async with run_engine(settings, simulation=Simulation(running=True)) as engine:
            line.send(engine.api_url)
            while (await asyncio.to_thread(line.recv)) is not None:
                idle_s = 0.0
                headers = {"authorization": f"FlyV1 {token}"}
                async with httpx.AsyncClient(base_url=f"{engine.api_url}/v1", headers=headers, timeout=60) as client:
                    await all_asleep(client)
                line.send("asleep")

    asyncio.run(serve())
