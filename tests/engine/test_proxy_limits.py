"""Soft and hard limits: where requests go when machines are busy."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

PROGRAM = Path(__file__).with_name("proxied_program.py")
HOST = {"host": "acme-time.flycast"}


@pytest.fixture
def settings(settings):
    return replace(settings, images={"catwalk-runner": (sys.executable, "-S", str(PROGRAM), "{port}")})


def limited(kind="requests", **limits: object):
    check = {"type": "http", "path": "/health", "interval": "1s"}
    concurrency = {"type": kind, **limits}
    return {"services": [{"internal_port": 8080, "autostart": True, "concurrency": concurrency, "checks": [check]}]}


@asynccontextmanager
async def streaming(bench, **headers: str):
    """One request under way for as long as the block lasts."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with bench.proxy.stream("GET", "/endless", headers={**HOST, **names}) as answer:
        pieces = answer.aiter_text()
        assert await anext(pieces)
        yield


async def asleep(bench, **body: object):
    made = await bench.started(**body)
    await bench.api.post(f"{bench.path(made)}/stop")
    await bench.wait(made, "stopped")
    return made


async def ready(bench, **body: object):
    made = await bench.started(**body)
    return await bench.until(made, lambda found: found["checks"] and found["checks"][0]["status"] == "passing")


async def test_above_the_soft_limit_a_request_still_goes_and_one_more_machine_is_started(bench):
    config = limited(soft_limit=1)
    sleeping, busy = await asleep(bench, config=config), await ready(bench, config=config)
    async with streaming(bench):
        assert (await bench.call("/")).text == f"hello from {busy['id']}"
        await bench.until(await bench.wait(sleeping), lambda found: found["checks"])
        assert (await bench.call("/")).text == f"hello from {sleeping['id']}"


async def test_below_the_soft_limit_a_sleeping_machine_sleeps_on(bench):
    config = limited(soft_limit=2)
    sleeping, busy = await asleep(bench, config=config), await ready(bench, config=config)
    async with streaming(bench):
        assert (await bench.call("/")).text == f"hello from {busy['id']}"
        assert (await bench.show(sleeping))["state"] == "stopped"


async def test_a_request_waits_for_room_at_the_hard_limit(bench):
    await ready(bench, config=limited(soft_limit=1, hard_limit=1))
    async with streaming(bench):
        waiting = [asyncio.create_task(bench.call("/")) for _ in range(20)]
        done, _ = await asyncio.wait(waiting, timeout=0.1)
        assert not done
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}


async def test_at_the_hard_limit_another_machine_is_woken(bench):
    config = limited(soft_limit=1, hard_limit=1)
    sleeping, busy = await asleep(bench, config=config), await ready(bench, config=config)
    async with streaming(bench, fly_force_instance_id=busy["id"]):
        assert (await bench.call("/")).text == f"hello from {sleeping['id']}"


async def test_nobody_having_room_in_time_is_a_503_with_its_line(open_bench, quick):
    async with open_bench(quick(queue_s=0.1)) as bench:
        await bench.make_app()
        await ready(bench, config=limited(soft_limit=1, hard_limit=1))
        async with streaming(bench):
            answer = await bench.call("/")
        assert answer.status_code == 503
        assert answer.text.startswith("[PR03] could not find a good candidate within 90 attempts")
        assert answer.text.strip() in await bench.log_text()


async def test_the_hard_limit_is_never_passed_by_requests_that_come_at_once(open_bench, quick):
    async with open_bench(quick(queue_s=15)) as bench:
        await bench.make_app()
        await ready(bench, config=limited(soft_limit=1, hard_limit=3))
        answers = await asyncio.gather(*(bench.call("/together") for _ in range(30)))
        assert {answer.status_code for answer in answers} == {200}
        assert max(json.loads(answer.text)["together"] for answer in answers) == 3


async def test_connections_count_from_their_first_request_to_their_end(open_bench, quick):
    async with open_bench(quick(queue_s=0.1)) as bench:
        await bench.make_app()
        await ready(bench, config=limited("connections", soft_limit=1, hard_limit=1))
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.engine.proxy_port)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: acme-time.flycast\r\n\r\n")
            assert (await reader.readline()).split()[1] == b"200"
            await reader.readuntil(b"hello from ")
            await reader.readexactly(14)
        assert (await bench.call("/")).status_code == 503
        writer.close()
        with anyio.fail_after(10):
            while (await bench.call("/")).status_code != 200:  # noqa: ASYNC110 - the proxy sets no event here.
                await anyio.sleep(0.02)


@pytest.mark.parametrize("header", ["fly_force_region", "fly_prefer_region"])
async def test_a_region_can_be_asked_for(bench, header):
    machines = {region: await ready(bench, region=region) for region in ("ams", "fra")}
    for region, machine in machines.items():
        answer = await bench.call("/", **{header: f"nrt, {region}"})
        assert answer.text == f"hello from {machine['id']}"


async def test_a_forced_region_without_a_machine_is_a_503_and_a_preferred_one_is_not(bench):
    await ready(bench, region="ams")
    assert (await bench.call("/", fly_force_region="nrt")).status_code == 503
    assert (await bench.call("/", fly_prefer_region="nrt")).status_code == 200
