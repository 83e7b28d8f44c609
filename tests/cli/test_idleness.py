"""`scale.idle_after`, from the manifest to a machine that sleeps."""

from pathlib import Path

import httpx
import pytest

from reconciler.cli.idle_times import IdleTimes
from reconciler.core.resolve import machine_config
from reconciler.engine import EngineSettings, Simulation, Timings, run_engine
from reconciler.errors import InvalidManifests
from reconciler.sources.manifests import read_manifests

TOKEN = "fm2_" + "aWRsZQ"
IMAGE = "registry.fly.io/catwalk-runner:0.1.0"


def manifest(**idle_after: str) -> dict[str, bytes]:
    lines = ["apiVersion: catwalk.dev/v1", "fleet: acme", "servers:"]
    for name, span in idle_after.items():
        lines += [f"  {name}:", "    package: pypi:mcp-server-time@2026.10.19", f"    scale: {{idle_after: {span}}}"]
    return {"catwalk.yaml": "\n".join(lines).encode()}


def test_idle_times_are_those_of_the_newest_manifests_that_could_be_read():
    times = IdleTimes()
    read = times.learning(read_manifests)
    assert times.of("acme-time") is None
    read(manifest(time="5s"))
    assert (times.of("acme-time"), times.of("acme-other")) == (5.0, None)
    with pytest.raises(InvalidManifests):
        read(manifest(time="soon"))
    assert times.of("acme-time") == 5.0
    read(manifest(time="5m"))
    assert times.of("acme-time") == 300.0


async def test_a_server_that_nobody_calls_sleeps_after_its_own_idle_time(tmp_path: Path):
    times, world = IdleTimes(), Simulation()
    found = times.learning(read_manifests)(manifest(soon="5s", later="10m"))
    settings = EngineSettings(
        state_dir=tmp_path, token=TOKEN, timings=Timings(autostop_tick_s=2), idle_after_s=times.of
    )
    async with run_engine(settings, simulation=world) as engine, client_of(engine.api_url) as api:
        for spec in found.specs:
            await api.post("/apps", json={"name": spec.app, "org_slug": "personal"})
            await api.post(f"/apps/{spec.app}/machines", json={"config": machine_config(spec, IMAGE)})
        await world.advance(4)
        assert await states(api) == {"acme-soon": "started", "acme-later": "started"}
        await world.advance(4)
        assert await states(api) == {"acme-soon": "suspended", "acme-later": "started"}
        await world.advance(600)
        assert await states(api) == {"acme-soon": "suspended", "acme-later": "suspended"}


def client_of(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"{url}/v1", headers={"authorization": f"FlyV1 {TOKEN}"}, timeout=30)


async def states(api: httpx.AsyncClient) -> dict[str, str]:
    machines = (await api.get("/orgs/personal/machines")).json()["machines"]
    return {machine["app_name"]: machine["state"] for machine in machines}
