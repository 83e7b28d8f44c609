"""Sleeping and failing servers behind the embedded engine's proxy: held, started once, and told why not."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.breaker import Breakers, ServerDown
from gateway.relay import UpstreamBroken, UpstreamUnreachable
from reconciler.engine import EngineSettings, Timings, run_engine
from tests.gateway.conftest import RunningGateway, gateway_to, reply, serve

pytestmark = pytest.mark.usefixtures("data_path")
PROGRAM = Path(__file__).parents[1] / "engine" / "proxied_program.py"
TOKEN = "fm2_" + "dG9rZW4"
CALLERS = 100
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """One app on an engine, and a gateway in front of it."""

    api: httpx.AsyncClient
    client: httpx.AsyncClient
    gateway: RunningGateway

    async def machine(self, *words: str, asleep: bool) -> str:
        check = {"type": "http", "method": "GET", "path": "/health", "interval": "1s", "timeout": "4s"}
        service = {"protocol": "tcp", "internal_port": 8080, "autostart": True, "autostop": "off"}
        config: dict[str, Any] = {
            "image": "registry.fly.io/catwalk-runner:0.1.0",
            "init": {"cmd": list(words)},
            "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
            "restart": {"policy": "no"},
            "services": [{**service, "ports": [{"port": 80, "handlers": ["http"]}], "checks": [check]}],
        }
        made = await self.api.post("/apps/acme-time/machines", json={"config": config, "skip_launch": asleep})
        assert made.status_code == 200, made.text
        query = {"state": "stopped" if asleep else "started", "timeout": "20", "version": made.json()["instance_id"]}
        waited = await self.api.get(f"/apps/acme-time/machines/{made.json()['id']}/wait", params=query)
        assert waited.status_code == 200, waited.text
        return made.json()["id"]

    async def starts(self, machine: str) -> int:
        events = (await self.api.get(f"/apps/acme-time/machines/{machine}")).json()["events"]
        return sum((event["type"], event["status"]) == ("start", "starting") for event in events)

    async def calls(self, count: int) -> list[httpx.Response]:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(self.client.post(self.gateway.mcp, content=PING)) for _ in range(count)]
        return [call.result() for call in calls]


@pytest.fixture
async def fleet(tmp_path) -> AsyncIterator[Fleet]:
    settings = EngineSettings(
        state_dir=tmp_path / "state",
        token=TOKEN,
        images={"catwalk-runner": (sys.executable, "-S", str(PROGRAM), "{port}")},
        base_environment={"PATH": "/usr/bin:/bin"},
        timings=Timings(startup_check_interval_s=0.02, backoff_first_s=0.01, backoff_limit_s=0.05, wake_s=15),
    )
    async with (
        run_engine(settings) as engine,
        httpx.AsyncClient(
            base_url=f"{engine.api_url}/v1", headers={"authorization": f"FlyV1 {TOKEN}"}, timeout=60
        ) as api,
        httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=200)) as client,
        gateway_to(engine.proxy_port, server_note=lambda server: f"{server}: package-not-found") as gateway,
    ):
        await api.post("/apps", json={"name": "acme-time", "org_slug": "personal", "network": "acme-time"})
        yield Fleet(api=api, client=client, gateway=gateway)


async def test_a_hundred_calls_wake_a_sleeping_server_once(fleet):
    machine = await fleet.machine(asleep=True)
    answers = await fleet.calls(CALLERS)
    assert {answer.status_code for answer in answers} == {200}
    assert await fleet.starts(machine) == 1


async def test_a_failed_start_tells_every_caller_the_cause(fleet):
    machine = await fleet.machine("--exit", "70", asleep=True)
    answers = await fleet.calls(CALLERS)
    assert {answer.status_code for answer in answers} == {503}
    for answer in answers:
        error = answer.json()["error"]
        assert error["data"]["code"] == "server-down"
        assert "did not stay started" in error["message"]
        assert "package-not-found" in error["message"]
        assert answer.headers["retry-after"] == "2"
    assert await fleet.starts(machine) == 1


async def test_a_failing_server_rests_and_is_not_started_by_every_caller(fleet):
    machine = await fleet.machine("--exit", "70", asleep=True)
    for _ in range(20):
        [answer] = await fleet.calls(1)
        assert answer.json()["error"]["data"]["code"] == "server-down"
    assert await fleet.starts(machine) < 10


async def test_a_server_that_recovers_is_served_again():
    recovered, clock = [False], [0.0]

    async def upstream(scope, receive, send):
        await receive()
        if recovered[0]:
            await reply(send, 200, b"{}", ((b"catwalk-machine", b"148e2d"),))
        else:
            await reply(send, 503, b"[PM07] failed", ((b"content-type", b"text/plain"), (b"fly-request-id", b"01-iad")))

    async with (
        httpx.AsyncClient() as client,
        serve(upstream) as port,
        gateway_to(port, monotonic=lambda: clock[0]) as gateway,
    ):
        for _ in range(6):
            assert (await client.post(gateway.mcp, content=PING)).json()["error"]["data"]["code"] == "server-down"
        recovered[0] = True
        assert (await client.post(gateway.mcp, content=PING)).status_code == 503
        clock[0] += 3
        for _ in range(3):
            assert (await client.post(gateway.mcp, content=PING)).status_code == 200


async def test_an_answer_of_the_server_itself_is_not_taken_for_the_proxys():
    async def upstream(scope, receive, send):
        await receive()
        await reply(send, 503, b"busy", ((b"catwalk-machine", b"148e2d"), (b"fly-request-id", b"01-iad")))

    async with httpx.AsyncClient() as client, serve(upstream) as port, gateway_to(port) as gateway:
        for _ in range(10):
            assert (await client.post(gateway.mcp, content=PING)).text == "busy"


def refused(breakers: Breakers) -> bool:
    try:
        breakers.check("time")
    except ServerDown:
        return True
    return False


def test_after_a_rest_one_call_tries_alone():
    clock = [0.0]
    breakers = Breakers(lambda: clock[0])
    for _ in range(5):
        assert not refused(breakers)
        breakers.note("time", UpstreamUnreachable("refused"))
    assert refused(breakers)
    clock[0] = 2.5
    assert [refused(breakers) for _ in range(3)] == [False, True, True]
    breakers.answered("time")
    assert not refused(breakers)


def test_a_broken_answer_is_no_reason_to_rest():
    breakers = Breakers(lambda: 0.0)
    for _ in range(50):
        breakers.note("time", UpstreamBroken("nonsense"))
    assert not refused(breakers)
