"""Machines through the API: create, read back, update, wait, metadata, leases, destroy."""

import re

import anyio
import pytest

from reconciler.engine import durations


async def test_a_machine_is_created_and_starts_by_itself(bench):
    made = await bench.make_machine(name="time-1", region="iad")
    assert made["state"] == "created"
    assert re.fullmatch(r"[0-9a-f]{14}", made["id"])
    assert re.fullmatch(r"[0-9A-Z]{26}", made["instance_id"])
    assert made["private_ip"].startswith("fdaa:")
    found = await bench.wait(made)
    assert (found["state"], found["name"], found["region"]) == ("started", "time-1", "iad")
    assert [event["type"] for event in found["events"]][-1] == "launch"


async def test_what_is_read_back_differs_from_what_was_sent_as_on_the_platform(bench):
    made = await bench.make_machine(skip_launch=True, config={"auto_stop_machines": True, "init": None, "guest": None})
    config = made["config"]
    assert config["services"][0]["autostop"] is False
    assert (config["init"], config["dns"]) == ({}, {})
    assert config["guest"] == {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
    assert "auto_stop_machines" not in config


@pytest.mark.parametrize(("sent", "read"), [("off", False), ("stop", True), ("suspend", "suspend"), (True, True)])
async def test_autostop_reads_back_as_a_boolean_except_for_suspend(bench, sent, read):
    services = [{"protocol": "tcp", "internal_port": 8080, "autostop": sent, "autostart": True}]
    made = await bench.make_machine(skip_launch=True, config={"services": services})
    assert made["config"]["services"][0]["autostop"] == read
    again = await bench.api.post(bench.path(made), json={"config": made["config"], "skip_launch": True})
    assert again.json()["config"]["services"][0]["autostop"] == read


async def test_a_name_that_a_live_machine_has_is_refused_with_its_id(bench):
    made = await bench.make_machine(name="time-1", skip_launch=True)
    refused = await bench.api.post("/apps/acme-time/machines", json={"name": "time-1", "config": made["config"]})
    text = f'already_exists: unique machine name violation, machine ID {made["id"]} already exists with name "time-1"'
    assert (refused.status_code, refused.json()) == (409, {"error": text})
    await bench.api.delete(bench.path(made))
    assert (await bench.make_machine(name="time-1", skip_launch=True))["id"] != made["id"]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({}, "config.image"),
        ({"image": "registry.fly.io/other:1"}, "MANIFEST_UNKNOWN"),
        ({"image": "catwalk-runner", "guest": {"cpus": "two"}}, "config.guest.cpus"),
        ({"image": "catwalk-runner", "guest": {"cpus": 1, "memory_mb": 100}}, "invalid memory size"),
        ({"image": "catwalk-runner", "guest": {"cpus": 3, "memory_mb": 1024}}, "invalid CPU count"),
        ({"image": "catwalk-runner", "env": {"A": "b\0c"}}, "config.env.A"),
        ({"image": "catwalk-runner", "mounts": [{"name": "data", "path": "/d"}]}, "config.mounts"),
        ({"image": "catwalk-runner", "stop_config": {"timeout": "soon"}}, "invalid duration"),
    ],
    ids=["no-image", "unknown-image", "type", "memory", "cpus", "nul", "mounts", "duration"],
)
async def test_a_configuration_that_cannot_run_is_refused(bench, config, text):
    refused = await bench.api.post("/apps/acme-time/machines", json={"config": config})
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("invalid_argument: ")
    assert text in refused.json()["error"]


async def test_an_update_replaces_everything_under_a_new_version(bench):
    made = await bench.started("--print", "first", config={"metadata": {"old": "1"}})
    config = {"image": made["config"]["image"], "env": {"COLOUR": "blue"}, "services": made["config"]["services"]}
    updated = (await bench.api.post(bench.path(made), json={"config": config})).json()
    assert updated["instance_id"] != made["instance_id"]
    assert updated["state"] == "replacing"
    assert "metadata" not in updated["config"]
    found = await bench.wait(updated)
    assert (await bench.environment())["env"]["COLOUR"] == "blue"
    assert (await bench.environment())["env"]["FLY_MACHINE_VERSION"] == found["instance_id"]
    versions = (await bench.api.get(f"{bench.path(made)}/versions")).json()
    assert [version["version"] for version in versions] == [updated["instance_id"], made["instance_id"]]
    assert versions[1]["user_config"]["metadata"] == {"old": "1"}


async def test_an_update_against_another_version_is_refused(bench):
    made = await bench.make_machine(skip_launch=True)
    body = {"config": made["config"], "current_version": "01J0000000000000000000000X"}
    refused = await bench.api.post(bench.path(made), json=body)
    assert refused.status_code == 409
    assert "concurrent update" in refused.json()["error"]


