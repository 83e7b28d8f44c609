"""The autostop loop with real machines, under a clock that passes only when a test says so."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import psutil
import pytest

HOST = {"host": "acme-time.flycast"}
TICK_S, IDLE_S = 60, 300


def idle(autostop="stop", **service: object):
    base = {"internal_port": 8080, "autostart": True, "autostop": autostop, "concurrency": {"type": "requests"}}
    return {"services": [{**base, **service}]}


@pytest.fixture
async def still(open_bench, quick, stepped_clock):
    timings = {"autostop_tick_s": TICK_S, "autostop_idle_s": IDLE_S, "wake_s": 10_000}
    async with open_bench(quick(**timings), clock=stepped_clock) as opened:
        await opened.make_app()
        yield opened


@pytest.fixture
def pass_time(stepped_clock, eventually):
    async def passed(seconds):
        """Lets time pass tick by tick; every tick is over when the loop waits for the next."""
        for _ in range(round(seconds / TICK_S)):
            await eventually(lambda: _waits_for_tick(stepped_clock))
            stepped_clock.advance(TICK_S)
            await eventually(lambda: _waits_for_tick(stepped_clock))

    return passed


@pytest.fixture
def listening(living, eventually):
    """The engine's own pauses between two attempts to connect would never end under a clock that stands still."""

    def listens(process):
        return any(one.status == psutil.CONN_LISTEN for one in process.net_connections())

    async def listened(machine):
        await eventually(lambda: any(listens(process) for process in living(machine["id"])))

    return listened


def _waits_for_tick(clock):
    return any(deadline == clock.time_ns + TICK_S * 10**9 for deadline, _ in clock.sleepers)


def sources(machine, type_):
    return [event["source"] for event in machine["events"] if event["type"] == type_]


async def states(bench, *machines: dict):
    return [(await bench.show(machine))["state"] for machine in machines]


@asynccontextmanager
async def streaming(bench, machine):
    headers = {**HOST, "fly-force-instance-id": machine["id"]}
    async with bench.proxy.stream("GET", "/endless", headers=headers) as answer:
        pieces = answer.aiter_text()
        assert await anext(pieces)
        yield


async def test_a_machine_that_nobody_calls_is_stopped_after_its_idle_time_and_woken_by_the_next_call(
    still, pass_time, listening, stepped_clock
):
    made = await still.started(config=idle())
    await pass_time(IDLE_S - TICK_S)
    assert await states(still, made) == ["started"]
    await pass_time(TICK_S)
    await still.wait(made, "stopped")
    lines = await still.log_text()
    assert f"App acme-time has excess capacity, autostopping machine {made['id']}. 0 out of 1 machines left" in lines
    calling = asyncio.create_task(still.call("/"))
    await listening(made)
    stepped_clock.advance(1)
    assert (await calling).text == f"hello from {made['id']}"


async def test_the_proxy_is_named_as_the_source_of_what_it_does(still, pass_time, listening, stepped_clock):
    made = await still.started(config=idle())
    await pass_time(IDLE_S)
    asleep = await still.wait(made, "stopped")
    assert sources(asleep, "stop") == ["proxy"]
    assert sources(asleep, "launch") == ["user"]
    calling = asyncio.create_task(still.call("/"))
    await listening(made)
    stepped_clock.advance(1)
    await calling
    woken = await still.show(made)
    assert "proxy" in sources(woken, "start")
    assert sources(woken, "exit") == ["flyd"]
    await still.api.post(f"{still.path(made)}/stop")
    assert sources(await still.show(made), "stop") == ["user", "proxy"]


async def test_a_suspension_by_the_proxy_names_it_too(still, pass_time):
    made = await still.started(config=idle("suspend"))
    await pass_time(IDLE_S)
    assert sources(await still.wait(made, "suspended"), "suspend") == ["flyd", "proxy"]


async def test_an_app_with_an_idle_time_of_its_own_sleeps_after_that(open_bench, quick, stepped_clock, pass_time):
    own = {"acme-time": 5.0}
    settings = replace(quick(autostop_tick_s=TICK_S, autostop_idle_s=IDLE_S, wake_s=10_000), idle_after_s=own.get)
    async with open_bench(settings, clock=stepped_clock) as bench:
        await bench.make_app()
        await bench.make_app("acme-git")
        soon = await bench.started(config=idle("suspend"))
        later = (await bench.make_machine(app="acme-git", config=idle()))["id"]
        await bench.api.get(f"/apps/acme-git/machines/{later}/wait?state=started")
        await pass_time(TICK_S)
        await bench.wait(soon, "suspended")
        assert (await bench.api.get(f"/apps/acme-git/machines/{later}")).json()["state"] == "started"
        own["acme-git"] = 5.0
        await pass_time(TICK_S)
        stopped = await bench.api.get(f"/apps/acme-git/machines/{later}/wait?state=settled")
        assert stopped.json()["state"] == "stopped"


