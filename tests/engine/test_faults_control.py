"""The control routes: faults, the clock and the script of a simulation, steered over HTTP."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from reconciler.engine import Simulation, Timings, run_engine

TOKEN = "fm2_" + "dG9rZW4"
LOST_CREATE = {"effect": {"effect": "lost-answer"}, "method": "POST", "route": "/v1/apps", "times": 1}


@pytest.fixture
async def steered(settings) -> AsyncIterator[httpx.AsyncClient]:
    changed = replace(settings, control=True, timings=Timings())
    async with run_engine(changed, simulation=Simulation()) as engine, client_of(engine.api_url) as client:
        yield client


def client_of(url: str, token: str = TOKEN) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers={"authorization": f"FlyV1 {token}"}, timeout=30)


async def test_the_control_routes_are_absent_unless_a_setting_turns_them_on(settings):
    async with run_engine(settings) as engine, client_of(engine.api_url) as client:
        missing = await client.get("/_engine/faults")
        assert (missing.status_code, missing.text) == (404, "404 page not found\n")


@pytest.mark.parametrize("path", ["faults", "clock", "behaviours"])
async def test_the_control_routes_want_the_token(steered, path):
    refused = await steered.get(f"/_engine/{path}", headers={"authorization": "FlyV1 other"})
    assert refused.status_code == 401


async def test_a_fault_is_planted_acts_and_is_counted_and_listed(steered):
    planted = await steered.post("/_engine/faults", json=LOST_CREATE)
    assert (planted.status_code, planted.json()) == (201, {"id": "fault-1"})
    with pytest.raises(httpx.RemoteProtocolError):
        await steered.post("/v1/apps", json={"app_name": "one", "org_slug": "personal"})
    listed = (await steered.get("/_engine/faults")).json()
    assert listed["rules"][0]["fired"] == 1
    assert listed["rules"][0]["rule"]["effect"] == {"effect": "lost-answer", "committed": True}
    assert listed["firings"] == [{"rule_id": "fault-1", "effect": "lost-answer", "occasion": "POST /v1/apps"}]
    assert (await steered.get("/v1/apps/one")).status_code == 200


async def test_faults_are_removed_one_by_one_and_all_together(steered):
    ids = [(await steered.post("/_engine/faults", json=LOST_CREATE)).json()["id"] for _ in range(3)]
    assert (await steered.delete(f"/_engine/faults/{ids[0]}")).status_code == 204
    assert (await steered.delete(f"/_engine/faults/{ids[0]}")).status_code == 404
    assert [rule["id"] for rule in (await steered.get("/_engine/faults")).json()["rules"]] == ids[1:]
    assert (await steered.delete("/_engine/faults")).status_code == 204
    assert (await steered.get("/_engine/faults")).json() == {"rules": [], "firings": []}


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ({}, "effect"),
        ({"effect": {"effect": "meteor"}}, "effect"),
        ({"effect": {"effect": "conflict", "reason": "mood"}}, "effect.conflict.reason"),
        ({"effect": {"effect": "lost-answer", "commited": False}}, "effect.lost-answer.commited"),
        ({**LOST_CREATE, "nth": 0}, "nth"),
        ({**LOST_CREATE, "probability": 2}, "probability"),
        ({**LOST_CREATE, "rout": "/v1"}, "rout"),
    ],
    ids=["nothing", "effect", "reason", "misspelt-effect-key", "nth", "probability", "misspelt-key"],
)
async def test_a_rule_that_means_nothing_is_refused_with_its_place(steered, rule, place):
    refused = await steered.post("/_engine/faults", json=rule)
    assert refused.status_code == 400
    assert refused.json()["error"].startswith(f"invalid_argument: {place}: ")


async def test_the_clock_is_read_advanced_and_made_to_jump(steered):
    before = (await steered.get("/_engine/clock")).json()
    assert before["running"] is False
    after = (await steered.post("/_engine/clock", json={"advance_s": 90})).json()
    back = (await steered.post("/_engine/clock", json={"jump_s": -90})).json()
    assert (before["now"], back["now"]) == ("2027-01-15T08:00:00.000000Z",) * 2
    assert after["now"] == "2027-01-15T08:01:30.000000Z"


async def test_a_clock_that_goes_back_hides_nothing(steered):
    await steered.post("/v1/apps", json={"app_name": "one", "org_slug": "personal"})
    made = (await steered.post("/v1/apps/one/machines", json={"config": {"image": "any"}})).json()
    await steered.post("/_engine/clock", json={"jump_s": -3600})
    assert (await steered.get(f"/v1/apps/one/machines/{made['id']}")).status_code == 200
    listed = (await steered.get("/v1/orgs/personal/machines")).json()["machines"]
    assert [machine["id"] for machine in listed] == [made["id"]]


async def test_the_script_of_a_simulation_is_set_for_an_app_and_followed(steered):
    script = {"exit_after_s": 5, "exit_code": 71}
    assert (await steered.put("/_engine/behaviours/one", json=script)).status_code == 204
    assert (await steered.put("/_engine/behaviours/*", json={"healthy_after_s": None})).status_code == 204
    known = (await steered.get("/_engine/behaviours")).json()
    assert (known["one"]["exit_code"], known["*"]["healthy_after_s"]) == (71, None)
    await steered.post("/v1/apps", json={"app_name": "one", "org_slug": "personal"})
    config = {"image": "any", "restart": {"policy": "no"}}
    made = (await steered.post("/v1/apps/one/machines", json={"config": config})).json()
    await steered.post("/_engine/clock", json={"advance_s": 6})
    found = (await steered.get(f"/v1/apps/one/machines/{made['id']}")).json()
    exits = [event["request"]["exit_event"] for event in found["events"] if event["type"] == "exit"]
    assert (found["state"], exits[0]["exit_code"]) == ("stopped", 71)


async def test_a_tag_is_moved_for_the_machines_that_are_made_afterwards(steered):
    await steered.post("/v1/apps", json={"app_name": "one", "org_slug": "personal"})
    body = {"config": {"image": "tool:1"}}
    before = (await steered.post("/v1/apps/one/machines", json=body)).json()
    moved = await steered.post("/_engine/images", json={"image": "tool:1"})
    after = (await steered.post("/v1/apps/one/machines", json=body)).json()
    assert after["image_ref"]["digest"] == moved.json()["digest"] != before["image_ref"]["digest"]
    refused = await steered.post("/_engine/images", json={"image": "tool@sha256:0"})
    assert (refused.status_code, refused.json()["error"][:23]) == (400, "invalid_argument: image")


async def test_a_behaviour_that_means_nothing_is_refused(steered):
    refused = await steered.put("/_engine/behaviours/one", json={"exit_after_s": "soon"})
    assert refused.status_code == 400


async def test_no_fault_acts_on_the_control_routes(steered):
    await steered.post("/_engine/faults", json={"effect": {"effect": "server-error"}})
    assert (await steered.get("/v1/apps/one")).status_code == 503
    assert (await steered.delete("/_engine/faults")).status_code == 204
    assert (await steered.get("/v1/apps/one")).status_code == 404


async def test_real_processes_can_be_steered_too_but_have_no_script(settings):
    async with run_engine(replace(settings, control=True)) as engine, client_of(engine.api_url) as client:
        assert (await client.get("/_engine/clock")).json()["running"] is True
        assert (await client.get("/_engine/behaviours")).status_code == 404
        jumped = await client.post("/_engine/clock", json={"advance_s": 86_400})
        assert jumped.status_code == 200