async def test_an_update_with_skip_launch_leaves_the_machine_stopped(bench):
    made = await bench.started()
    updated = await bench.api.post(bench.path(made), json={"config": made["config"], "skip_launch": True})
    assert (await bench.wait(updated.json(), "stopped"))["state"] == "stopped"


async def test_stop_and_start_are_idempotent(bench):
    made = await bench.started()
    assert (await bench.api.post(f"{bench.path(made)}/start")).json()["previous_state"] == "started"
    for _ in range(2):
        assert (await bench.api.post(f"{bench.path(made)}/stop", json={})).json() == {"ok": True}
    found = await bench.wait(made, "stopped")
    exit_event = found["events"][0]["request"]["exit_event"] if found["events"][0]["type"] == "exit" else None
    exit_event = exit_event or next(e for e in found["events"] if e["type"] == "exit")["request"]["exit_event"]
    assert exit_event["requested_stop"] is True
    assert (await bench.api.post(f"{bench.path(made)}/start")).json()["previous_state"] == "stopped"
    await bench.wait(made)


async def test_a_start_is_refused_while_the_machine_is_created_or_replaced(open_bench, quick):
    async with open_bench(quick(prepare_s=30, start_s=30)) as bench:
        await bench.make_app()
        made = await bench.make_machine(skip_launch=True)
        refused = await bench.api.post(f"{bench.path(made)}/start")
        assert refused.status_code == 412
        text = "failed_precondition: unable to start machine from current state: 'created'"
        assert refused.json() == {"error": text}


@pytest.mark.parametrize("seconds", ["0", "61", "ten", "-1"])
async def test_a_wait_outside_its_range_is_refused(bench, seconds):
    made = await bench.make_machine(skip_launch=True)
    refused = await bench.api.get(f"{bench.path(made)}/wait", params={"timeout": seconds})
    text = "invalid_argument: invalid WaitMachineRequest.Timeout: value must be inside range [1s, 1m0s]"
    assert (refused.status_code, refused.json()) == (400, {"error": text})


async def test_a_wait_that_is_not_fulfilled_says_where_the_machine_is(bench):
    made = await bench.make_machine(skip_launch=True)
    await bench.wait(made, "stopped")
    late = await bench.api.get(f"{bench.path(made)}/wait", params={"timeout": "1"})
    text = "deadline_exceeded: machine failed to reach desired state, started, currently stopped"
    assert (late.status_code, late.json()) == (408, {"error": text})
    never = await bench.api.get(f"{bench.path(made)}/wait", params={"timeout": "60", "state": "suspended"})
    assert never.status_code == 409


async def test_a_wait_for_a_version_that_was_replaced_ends_at_once(bench):
    made = await bench.make_machine(skip_launch=True)
    await bench.api.post(bench.path(made), json={"config": made["config"], "skip_launch": True})
    query = {"state": "started", "version": made["instance_id"], "timeout": "60"}
    refused = await bench.api.get(f"{bench.path(made)}/wait", params=query)
    assert refused.status_code == 409
    unknown = await bench.api.get(f"{bench.path(made)}/wait", params={**query, "version": "0" * 26})
    assert unknown.status_code == 404


async def test_a_wait_takes_several_states_and_settled(bench):
    made = await bench.make_machine("--exit", "0")
    query = {"state": "stopped,failed", "version": made["instance_id"], "timeout": "20"}
    assert (await bench.api.get(f"{bench.path(made)}/wait", params=query)).json()["state"] == "stopped"
    settled = await bench.api.get(f"{bench.path(made)}/wait", params={"state": "settled", "timeout": "5"})
    assert settled.json()["ok"] is True
    unversioned = await bench.api.get(f"{bench.path(made)}/wait", params={"state": "stopped", "timeout": "5"})
    assert unversioned.status_code == 400


async def test_a_destroyed_machine_still_answers_and_an_unknown_one_does_not(bench):
    made = await bench.started()
    assert (await bench.api.delete(bench.path(made))).status_code == 412
    assert (await bench.api.delete(bench.path(made), params={"force": "true"})).json() == {"ok": True}
    done = await bench.api.get(f"{bench.path(made)}/wait", params={"state": "destroyed", "timeout": "20"})
    assert done.json()["state"] == "destroyed"
    assert (await bench.show(made))["state"] == "destroyed"
    assert (await bench.api.get("/apps/acme-time/machines")).json() == []
    kept = await bench.api.get("/apps/acme-time/machines", params={"include_deleted": "true"})
    assert [machine["id"] for machine in kept.json()] == [made["id"]]
    missing = await bench.api.get("/apps/acme-time/machines/00000000000000")
    assert (missing.status_code, missing.json()) == (404, {"error": "machine not found"})


