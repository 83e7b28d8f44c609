"""Volumes: the order in which they may be used, and what they keep."""

import pytest

VOLUMES = "/apps/acme-time/volumes"


async def make_volume(bench, **body: object):
    answer = await bench.api.post(VOLUMES, json={"name": "data", "region": "local", "size_gb": 1, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def mounting(volume):
    return {"mounts": [{"volume": volume["id"], "path": "/data"}]}


async def shell(bench, machine, line):
    body = {"command": ["/bin/sh", "-c", line]}
    return (await bench.api.post(f"{bench.path(machine)}/exec", json=body)).json()["stdout"]


async def test_a_volume_is_made_shown_changed_and_deleted(bench):
    made = await make_volume(bench)
    assert made["id"].startswith("vol_")
    assert (made["state"], made["size_gb"], made["encrypted"]) == ("created", 1, True)
    path = f"{VOLUMES}/{made['id']}"
    changed = await bench.api.put(path, json={"snapshot_retention": 7, "auto_backup_enabled": False})
    assert (changed.json()["snapshot_retention"], changed.json()["auto_backup_enabled"]) == (7, False)
    assert (await bench.api.get(path)).json() == changed.json()
    assert (await bench.api.get("/apps/acme-time")).json()["volume_count"] == 1
    assert (await bench.api.delete(path)).json()["state"] == "pending_destroy"
    assert (await bench.api.get(VOLUMES)).json() == []
    assert (await bench.api.get(path)).status_code == 404


async def test_a_repeated_creation_makes_a_second_volume(bench):
    first, second = await make_volume(bench), await make_volume(bench)
    assert first["id"] != second["id"]
    assert len((await bench.api.get(VOLUMES)).json()) == 2


async def test_the_organization_lists_volumes_by_their_last_change_in_pages(bench):
    first, second = await make_volume(bench), await make_volume(bench, region="iad")
    await bench.api.put(f"{VOLUMES}/{first['id']}/extend", json={"size_gb": 5})
    page = (await bench.api.get("/orgs/personal/volumes", params={"limit": 1})).json()
    assert [one["id"] for one in page["volumes"]] == [second["id"]]
    rest = (await bench.api.get("/orgs/personal/volumes", params={"cursor": page["next_cursor"]})).json()
    assert [(one["id"], one["app_name"]) for one in rest["volumes"]] == [(first["id"], "acme-time")]
    assert rest["next_cursor"] == ""
    later = {"updated_after": page["last_updated_at"]}
    assert rest["volumes"][0] in (await bench.api.get("/orgs/personal/volumes", params=later)).json()["volumes"]
    near = (await bench.api.get("/orgs/personal/volumes", params={"region": "iad"})).json()["volumes"]
    assert [one["id"] for one in near] == [second["id"]]
    assert (await bench.api.get("/orgs/personal/volumes", params={"state": "destroyed"})).json()["volumes"] == []
    assert (await bench.api.get("/orgs/other/volumes")).status_code == 404


async def test_a_volume_only_grows(bench):
    made = await make_volume(bench, size_gb=2)
    path = f"{VOLUMES}/{made['id']}/extend"
    assert (await bench.api.put(path, json={"size_gb": 2})).status_code == 400
    grown = (await bench.api.put(path, json={"size_gb": 3})).json()
    assert (grown["needs_restart"], grown["volume"]["size_gb"]) == (False, 3)


async def test_a_volume_belongs_to_one_machine_at_a_time_and_keeps_its_data(bench):
    volume = await make_volume(bench)
    first = await bench.started(config=mounting(volume))
    await shell(bench, first, "echo kept > data/note")
    path = f"{VOLUMES}/{volume['id']}"
    assert (await bench.api.get(path)).json()["attached_machine_id"] == first["id"]
    body = {"config": first["config"]}
    second = await bench.api.post("/apps/acme-time/machines", json=body)
    assert second.status_code == 412
    assert first["id"] in second.json()["error"]
    assert (await bench.api.delete(path)).status_code == 412
    await bench.api.delete(bench.path(first), params={"force": "true"})
    await bench.wait(first, "destroyed")
    assert "attached_machine_id" not in (await bench.api.get(path)).json()
    third = await bench.started(config=mounting(volume))
    assert await shell(bench, third, "cat data/note") == "kept\n"


async def test_a_volume_must_exist_before_its_machine(bench):
    config = {"image": "catwalk-runner", **mounting({"id": "vol_missing"})}
    refused = await bench.api.post("/apps/acme-time/machines", json={"config": config})
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_argument: volume vol_missing not found")


async def test_a_volume_of_another_region_cannot_be_placed(bench):
    volume = await make_volume(bench, region="iad")
    config = {"image": "catwalk-runner", **mounting(volume)}
    refused = await bench.api.post("/apps/acme-time/machines", json={"config": config, "region": "fra"})
    assert (refused.status_code, refused.json()["status"]) == (412, "volume_placement_capacity")
    placed = await bench.api.post("/apps/acme-time/machines", json={"config": config, "region": "iad,fra"})
    assert placed.status_code == 200


async def test_mounts_do_not_change_with_an_update(bench):
    volume = await make_volume(bench)
    made = await bench.make_machine(skip_launch=True, config=mounting(volume))
    config = {**made["config"], "mounts": None}
    refused = await bench.api.post(bench.path(made), json={"config": config})
    assert refused.status_code == 400
    same = await bench.api.post(bench.path(made), json={"config": made["config"], "skip_launch": True})
    assert same.status_code == 200


@pytest.mark.parametrize(
    "mounts",
    [
        [{"name": "data", "path": "/data"}],
        [{"volume": "vol_a", "path": "data"}],
        [{"volume": "vol_a", "path": "/../data"}],
        [{"volume": "vol_a", "path": "/a"}, {"volume": "vol_b", "path": "/b"}],
    ],
    ids=["by-name", "relative", "outside", "two"],
)
async def test_mounts_that_cannot_be_are_refused(bench, mounts):
    config = {"image": "catwalk-runner", "mounts": mounts}
    refused = await bench.api.post("/apps/acme-time/machines", json={"config": config})
    assert refused.status_code == 400
    assert "config.mounts" in refused.json()["error"]


async def test_the_data_goes_with_the_app(bench):
    volume = await make_volume(bench)
    await bench.started(config=mounting(volume))
    directory = bench.settings.state_dir / "volumes" / volume["id"]
    assert directory.is_dir()
    await bench.api.delete("/apps/acme-time")
    assert not directory.exists()


async def test_a_list_shows_leases_where_they_are_asked_for_and_no_nonce(bench):
    made = await bench.make_machine(skip_launch=True, lease_ttl=30)
    [plain] = (await bench.api.get("/apps/acme-time/machines")).json()
    [listed] = (await bench.api.get("/apps/acme-time/machines?include_leases=true")).json()
    assert "lease" not in plain
    assert sorted(listed["lease"]) == ["description", "expires_at", "owner"]
    assert made["nonce"] not in str(listed)


async def test_a_machine_updated_at_rest_refuses_to_start_for_a_while(open_bench, quick):
    async with open_bench(quick(replace_s=30)) as bench:
        await bench.make_app()
        made = await bench.make_machine(skip_launch=True)
        await bench.wait(made, "stopped")
        await bench.api.post(bench.path(made), json={"config": made["config"], "skip_launch": True})
        refused = await bench.api.post(f"{bench.path(made)}/start")
        assert refused.status_code == 412
        assert refused.json() == {"error": "failed_precondition: machine getting replaced, refusing to start"}
