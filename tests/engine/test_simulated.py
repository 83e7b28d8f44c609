"""The simulated runtime: machines that are a state and a time, under a clock that is advanced by hand."""

import asyncio
import signal
from dataclasses import replace

import anyio
import pytest

from reconciler.engine import Behaviour, Simulation, Timings
from reconciler.engine.steering import SteerableClock

HOUR_S = 3600


@pytest.fixture
def world():
    return Simulation(default=Behaviour(healthy_after_s=10))


@pytest.fixture
async def still(open_bench, settings, world):
    """An engine of simulated machines whose clock stands still."""
    async with open_bench(replace(settings, images={}, timings=Timings()), simulation=world) as opened:
        await opened.make_app()
        yield opened


async def test_a_simulated_machine_starts_without_a_process_and_is_healthy_when_the_script_says(still, world):
    made = await still.make_machine(config={"image": "anything/at-all:1"})
    await world.advance(9.5)
    found = await still.show(made)
    assert (found["state"], found["checks"][0]["status"]) == ("started", "critical")
    await world.advance(1)
    assert (await still.show(made))["checks"][0]["status"] == "passing"


async def test_a_machine_that_never_gets_healthy_runs_on(still, world):
    world.behave("acme-time", Behaviour(healthy_after_s=None))
    made = await still.make_machine()
    await world.advance(300)
    found = await still.show(made)
    assert (found["state"], found["checks"][0]["status"]) == ("started", "critical")


async def test_a_crash_loop_ends_with_the_retries_that_the_policy_allows(still, world):
    world.behave("acme-time", Behaviour(exit_after_s=2, exit_code=70, prints=("about to fail",)))
    made = await still.make_machine(config={"restart": {"policy": "on-failure", "max_retries": 3}})
    await world.advance(60)
    found = await still.show(made)
    exits = [event["request"]["exit_event"] for event in found["events"] if event["type"] == "exit"]
    assert found["state"] in {"stopped", "failed"}
    assert [event["exit_code"] for event in exits] == [70] * 4
    assert (await still.log_text()).count("about to fail") == 4


async def test_an_exit_for_lack_of_memory_says_so(still, world):
    world.behave("acme-time", Behaviour(exit_after_s=5, out_of_memory=True))
    made = await still.make_machine(config={"restart": {"policy": "no"}})
    await world.advance(5)
    event = next(event for event in (await still.show(made))["events"] if event["type"] == "exit")
    assert event["request"]["exit_event"]["oom_killed"] is True
    assert event["request"]["exit_event"]["exit_code"] == 137


async def test_a_deaf_machine_is_killed_when_its_time_to_stop_is_over(still, world):
    world.behave("acme-time", Behaviour(stop_s=None))
    made = await still.make_machine(config={"stop_config": {"signal": "SIGTERM", "timeout": "30s"}})
    await world.rest()
    await still.api.post(f"{still.path(made)}/stop")
    await world.advance(29)
    assert (await still.show(made))["state"] == "stopping"
    await world.advance(2)
    found = await still.show(made)
    event = next(event for event in found["events"] if event["type"] == "exit")
    assert (found["state"], event["request"]["exit_event"]["signal"]) == ("stopped", signal.SIGKILL)


async def test_a_machine_that_takes_its_time_stops_by_itself(still, world):
    world.behave("acme-time", Behaviour(stop_s=3))
    made = await still.make_machine()
    await world.rest()
    await still.api.post(f"{still.path(made)}/stop")
    await world.advance(2)
    assert (await still.show(made))["state"] == "stopping"
    await world.advance(1)
    found = await still.show(made)
    event = next(event for event in found["events"] if event["type"] == "exit")
    assert (found["state"], event["request"]["exit_event"]["exit_code"]) == ("stopped", 0)


async def test_a_suspended_machine_does_not_go_on_until_it_is_resumed(still, world):
    world.behave("acme-time", Behaviour(exit_after_s=10, exit_code=3))
    made = await still.make_machine(config={"restart": {"policy": "no"}})
    await world.advance(5)
    suspended = await still.api.post(f"{still.path(made)}/suspend")
    assert suspended.status_code == 200, suspended.text
    await world.advance(60)
    assert (await still.show(made))["state"] == "suspended"
    await still.api.post(f"{still.path(made)}/start")
    await world.advance(1)
    assert (await still.show(made))["state"] == "stopped"


async def test_a_call_that_waits_is_answered_when_time_has_come(still, world):
    world.behave("acme-time", Behaviour(exit_after_s=20, exit_code=0))
    made = await still.make_machine()
    query = {"state": "stopped", "timeout": "60", "version": made["instance_id"]}
    async with asyncio.TaskGroup() as calls:
        before = world.clock.waits
        held = calls.create_task(still.api.get(f"{still.path(made)}/wait", params=query))
        with anyio.fail_after(10):
            while world.clock.waits == before:  # noqa: ASYNC110 - the call comes over a socket.
                await asyncio.sleep(0)
        await world.advance(20)
    assert held.result().json()["state"] == "stopped"