async def test_metadata_changes_without_a_new_version_and_filters_the_list(bench):
    made = await bench.make_machine(skip_launch=True, config={"metadata": {"a": "1", "b": "2"}})
    await bench.make_machine(skip_launch=True, config={"metadata": {"a": "1"}})
    path = f"{bench.path(made)}/metadata"
    assert (await bench.api.post(f"{path}/c", json={"value": "3"})).status_code == 204
    assert (await bench.api.get(f"{path}/c")).json() == {"value": "3"}
    assert (await bench.api.delete(f"{path}/b")).status_code == 204
    assert (await bench.api.put(path, json={"metadata": {"a": None, "d": "4", "c": ""}})).status_code == 204
    assert (await bench.api.get(path)).json() == {"d": "4"}
    stale = await bench.api.patch(path, json={"metadata": {}, "machine_version": "old"})
    assert stale.status_code == 412
    assert (await bench.show(made))["instance_id"] == made["instance_id"]
    found = (await bench.api.get("/apps/acme-time/machines", params={"metadata.d": "4"})).json()
    assert [machine["id"] for machine in found] == [made["id"]]
    summary = (await bench.api.get("/apps/acme-time/machines", params={"summary": "true"})).json()
    assert all("config" not in machine for machine in summary)
    assert (await bench.api.get(f"{path}/nothing")).status_code == 404


async def test_a_lease_keeps_others_from_changing_a_machine(bench):
    made = await bench.make_machine(skip_launch=True)
    await bench.wait(made, "stopped")
    taken = await bench.api.post(f"{bench.path(made)}/lease", json={"ttl": 30, "description": "deploy"})
    assert (taken.status_code, taken.json()["status"]) == (201, "success")
    lease = taken.json()["data"]
    assert re.fullmatch(r"[0-9a-f]{12}", lease["nonce"])
    assert lease["version"] == made["instance_id"]
    refused = await bench.api.post(f"{bench.path(made)}/start")
    assert refused.status_code == 409
    assert f"machine ID {made['id']} lease currently held by {lease['owner']}, expires at" in refused.json()["error"]
    assert (await bench.api.post(bench.path(made), json={"config": made["config"]})).status_code == 409
    second = await bench.api.post(f"{bench.path(made)}/lease", json={"ttl": 5})
    assert (second.status_code, second.json()["status"], second.json()["code"]) == (409, "error", "invalid")
    shown = (await bench.api.get(f"{bench.path(made)}/lease")).json()["data"]
    assert "nonce" not in shown
    ours = {"fly-machine-lease-nonce": lease["nonce"]}
    refreshed = await bench.api.post(f"{bench.path(made)}/lease", params={"ttl": "60"}, headers=ours)
    assert refreshed.json()["data"]["nonce"] == lease["nonce"]
    assert refreshed.json()["data"]["expires_at"] > lease["expires_at"]
    assert (await bench.api.post(f"{bench.path(made)}/start", headers=ours)).status_code == 200
    assert (await bench.api.delete(f"{bench.path(made)}/lease", headers=ours)).status_code == 200
    assert (await bench.api.get(f"{bench.path(made)}/lease")).status_code == 404


async def test_a_create_with_lease_ttl_answers_the_nonce(bench):
    made = await bench.make_machine(skip_launch=True, lease_ttl=20)
    assert re.fullmatch(r"[0-9a-f]{12}", made["nonce"])
    assert "nonce" not in await bench.show(made)


async def test_stop_and_destroy_wait_for_a_foreign_lease_to_run_out(open_bench, settings, stepped_clock, eventually):
    async with open_bench(settings, clock=stepped_clock) as bench:
        await bench.make_app()
        made = await bench.make_machine(skip_launch=True, lease_ttl=30)
        answers = []

        async def destroy():
            answers.append(await bench.api.delete(bench.path(made)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(destroy)
            await eventually(lambda: any(deadline > stepped_clock.time_ns for deadline, _ in stepped_clock.sleepers))
            assert answers == []
            stepped_clock.advance(31)
        assert answers[0].status_code == 200


@pytest.mark.parametrize(
    ("text", "seconds"), [("15s", 15), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600), ("0", 0), ("1.5s", 1.5)]
)
def test_durations_are_those_of_go(text, seconds):
    assert durations.seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "15", "s", "-1s", "1 s", "15s "])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="invalid duration"):
        durations.seconds(text)


def test_an_integer_duration_means_nanoseconds():
    assert durations.normalised(5_000_000_000) == "5s"
    assert durations.seconds(str(durations.normalised(1_500_000_000))) == 1.5
