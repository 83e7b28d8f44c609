"""`wait`, and the lease that keeps others from changing a machine."""

import re

import anyio
import pytest

from tests.contract.evidence import source


@source("fly.md 6.2", "fly.md 15.A.6")
@pytest.mark.parametrize("seconds", ["0", "61", "600"])
async def test_a_wait_outside_its_range_is_400_with_the_range(target, seconds):
    made = await target.create(skip_launch=True)
    refused = await target.get(f"{target.path(made)}/wait", timeout=seconds)
    text = "invalid_argument: invalid WaitMachineRequest.Timeout: value must be inside range [1s, 1m0s]"
    assert (refused.status_code, refused.json()["error"]) == (400, text)


@source("fly.md 6.2", "fly.md 15.A.6")
async def test_a_wait_answers_the_state_and_no_machine(target):
    made = await target.started()
    found = (await target.get(f"{target.path(made)}/wait", state="started", timeout="5")).json()
    assert (found["ok"], found["state"]) == (True, "started")
    assert "config" not in found


@source("fly.md 6.2", "fly.md 15.A.6")
async def test_a_wait_takes_several_states(target):
    made = await target.stopped(await target.started())
    query = {"state": "started,stopped", "version": made["instance_id"], "timeout": "5"}
    assert (await target.get(f"{target.path(made)}/wait", **query)).json()["state"] == "stopped"


@source("fly.md 6.2", "fly.md 7.2", "fly.md 15.A.6")
async def test_a_state_that_cannot_come_is_409_at_once(target):
    made = await target.stopped(await target.started())
    with anyio.fail_after(15):
        refused = await target.get(f"{target.path(made)}/wait", state="suspended", timeout="30")
    assert refused.status_code == 409


@source("fly.md 6.2", "fly.md 6.1", "fly.md 15.A.6")
async def test_an_old_version_does_not_satisfy_a_wait(target):
    made = await target.started()
    changed = await target.post(target.path(made), {"config": target.config(env={"A": "1"})})
    await target.reached(changed.json())
    query = {"state": "started", "version": made["instance_id"], "timeout": "1"}
    assert not (await target.get(f"{target.path(made)}/wait", **query)).is_success


@source("fly.md 6.2", "fly.md 15.A.6")
async def test_a_wait_for_an_id_that_never_was_is_404(target):
    answer = await target.get("/apps/{app}/machines/0000000000000a/wait", timeout="1")
    assert answer.status_code == 404


@source("fly.md 6.2", "fly.md 15.A.6")
async def test_a_wait_from_an_event_is_not_satisfied_by_what_was_there_at_that_event(target):
    made = await target.started()
    last = (await target.show(made))["events"][0]["id"]
    path, query = f"{target.path(made)}/wait", {"state": "started", "from_event_id": last}
    assert (await target.get(path, timeout="1", **query)).status_code == 408
    assert (await target.post(f"{target.path(made)}/restart")).status_code == 200
    later = await target.get(path, timeout="60", **query)
    assert (later.status_code, later.json()["state"]) == (200, "started")
    assert later.json()["event_id"] != last


@source("fly.md 6.2", "fly.md 15.A.6")
async def test_a_wait_from_an_earlier_event_is_satisfied_at_once(target):
    made = await target.started()
    first = (await target.show(made))["events"][-1]["id"]
    answer = await target.get(f"{target.path(made)}/wait", state="started", timeout="5", from_event_id=first)
    assert answer.status_code == 200


@source("fly.md 6.2", "fly.md 15.A.6")
async def test_who_waits_for_the_stop_of_a_machine_that_destroys_itself_finds_nothing(target):
    made = await target.started(target.script("sleep 2; exit 0", auto_destroy=True, restart={"policy": "no"}))
    query = {"state": "stopped", "version": made["instance_id"], "timeout": "30"}
    assert (await target.get(f"{target.path(made)}/wait", **query)).status_code == 404
    await target.reached(made, "destroyed")


@source("fly.md 7.5", "fly.md 7.2", "fly.md 15.A.7", "fly.md 15.A.3")
async def test_a_lease_refuses_updates_starts_and_second_leases_without_its_nonce(target):
    made = await target.stopped(await target.started())
    nonce = await target.lease(made)
    assert re.fullmatch(r"[0-9a-f]{12}", nonce)
    update, start = {"config": target.config(env={"A": "1"})}, {}
    for path, body in ((target.path(made), update), (f"{target.path(made)}/start", start)):
        refused = await target.post(path, body)
        text = rf"aborted: machine ID {made['id']} lease currently held by \S+, expires at .+"
        assert refused.status_code == 409
        assert re.fullmatch(text, refused.json()["error"])
    second = await target.post(f"{target.path(made)}/lease", {"ttl": 5})
    assert (second.status_code, second.json()["status"], second.json()["code"]) == (409, "error", "invalid")
    assert (await target.post(target.path(made), update, fly_machine_lease_nonce=nonce)).status_code == 200


@source("fly.md 7.5", "fly.md 4.2", "fly.md 15.A.7")
async def test_metadata_is_written_past_a_lease(target):
    made = await target.create(skip_launch=True)
    await target.lease(made)
    assert (await target.post(f"{target.path(made)}/metadata/k", {"value": "v"})).status_code == 204


@source("fly.md 7.5", "fly.md 15.A.7")
async def test_the_nonce_refreshes_a_lease_which_survives_an_update_and_is_given_back_once(target):
    made = await target.started()
    path, nonce = f"{target.path(made)}/lease", await target.lease(made, 30)
    held = {"fly_machine_lease_nonce": nonce}
    refreshed = (await target.post(path, {"ttl": 300}, **held)).json()["data"]
    await target.post(target.path(made), {"config": target.config(env={"A": "1"})}, **held)
    shown = (await target.get(path)).json()["data"]
    assert (refreshed["nonce"], shown["expires_at"]) == (nonce, refreshed["expires_at"])
    assert shown["owner"]
    assert (await target.delete(path, **held)).status_code == 200
    assert (await target.get(path)).status_code == 404
    assert (await target.delete(path, **held)).status_code == 404


@source("fly.md 7.5", "fly.md 15.A.7")
async def test_stop_waits_for_a_foreign_lease_to_run_out_and_then_happens(target):
    made = await target.started()
    await target.lease(made, 2)
    with anyio.move_on_after(0.5) as early:
        await target.api.post(f"{target.path(made)}/stop", json={})
    assert early.cancelled_caught
    assert (await target.post(f"{target.path(made)}/stop")).status_code == 200
    await target.reached(made, "stopped")


@source("fly.md 4.2", "fly.md 7.5")
async def test_a_create_with_lease_ttl_answers_the_nonce(target):
    made = await target.create(skip_launch=True, lease_ttl=60)
    released = await target.delete(f"{target.path(made)}/lease", fly_machine_lease_nonce=made["nonce"])
    assert released.status_code == 200