async def test_a_lease_ends_with_the_time_that_passes(still, world):
    made = await still.make_machine(skip_launch=True)
    await still.api.post(f"{still.path(made)}/lease", json={"ttl": 600})
    await world.advance(599)
    assert (await still.api.get(f"{still.path(made)}/lease")).status_code == 200
    await world.advance(2)
    assert (await still.api.get(f"{still.path(made)}/lease")).status_code == 404


async def test_every_run_of_a_script_has_the_same_times(open_bench, settings, tmp_path):
    async def story(name):
        world = Simulation(default=Behaviour(exit_after_s=7, exit_code=3))
        changed = replace(settings, state_dir=tmp_path / name, timings=Timings())
        async with open_bench(changed, simulation=world) as bench:
            await bench.make_app()
            made = await bench.make_machine()
            await world.advance(120)
            return [(event["type"], event["timestamp"]) for event in (await bench.show(made))["events"]]

    assert await story("first") == await story("second")


async def test_simulated_machines_run_again_after_a_restart_of_the_engine(open_bench, settings):
    async with open_bench(settings, simulation=Simulation()) as first:
        await first.make_app()
        made = await first.make_machine()
        await first.wait(made)
    world = Simulation()
    async with open_bench(settings, simulation=world) as second:
        await world.advance(10)
        found = await second.show(made)
    assert (found["id"], found["state"]) == (made["id"], "started")


async def test_an_engine_with_deaf_machines_and_a_standing_clock_still_ends(open_bench, settings):
    with anyio.fail_after(20):
        async with open_bench(settings, simulation=Simulation(default=Behaviour(stop_s=None))) as bench:
            await bench.make_app()
            found = await bench.wait(await bench.make_machine())
    assert found["state"] == "started"


async def test_a_running_simulation_needs_nobody_to_advance_it(open_bench, settings):
    world = Simulation(running=True, default=Behaviour(healthy_after_s=0.05))
    async with open_bench(settings, simulation=world) as bench:
        await bench.make_app()
        made = await bench.started()
        found = await bench.until(made, lambda machine: bool(machine["checks"]))
    assert found["checks"][0]["status"] == "passing"


async def test_a_hundred_machines_live_in_one_simulation(still, world):
    await still.make_app("many")
    async with asyncio.TaskGroup() as calls:
        for number in range(100):
            await still.make_app(f"many-{number}")
            calls.create_task(still.make_machine(app=f"many-{number}"))
    await world.advance(12)
    listed = (await still.api.get("/orgs/personal/machines")).json()["machines"]
    assert {machine["state"] for machine in listed} == {"started"}
    assert len(listed) == 100


# The clock itself.


async def test_a_standing_clock_ends_a_wait_only_when_it_is_stepped_there():
    clock, never = SteerableClock(running=False), asyncio.Event()
    async with asyncio.TaskGroup() as waits:
        waiting = waits.create_task(clock.wait(never, 10))
        await anyio.lowlevel.checkpoint()
        clock.jump(9)
        await anyio.lowlevel.checkpoint()
        assert not waiting.done()
        clock.jump(1)
    assert waiting.result() is False


async def test_an_event_ends_a_wait_before_its_time():
    clock, event = SteerableClock(running=False), asyncio.Event()
    async with asyncio.TaskGroup() as waits:
        waiting = waits.create_task(clock.wait(event, 10))
        await anyio.lowlevel.checkpoint()
        event.set()
    assert waiting.result() is True
    assert clock.next_ns() is None


async def test_a_running_clock_jumps_over_a_wait():
    clock = SteerableClock()
    with anyio.fail_after(5):
        async with asyncio.TaskGroup() as waits:
            waiting = waits.create_task(clock.wait(asyncio.Event(), HOUR_S))
            await anyio.lowlevel.checkpoint()
            clock.jump(HOUR_S)
    assert waiting.result() is False


async def test_a_wait_keeps_its_span_when_the_clock_goes_back():
    clock = SteerableClock(running=False)
    async with asyncio.TaskGroup() as waits:
        waiting = waits.create_task(clock.wait(asyncio.Event(), 10))
        await anyio.lowlevel.checkpoint()
        clock.jump(-HOUR_S)
        assert clock.next_ns() == clock.now_ns() + 10_000_000_000
        clock.jump(10)
    assert waiting.result() is False


async def test_finished_waits_do_not_pile_up():
    clock = SteerableClock(running=False)
    event = asyncio.Event()
    for _ in range(5000):
        event.clear()
        async with asyncio.TaskGroup() as waits:
            waits.create_task(clock.wait(event, HOUR_S))
            await anyio.lowlevel.checkpoint()
            event.set()
    assert len(clock._sleepers) < 2500
