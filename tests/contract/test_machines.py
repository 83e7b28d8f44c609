"""The life of a machine: create, read back, update, stop, start, end."""

import re

import pytest

from tests.contract.evidence import source

MACHINE_ID = r"[0-9a-f]{14}"
ULID = r"[0-9A-HJKMNP-TV-Z]{26}"


@source("fly.md 4.2", "fly.md 6.1", "fly.md 15.A.3", "fly.md 15.A.4")
async def test_a_machine_is_created_at_once_and_starts_by_itself(target):
    made = await target.create()
    assert made["state"] == "created"
    assert re.fullmatch(MACHINE_ID, made["id"])
    assert re.fullmatch(ULID, made["instance_id"])
    assert re.fullmatch(r"\w+-\w+-\d+", made["name"])
    assert "nonce" not in made or not made["nonce"]
    assert (await target.reached(made))["host_status"] == "ok"


@source("fly.md 7.2", "fly.md 7.4", "fly.md 15.A.3")
async def test_a_name_that_a_living_machine_has_is_refused_with_its_id_until_it_is_destroyed(target):
    made = await target.create(name="time-1", skip_launch=True)
    wanted = {"name": "time-1", "region": target.place.region, "config": target.config(), "skip_launch": True}
    refused = await target.post("/apps/{app}/machines", wanted)
    text = f'unique machine name violation, machine ID {made["id"]} already exists with name "time-1"'
    assert (refused.status_code, refused.json()["error"]) == (409, f"already_exists: {text}")
    await target.call("DELETE", f"{target.path(made)}?force=true")
    await target.eventually(lambda: _is(target, made, "destroyed"))
    assert (await target.create(name="time-1", skip_launch=True))["id"] != made["id"]


async def _is(target, machine, state):
    return (await target.show(machine))["state"] == state


