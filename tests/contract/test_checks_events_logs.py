"""What is learned about a machine: its checks, its events, its log."""

import pytest

from tests.contract.evidence import source

CHECK = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "interval": "2s",
    "timeout": "1s",
    "grace_period": "1s",
}


def checked(check):
    return {"protocol": "tcp", "internal_port": 8080, "autostop": "off", "autostart": True, "checks": [check]}


def exits(machine):
    return [event for event in machine["events"] if event["type"] == "exit"]


@source("fly.md 4.2", "fly.md 15.A.10")
async def test_a_service_check_has_the_name_of_the_platform_and_passes(target):
    made = await target.create(target.config(**target.place.serving, services=[checked(CHECK)]))

    async def passing() -> list[str]:
        checks = (await target.show(made))["checks"]
        return [check["name"] for check in checks if check["status"] == "passing"]

    (name,) = await target.eventually(passing)
    assert name.startswith("servicecheck-00-http-8080")


@source("fly.md 4.2", "fly.md 15.A.10")
async def test_a_check_that_fails_is_critical_after_its_grace_period(target):
    made = await target.create(target.config(services=[checked(CHECK)]))

    async def critical() -> bool:
        return [check["status"] for check in (await target.show(made))["checks"]] == ["critical"]

    assert await target.eventually(critical)


@source("fly.md 6.3", "fly.md 15.A.11")
async def test_events_come_newest_first_and_an_ordered_stop_is_told_from_a_crash(target):
    made = await target.stopped(await target.started())
    events = (await target.get(f"{target.path(made)}/events")).json()
    times = [event["timestamp"] for event in events]
    assert times == sorted(times, reverse=True)
    assert {"launch", "start", "exit"} <= {event["type"] for event in events}
    ended = next(event for event in events if event["type"] == "exit")["request"]["exit_event"]
    assert ended["requested_stop"] is True
    limited = (await target.get(f"{target.path(made)}/events", limit="1")).json()
    assert [event["id"] for event in limited] == [events[0]["id"]]


@source("fly.md 6.3", "fly.md 15.A.11")
async def test_a_process_that_ends_by_itself_is_an_exit_with_its_code(target):
    made = await target.create(target.script("exit 7", restart={"policy": "no"}))

    async def ended() -> list[dict]:
        return exits(await target.show(made))

    exit_event = (await target.eventually(ended))[0]["request"]["exit_event"]
    assert (exit_event["exit_code"], exit_event["requested_stop"], exit_event["oom_killed"]) == (7, False, False)


@source("fly.md 6.1", "fly.md 15.A.11")
@pytest.mark.parametrize(("policy", "code"), [("no", 1), ("on-failure", 0)], ids=["never", "clean"])
async def test_a_process_that_may_not_be_restarted_leaves_the_machine_stopped(target, policy, code):
    made = await target.create(target.script(f"exit {code}", restart={"policy": policy}))
    after = await target.reached(made, "stopped")
    assert len(exits(after)) == 1


@source("fly.md 6.3", "fly.md 15.A.11")
async def test_a_crash_is_restarted_until_the_retries_are_used_up(target):
    made = await target.create(target.script("exit 3", restart={"policy": "on-failure", "max_retries": 2}))

    async def given_up() -> dict:
        machine = await target.show(made)
        return machine if machine["state"] in {"stopped", "failed"} and len(exits(machine)) >= 3 else {}

    found = exits(await target.eventually(given_up))
    assert len(found) == 3
    assert [event["request"]["exit_event"]["restarting"] for event in found] == [False, True, True]


@source("fly.md 4.2", "fly.md 15.A.11")
async def test_auto_destroy_removes_a_machine_whose_process_has_ended(target):
    made = await target.create(target.script("exit 1", auto_destroy=True, restart={"policy": "no"}))

    async def gone() -> bool:
        return (await target.show(made))["state"] == "destroyed"

    assert await target.eventually(gone)


@source("fly.md 10", "fly.md 15.A.14")
async def test_a_log_is_followed_by_its_cursor_without_a_gap(target):
    made = await target.started(target.script("for n in 1 2 3; do echo line $n; done; sleep 3600 & wait"))
    url, lines, query = f"{target.place.logs_url}/api/v1/apps/{target.app}/logs", [], {"instance": made["id"]}

    async def whole() -> bool:
        page = (await target.get(url, **query)).json()
        lines.extend(line["attributes"]["message"] for line in page["data"])
        query["next_token"] = str(page["meta"]["next_token"])
        return "line 3" in lines

    await target.eventually(whole)
    assert [line for line in lines if line.startswith("line ")] == ["line 1", "line 2", "line 3"]


@source("fly.md 10", "fly.md 7.2", "fly.md 15.A.14")
async def test_the_log_of_an_app_that_is_not_there_is_401(target):
    url = f"{target.place.logs_url}/api/v1/apps/{target.app}-none/logs"
    assert (await target.get(url)).status_code == 401
