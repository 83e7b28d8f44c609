"""Suspended machines keep their memory; cordoned ones run on without requests."""

import signal

import psutil
import pytest

STOPPED = psutil.STATUS_STOPPED


async def pid_of(bench):
    return (await bench.environment())["pid"]


async def test_a_suspended_machine_goes_on_with_its_memory(bench, eventually):
    made = await bench.started()
    pid = await pid_of(bench)
    assert (await bench.api.post(f"{bench.path(made)}/suspend")).json() == {"ok": True}
    found = await bench.wait(made, "suspended")
    assert found["events"][0]["type"] == "suspend"
    assert found["checks"] == []
    await eventually(lambda: psutil.Process(pid).status() == STOPPED)
    started = await bench.api.post(f"{bench.path(made)}/start")
    assert started.json()["previous_state"] == "suspended"
    await bench.wait(made)
    assert await pid_of(bench) == pid
    assert not [event for event in (await bench.show(made))["events"] if event["type"] == "exit"]


async def test_everything_that_a_machine_started_is_suspended_with_it(bench, living, eventually):
    made = await bench.started("--children")
    await bench.call()
    await bench.api.post(f"{bench.path(made)}/suspend")
    await bench.wait(made, "suspended")
    commands = living(made["id"])
    assert len(commands) == 3
    await eventually(lambda: all(command.status() == STOPPED for command in commands))
    await bench.api.post(f"{bench.path(made)}/start")
    await eventually(lambda: all(command.status() != STOPPED for command in commands))


async def test_a_request_wakes_a_suspended_machine(bench):
    made = await bench.started()
    pid = await pid_of(bench)
    await bench.api.post(f"{bench.path(made)}/suspend")
    await bench.wait(made, "suspended")
    assert await pid_of(bench) == pid


async def test_a_stop_gives_the_memory_up(bench, vanish):
    made = await bench.started()
    pid = await pid_of(bench)
    await bench.api.post(f"{bench.path(made)}/suspend")
    await bench.wait(made, "suspended")
    await bench.api.post(f"{bench.path(made)}/stop", json={})
    await bench.wait(made, "stopped")
    await vanish(made["id"])
    await bench.api.post(f"{bench.path(made)}/start")
    await bench.wait(made)
    assert await pid_of(bench) != pid


async def test_an_update_and_a_destruction_reach_a_suspended_machine(bench, vanish):
    made = await bench.started()
    await bench.api.post(f"{bench.path(made)}/suspend")
    await bench.wait(made, "suspended")
    updated = (await bench.api.post(bench.path(made), json={"config": made["config"]})).json()
    await bench.wait(updated)
    await bench.api.post(f"{bench.path(made)}/suspend")
    await bench.wait(updated, "suspended")
    assert (await bench.api.delete(bench.path(made))).status_code == 200
    await bench.wait(updated, "destroyed")
    await vanish(made["id"])


async def test_what_is_killed_while_it_is_suspended_is_stopped_and_not_restarted(bench, living, eventually):
    made = await bench.started()
    await eventually(lambda: living(made["id"]))
    await bench.api.post(f"{bench.path(made)}/suspend")
    await bench.wait(made, "suspended")
    for command in living(made["id"]):
        command.send_signal(signal.SIGKILL)
    found = await bench.until(made, lambda machine: machine["state"] == "stopped")
    exit_event = next(event for event in found["events"] if event["type"] == "exit")["request"]["exit_event"]
    assert (exit_event["exit_code"], exit_event["restarting"]) == (137, False)
    # Nobody's program has failed: what was frozen is gone, and the next start begins anew.
    assert exit_event["requested_stop"]


@pytest.mark.parametrize("state", ["stopped", "suspended"])
async def test_only_a_started_machine_can_be_suspended_and_twice_is_once(bench, state):
    made = await bench.started()
    verb = {"stopped": "stop", "suspended": "suspend"}[state]
    await bench.api.post(f"{bench.path(made)}/{verb}", json={})
    await bench.wait(made, state)
    again = await bench.api.post(f"{bench.path(made)}/suspend")
    assert again.status_code == (200 if state == "suspended" else 412)


async def test_a_machine_with_more_memory_than_is_kept_is_not_suspended(bench):
    guest = {"cpu_kind": "performance", "cpus": 2, "memory_mb": 4096}
    made = await bench.started(config={"guest": guest})
    refused = await bench.api.post(f"{bench.path(made)}/suspend")
    assert refused.status_code == 412
    assert "2048 MB" in refused.json()["error"]


async def test_a_suspended_machine_of_an_engine_that_ended_starts_from_the_beginning(open_bench, settings, vanish):
    async with open_bench(settings) as bench:
        await bench.make_app()
        made = await bench.started()
        await bench.api.post(f"{bench.path(made)}/suspend")
        await bench.wait(made, "suspended")
    await vanish(made["id"])
    async with open_bench(settings) as bench:
        assert (await bench.show(made))["state"] == "suspended"
        await bench.api.post(f"{bench.path(made)}/start")
        await bench.wait(made)
        assert (await bench.environment())["env"]["FLY_MACHINE_ID"] == made["id"]


async def test_a_cordoned_machine_runs_and_gets_no_requests(bench):
    made = await bench.started()
    assert (await bench.api.post(f"{bench.path(made)}/cordon")).status_code == 200
    shown = await bench.show(made)
    assert (shown["state"], shown["cordoned"]) == ("started", True)
    assert (await bench.call()).status_code == 503
    assert (await bench.api.post(f"{bench.path(made)}/uncordon")).status_code == 200
    assert (await bench.call()).status_code == 200
    assert (await bench.show(made))["instance_id"] == made["instance_id"]


async def test_a_machine_made_without_registration_is_cordoned_until_it_is_uncordoned(bench):
    made = await bench.started(skip_service_registration=True)
    assert (await bench.show(made))["cordoned"] is True
    await bench.api.post(f"{bench.path(made)}/uncordon")
    assert (await bench.call()).status_code == 200