@source("fly.md 5.4", "fly.md 5.1", "fly.md 15.A.5")
async def test_a_config_reads_back_with_defaults_and_without_what_nobody_knows(target):
    sent = {"image": target.place.image, "auto_stop_machines": True, "metadata": {"k": "v"}}
    found = (await target.create(sent, skip_launch=True))["config"]
    assert "auto_stop_machines" not in found
    assert (found["image"], found["metadata"], found["init"]) == (target.place.image, {"k": "v"}, {})
    assert found["guest"] == {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
    assert found["restart"]["policy"] == "on-failure"


@source("fly.md 5.4", "fly.md 15.A.5", "fly.md 15.F")
@pytest.mark.parametrize(("sent", "read"), [("off", False), ("stop", True), ("suspend", "suspend")])
async def test_autostop_reads_back_as_a_boolean_except_for_suspend(target, sent, read):
    service = {"protocol": "tcp", "internal_port": 8080, "autostop": sent, "autostart": True}
    made = await target.create(target.config(services=[service]), skip_launch=True)
    assert made["config"]["services"][0]["autostop"] == read


@source("fly.md 5.2", "fly.md 7.2")
@pytest.mark.parametrize(
    "guest",
    [
        pytest.param({"cpu_kind": "shared", "cpus": 3, "memory_mb": 1024}, id="cpus"),
        pytest.param({"cpu_kind": "shared", "cpus": 1, "memory_mb": 300}, id="step"),
        pytest.param({"cpu_kind": "performance", "cpus": 8, "memory_mb": 8192}, id="too little"),
    ],
)
async def test_a_size_that_is_not_sold_is_refused(target, guest):
    wanted = {"region": target.place.region, "config": target.config(guest=guest), "skip_launch": True}
    refused = await target.post("/apps/{app}/machines", wanted)
    assert refused.status_code in {400, 422}


@source("fly.md 7.2")
async def test_an_image_that_is_not_there_is_manifest_unknown(target):
    wanted = {"region": target.place.region, "config": target.config(image="registry.fly.io/catwalk-none:0.0.1")}
    refused = await target.post("/apps/{app}/machines", wanted)
    assert refused.status_code == 400
    assert "MANIFEST_UNKNOWN" in refused.json()["error"]


@source("fly.md 4.2", "fly.md 6.1", "fly.md 15.A.5")
async def test_an_update_replaces_the_whole_config_under_a_new_version(target):
    made = await target.started(target.config(env={"A": "1"}, metadata={"k": "v"}))
    changed = await target.post(target.path(made), {"config": target.config(env={"B": "2"})})
    assert changed.status_code == 200
    assert changed.json()["instance_id"] != made["instance_id"]
    after = await target.reached(changed.json())
    assert (after["id"], after["config"]["env"], after["config"].get("metadata") or {}) == (made["id"], {"B": "2"}, {})
    versions = (await target.get(f"{target.path(made)}/versions")).json()
    assert {made["instance_id"], after["instance_id"]} <= {version["version"] for version in versions}


@source("fly.md 4.2", "fly.md 7.2", "fly.md 15.A.5")
async def test_an_update_from_another_version_is_409(target):
    made = await target.started()
    changed = {"config": target.config(env={"A": "1"}), "current_version": made["instance_id"]}
    assert (await target.post(target.path(made), changed)).status_code == 200
    refused = await target.post(target.path(made), changed)
    assert refused.status_code == 409
    assert "lease" not in refused.text


@source("fly.md 4.2", "fly.md 6.1", "fly.md 15.A.5")
async def test_an_update_without_launch_leaves_a_stopped_machine_stopped(target):
    made = await target.stopped(await target.started())
    changed = await target.post(target.path(made), {"config": target.config(env={"A": "1"}), "skip_launch": True})
    assert (await target.reached(changed.json(), "stopped"))["config"]["env"] == {"A": "1"}


@source("fly.md 4.2", "fly.md 6.1")
async def test_stop_and_start_can_be_ordered_twice(target):
    made = await target.stopped(await target.started())
    assert (await target.post(f"{target.path(made)}/stop")).json() == {"ok": True}
    first = await target.post(f"{target.path(made)}/start")
    assert (first.status_code, first.json()["previous_state"]) == (200, "stopped")
    assert (await target.reached(made))["instance_id"] == made["instance_id"]
    assert (await target.post(f"{target.path(made)}/start")).status_code == 200


@source("fly.md 4.2")
async def test_a_restart_keeps_the_version(target):
    made = await target.started()
    assert (await target.post(f"{target.path(made)}/restart")).json() == {"ok": True}
    after = await target.reached(made)
    assert after["instance_id"] == made["instance_id"]


@source("fly.md 4.2", "fly.md 15.A.12")
async def test_a_destroyed_machine_still_answers_and_an_id_that_never_was_is_404(target):
    made = await target.started()
    assert (await target.call("DELETE", f"{target.path(made)}?force=true")).json() == {"ok": True}
    await target.eventually(lambda: _is(target, made, "destroyed"))
    listed = (await target.get("/apps/{app}/machines")).json()
    deleted = (await target.get("/apps/{app}/machines", include_deleted="true")).json()
    assert made["id"] not in {machine["id"] for machine in listed}
    assert made["id"] in {machine["id"] for machine in deleted}
    assert (await target.get("/apps/{app}/machines/0000000000000a")).status_code == 404


@source("fly.md 4.2")
async def test_a_running_machine_is_not_destroyed_without_force(target):
    made = await target.started()
    refused = await target.delete(target.path(made))
    assert refused.status_code in {409, 412}
    assert (await target.show(made))["state"] == "started"


@source("fly.md 4.2", "fly.md 15.A.12")
async def test_metadata_changes_without_a_new_version_and_filters_the_list(target):
    made = await target.create(target.config(metadata={"fleet": "acme", "old": "1"}), skip_launch=True)
    other = await target.create(target.config(metadata={"fleet": "other"}), skip_launch=True)
    changed = await target.call("PATCH", f"{target.path(made)}/metadata", json={"metadata": {"new": "2", "old": None}})
    assert changed.status_code == 204
    assert (await target.post(f"{target.path(other)}/metadata/one", {"value": "x"})).status_code == 204
    assert (await target.get(f"{target.path(made)}/metadata")).json() == {"fleet": "acme", "new": "2"}
    listed = (await target.get("/apps/{app}/machines", **{"metadata.fleet": "acme", "metadata.new": "2"})).json()
    assert [(machine["id"], machine["instance_id"]) for machine in listed] == [(made["id"], made["instance_id"])]


@source("fly.md 4.2", "fly.md 7.2")
async def test_metadata_for_another_version_is_412(target):
    made = await target.create(skip_launch=True)
    wanted = {"metadata": {"k": "v"}, "machine_version": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}
    assert (await target.call("PUT", f"{target.path(made)}/metadata", json=wanted)).status_code == 412


@source("fly.md 4.2")
async def test_a_summary_leaves_out_what_is_large(target):
    await target.create(skip_launch=True)
    (found,) = (await target.get("/apps/{app}/machines", summary="true")).json()
    assert not {"config", "checks", "events"} & {key for key, value in found.items() if value}


@source("fly.md 4.2", "fly.md 15.A.12")
async def test_the_organization_lists_the_machines_of_all_apps_in_pages(target):
    names = {f"time-{number}" for number in range(3)}
    for name in sorted(names):
        await target.create(target.config(metadata={"fleet": "acme"}), name=name, skip_launch=True)

    async def all_pages() -> bool:
        found, cursor = [], ""
        while True:
            query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            page = (await target.get(f"/orgs/{target.place.organization}/machines", **query)).json()
            found += [machine for machine in page["machines"] if machine["app_name"] == target.app]
            if not (cursor := page.get("next_cursor") or ""):
                break
        marked = all(machine["config"]["metadata"] == {"fleet": "acme"} for machine in found)
        return marked and {machine["name"] for machine in found} == names

    assert await target.eventually(all_pages)


@source("fly.md 4.2", "fly.md 13.17")
async def test_a_command_that_fails_is_200_with_its_exit_code(target):
    made = await target.started()
    command = ["/bin/sh", "-c", "echo out; echo err >&2; exit 3"]
    answer = await target.post(f"{target.path(made)}/exec", {"command": command, "timeout": 10})
    said = answer.json()
    assert (answer.status_code, said["exit_code"], said["stdout"].strip(), said["stderr"].strip()) == (
        200,
        3,
        "out",
        "err",
    )


@source("fly.md 4.2")
async def test_a_restart_by_force_does_not_wait_for_the_stop_signal(target):
    deaf = "trap '' TERM; while :; do sleep 1; done"
    made = await target.started(target.script(deaf, stop_config={"signal": "SIGTERM", "timeout": "50s"}))
    last = (await target.show(made))["events"][0]["id"]
    assert (await target.post(f"{target.path(made)}/restart?force_stop=true")).status_code == 200
    query = {"state": "started", "timeout": "20", "from_event_id": last}
    assert (await target.get(f"{target.path(made)}/wait", **query)).status_code == 200


@source("fly.md 4.2")
@pytest.mark.parametrize("region", ["zzz", "zzz,iad"])
async def test_a_region_that_does_not_exist_is_refused_by_its_name(target, region):
    refused = await target.post("/apps/{app}/machines", {"config": target.config(), "region": region})
    assert 400 <= refused.status_code < 500
    assert "target region zzz not found" in refused.json()["error"]
    volume = await target.post("/apps/{app}/volumes", {"name": "data", "region": region, "size_gb": 1})
    assert "target region zzz not found" in volume.json()["error"]


@source("fly.md 4.2", "fly.md 11", "fly.md 15.A.5")
async def test_an_image_tells_the_digest_that_it_was_resolved_to(target):
    made = await target.create(skip_launch=True)
    digest = (await target.show(made))["image_ref"]["digest"]
    assert digest.startswith("sha256:")
    changed = await target.post(target.path(made), {"config": target.config(env={"A": "1"}), "skip_launch": True})
    assert changed.json()["image_ref"]["digest"] == digest


@source("fly.md 4.2", "fly.md 4.3")
async def test_the_organization_lists_the_volumes_of_all_apps(target):
    body = {"name": "data", "region": target.place.region, "size_gb": 1}
    made = [(await target.post("/apps/{app}/volumes", body)).json() for _ in range(2)]
    path, found, query = f"/orgs/{target.place.organization}/volumes", {}, {"limit": "1"}
    try:
        for _ in range(1000):
            page = (await target.get(path, **query)).json()
            found |= {volume["id"]: volume for volume in page["volumes"]}
            if not page.get("next_cursor"):
                break
            query["cursor"] = page["next_cursor"]
        assert {volume["id"] for volume in made} <= set(found)
        assert found[made[0]["id"]]["app_name"] == target.app
    finally:
        for volume in made:
            await target.delete(f"/apps/{{app}}/volumes/{volume['id']}")


@source("fly.md 8.2", "fly.md 4.2", "fly.md 6.1")
async def test_a_suspended_machine_starts_again_at_the_same_version(target):
    made = await target.started()
    assert (await target.post(f"{target.path(made)}/suspend")).status_code == 200
    await target.reached(made, "suspended")
    started = await target.post(f"{target.path(made)}/start")
    assert (started.status_code, started.json()["previous_state"]) == (200, "suspended")
    assert (await target.reached(made))["instance_id"] == made["instance_id"]


@source("fly.md 4.2")
async def test_a_machine_is_cordoned_and_uncordoned_while_it_runs(target):
    made = await target.started()
    assert (await target.post(f"{target.path(made)}/cordon")).status_code == 200
    assert (await target.show(made))["cordoned"] is True
    assert (await target.post(f"{target.path(made)}/uncordon")).status_code == 200
    shown = await target.show(made)
    assert (shown.get("cordoned", False), shown["state"]) == (False, "started")