async def test_a_call_begins_the_idle_time_anew(still, pass_time, listening):
    made = await still.started(config=idle())
    await listening(made)
    await pass_time(IDLE_S - TICK_S)
    await still.call("/")
    await pass_time(IDLE_S - TICK_S)
    assert await states(still, made) == ["started"]
    await pass_time(TICK_S)
    await still.wait(made, "stopped")


async def test_an_open_event_stream_keeps_its_machine_awake(still, pass_time, listening):
    made = await still.started(config=idle())
    await listening(made)
    async with streaming(still, made):
        await pass_time(2 * IDLE_S)
        assert await states(still, made) == ["started"]
    assert (await still.call("/left")).status_code == 200
    await pass_time(IDLE_S)
    await still.wait(made, "stopped")


async def test_health_checks_keep_nothing_awake(still, pass_time):
    checks = [{"type": "http", "path": "/health", "interval": "10s"}]
    made = await still.started(config=idle(checks=checks))
    await pass_time(IDLE_S)
    await still.wait(made, "stopped")


async def test_a_suspended_machine_goes_on_with_its_memory_at_the_next_call(still, pass_time, listening):
    made = await still.started(config=idle("suspend"))
    await listening(made)
    before = (await still.environment())["pid"]
    await pass_time(IDLE_S)
    await still.wait(made, "suspended")
    assert (await still.environment())["pid"] == before
    await still.wait(made)


async def test_a_machine_too_large_to_be_suspended_is_stopped(still, pass_time):
    guest = {"cpu_kind": "shared", "cpus": 2, "memory_mb": 4096}
    made = await still.started(config={**idle("suspend"), "guest": guest})
    await pass_time(IDLE_S)
    await still.wait(made, "stopped")


async def test_one_machine_of_a_region_sleeps_at_each_tick(still, pass_time):
    near = [await still.started(config=idle(), region="ams") for _ in range(3)]
    far = await still.started(config=idle(), region="fra")
    await pass_time(IDLE_S)
    await still.wait(far, "stopped")
    for left in (2, 1, 0):
        stopping = [state for state in await states(still, *near) if state != "started"]
        assert len(stopping) == 3 - left
        await pass_time(TICK_S)


async def test_the_minimum_of_the_primary_region_stays_awake(still, pass_time):
    config = idle(min_machines_running=1)
    near = [await still.started(config=config, region="ams") for _ in range(2)]
    far = await still.started(config=config, region="fra")
    await pass_time(IDLE_S + 5 * TICK_S)
    await still.wait(far, "stopped")
    assert sorted(await states(still, *near)) == ["started", "stopped"]


@pytest.mark.parametrize(
    "config",
    [idle("off"), {"services": []}, {"services": [*idle()["services"], *idle("off", internal_port=9090)["services"]]}],
    ids=["off", "no-service", "one-service-says-off"],
)
async def test_a_machine_without_autostop_stays_awake(still, pass_time, config):
    made = await still.started(config=config)
    await pass_time(2 * IDLE_S)
    assert await states(still, made) == ["started"]


async def test_a_machine_that_somebody_holds_a_lease_on_is_left_alone(still, pass_time):
    made = await still.started(config=idle())
    held = await still.api.post(f"{still.path(made)}/lease", json={"ttl": IDLE_S + 10})
    assert held.status_code == 201
    await pass_time(IDLE_S)
    assert await states(still, made) == ["started"]
    await pass_time(TICK_S)
    await still.wait(made, "stopped")


async def test_nothing_is_stopped_while_a_request_waits_for_the_app(still, pass_time):
    idle_one = await still.started(config=idle(), region="ams")
    unwell = await still.started(
        config={**idle(checks=[{"type": "http", "path": "/health"}]), "env": {"HEALTH_STATUS": "503"}}, region="fra"
    )
    headers = {"fly_force_instance_id": unwell["id"]}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: still.call("/", **headers))
        await pass_time(2 * IDLE_S)
        assert await states(still, idle_one, unwell) == ["started", "started"]
        tasks.cancel_scope.cancel()
