"""Waking: requests that are held while a machine starts, and what they are told when it does not."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("proxied_program.py")


@pytest.fixture
def settings(settings):
    return replace(settings, images={"catwalk-runner": (sys.executable, "-S", str(PROGRAM), "{port}")})


async def fallen_asleep(bench, machine):
    await bench.api.post(f"{bench.path(machine)}/stop")
    return await bench.wait(machine, "stopped")


def starts(machine):
    return [e["id"] for e in machine["events"] if (e["type"], e["status"]) == ("start", "starting")]


async def test_a_hundred_requests_wake_a_sleeping_machine_once_and_none_is_lost(bench):
    made = await bench.started()
    before = starts(await fallen_asleep(bench, made))
    answers = await asyncio.gather(*(bench.call("/count") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["answers"] for answer in answers) == list(range(1, 101))
    found = await bench.show(made)
    assert len(starts(found)) == len(before) + 1
    lines = await bench.log_text()
    assert lines.count("Starting machine") == 1
    assert "[P" not in lines


async def test_a_hundred_requests_to_a_machine_that_fails_to_start_are_all_told_so(bench):
    made = await bench.make_machine("--exit", "70", config={"restart": {"policy": "no"}}, skip_launch=True)
    await bench.wait(made, "stopped")
    answers = await asyncio.gather(*(bench.call("/") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.text for answer in answers} == {"[PM07] failed to change machine state: it did not stay started\n"}
    assert len(starts(await bench.show(made))) == 1
    assert (await bench.log_text()).count("[PM07]") == 100


async def test_a_crash_loop_is_told_to_those_who_wait(bench):
    made = await bench.make_machine("--exit", "70", skip_launch=True)
    await bench.wait(made, "stopped")
    answer = await bench.call("/")
    assert (answer.status_code, answer.text[:6]) == (503, "[PM07]")


async def test_a_machine_that_is_not_ready_in_time_is_told_with_its_name(open_bench, quick, settings):
    async with open_bench(replace(quick(wake_s=0.2), images=settings.images)) as bench:
        await bench.make_app()
        made = await bench.make_machine(config={"env": {"HEALTH_STATUS": "503"}})
        answer = await bench.call("/")
        assert (answer.status_code, answer.text[:6]) == (503, "[PM03]")
        [line] = [one for one in (await bench.logs())["data"] if "[PM03]" in one["attributes"]["message"]]
        assert line["attributes"]["instance"] == made["id"]


async def test_a_foreign_lease_on_one_machine_leaves_the_other_to_be_woken(bench):
    first, second = [await bench.started() for _ in range(2)]
    for machine in (first, second):
        await fallen_asleep(bench, machine)
    held = min(first["id"], second["id"])
    await bench.api.post(f"/apps/acme-time/machines/{held}/lease", json={"ttl": 60})
    answer = await bench.call("/")
    assert answer.text == f"hello from {max(first['id'], second['id'])}"
    assert "[PM01] machines API returned an error" in await bench.log_text()


async def test_a_foreign_lease_on_every_machine_is_a_503_for_each_caller(bench):
    made = await bench.started()
    await fallen_asleep(bench, made)
    await bench.api.post(f"{bench.path(made)}/lease", json={"ttl": 60})
    answers = await asyncio.gather(*(bench.call("/") for _ in range(10)))
    assert {(answer.status_code, answer.text[:6]) for answer in answers} == {(503, "[PM01]")}
    assert (await bench.log_text()).count("[PM01] machines API returned an error") == 10


async def test_a_request_that_meets_a_machine_on_its_way_to_sleep_wakes_it_again(bench):
    made = await bench.started()
    await bench.call("/count")
    await bench.api.post(f"{bench.path(made)}/stop")
    assert (await bench.call("/count")).json()["answers"] == 1


async def test_a_connection_to_an_earlier_run_is_not_used_for_a_later_one(bench):
    made = await bench.started()
    for _ in range(5):
        assert (await bench.call("/count")).json()["answers"] == 1
        await bench.api.post(f"{bench.path(made)}/restart")
        await bench.until(made, lambda found: found["state"] == "started")
    assert "[PU02]" not in await bench.log_text()


async def test_a_hundred_requests_resume_a_suspended_machine_once_and_find_its_memory(bench):
    made = await bench.started()
    assert (await bench.call("/count")).json()["answers"] == 1
    await bench.api.post(f"{bench.path(made)}/suspend")
    before = starts(await bench.wait(made, "suspended"))
    answers = await asyncio.gather(*(bench.call("/count") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["answers"] for answer in answers) == list(range(2, 102))
    assert len(starts(await bench.show(made))) == len(before) + 1


async def test_requests_that_meet_a_machine_while_it_is_being_suspended_are_answered(bench):
    made = await bench.started()
    await bench.call("/count")
    for _ in range(5):
        await bench.api.post(f"{bench.path(made)}/suspend")
        answers = await asyncio.gather(*(bench.call("/count") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
    assert (await bench.call("/count")).json()["answers"] == 102
