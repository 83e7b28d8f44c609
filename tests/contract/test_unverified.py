"""The open questions about the live API (fly.md 17), asked first. Against the engine they state the engine's answer.

A case that fails at Fly is a finding: the engine, the client and the note are then wrong about the same thing.
"""

import hashlib

import httpx
import pytest

from reconciler.core.secret import SecretValue
from reconciler.fly.authorization import authorization
from tests.contract.evidence import source


@source("fly.md 17.1", "fly.md 7.1", "fly.md 15.A.8")
async def test_a_fourth_call_within_a_second_is_429_with_an_error_and_no_retry_after(limited_target):
    path = f"/apps/{limited_target.app}/secrets"
    answers = [await limited_target.api.get(path) for _ in range(6)]
    assert [answer.status_code for answer in answers[:3]] == [200, 200, 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert all("retry-after" not in answer.headers and answer.json()["error"] for answer in refused)
    assert (await limited_target.get(path)).status_code == 200


@source("fly.md 7.1", "fly.md 15.A.8")
async def test_a_machine_is_read_ten_times_at_once_and_another_one_all_the_same(limited_target):
    one = await limited_target.create(skip_launch=True)
    other = await limited_target.create(skip_launch=True)
    answers = [await limited_target.api.get(limited_target.path(one)) for _ in range(10)]
    assert {answer.status_code for answer in answers} == {200}
    assert (await limited_target.api.get(limited_target.path(other))).status_code == 200


@source("fly.md 17.2", "fly.md 6.2")
async def test_a_wait_that_runs_out_is_408(target):
    made = await target.stopped(await target.started())
    answer = await target.get(f"{target.path(made)}/wait", state="started", timeout="1")
    assert answer.status_code == 408
    assert answer.json()["error"].startswith("deadline_exceeded: machine failed to reach desired state, started")


@source("fly.md 17.3", "fly.md 4.2")
async def test_a_lease_takes_its_ttl_from_the_body_or_the_query_and_answers_in_an_envelope(target):
    made = await target.create()
    in_body = await target.post(f"{target.path(made)}/lease", {"ttl": 40, "description": "contract"})
    lease = in_body.json()["data"]
    assert (in_body.status_code, lease["description"], lease["version"]) == (201, "contract", made["instance_id"])
    longer = {"params": {"ttl": "400"}, "headers": {"fly-machine-lease-nonce": lease["nonce"]}}
    in_query = await target.call("POST", f"{target.path(made)}/lease", **longer)
    assert in_query.json()["data"]["nonce"] == lease["nonce"]
    assert in_query.json()["data"]["expires_at"] - lease["expires_at"] > 300


@source("fly.md 17.4", "fly.md 7.5")
@pytest.mark.parametrize("action", ["restart", "signal", "suspend", "cordon", "exec"])
async def test_without_the_nonce_every_other_change_is_refused_at_once(target, action):
    made = await target.started()
    await target.lease(made)
    refused = await target.post(f"{target.path(made)}/{action}", {"signal": "SIGUSR1", "command": ["/bin/true"]})
    assert refused.status_code == 409
    assert f"machine ID {made['id']} lease currently held by" in refused.json()["error"]


@source("fly.md 17.8", "fly.md 8.1")
async def test_autostart_is_false_when_it_is_left_out(target):
    service = {"protocol": "tcp", "internal_port": 8080, "ports": [{"port": 80, "handlers": ["http"]}]}
    made = await target.create(target.config(services=[service]), skip_launch=True)
    assert made["config"]["services"][0].get("autostart", False) is False


@source("fly.md 17.9", "fly.md 4.1")
@pytest.mark.parametrize("field", ["name", "app_name"])
async def test_an_app_takes_its_name_from_either_field(target, field):
    name = f"{target.app}-{field.replace('_', '-')}"
    made = await target.post("/apps", {field: name, "org_slug": target.place.organization})
    assert made.status_code == 201
    assert (await target.get(f"/apps/{name}")).json()["name"] == name
    assert (await target.delete(f"/apps/{name}")).status_code == 202


@source("fly.md 17.10", "fly.md 4.4")
async def test_a_digest_is_stable_for_a_value_and_is_no_plain_hash_of_it(target):
    async def digest(value: str) -> str:
        answer = await target.post("/apps/{app}/secrets", {"values": {"A": value}})
        return answer.json()["secrets"][0]["digest"]

    first, other, again = await digest("one"), await digest("two"), await digest("one")
    assert first == again != other
    hashes = {hashlib.new(name, b"one").hexdigest() for name in ("md5", "sha1", "sha256", "sha512")}
    assert not any(found.startswith(first) for found in hashes)


@source("fly.md 17.11", "fly.md 3", "fly.md 10")
async def test_a_deploy_token_reads_the_logs_of_its_app(target):
    made = await target.post("/apps/{app}/deploy_token", {"expiry": "1h"})
    header = authorization(SecretValue(made.json()["token"]))
    async with httpx.AsyncClient(trust_env=target.place.live) as stranger:
        answer = await stranger.get(
            f"{target.place.logs_url}/api/v1/apps/{target.app}/logs", headers={"authorization": header}
        )
    assert answer.status_code == 200


@source("fly.md 17.12", "fly.md 7.2", "fly.md 4.2")
async def test_a_start_from_created_is_412(target):
    made = await target.create(skip_launch=True)
    refused = await target.post(f"{target.path(made)}/start")
    assert refused.status_code == 412
    assert refused.json()["error"].startswith("failed_precondition: unable to start machine from current state")


@source("fly.md 17.13", "fly.md 4.4", "fly.md 15.A.9")
async def test_a_plain_start_applies_secrets_that_were_set_while_the_machine_rested(target):
    script = 'echo "the secret is ${WORD:-unset}."; sleep 3600 & wait'
    made = await target.stopped(await target.started(target.script(script)))
    await target.post("/apps/{app}/secrets", {"values": {"WORD": "applied"}})
    assert (await target.post(f"{target.path(made)}/start")).status_code == 200
    await target.reached(made)

    async def told() -> bool:
        return "the secret is applied." in await target.log_text()

    assert await target.eventually(told)


@source("fly.md 17.15", "fly.md 6.2")
async def test_settled_is_a_state_to_wait_for(target):
    made = await target.create()
    answer = await target.get(f"{target.path(made)}/wait", state="settled", timeout="30")
    assert answer.status_code == 200
    assert (await target.show(made))["state"] in {"created", "started", "stopped"}


@source("fly.md 17.16", "fly.md 3", "fly.md 15.A.2")
async def test_a_macaroon_is_taken_behind_bearer_and_flyv1_with_a_space(target):
    own = authorization(SecretValue(target.place.token))
    if not own.startswith("FlyV1 "):
        pytest.skip("the token of this run is no macaroon")
    async with httpx.AsyncClient(trust_env=target.place.live) as stranger:
        answer = await stranger.get(
            f"{target.place.api_url}/v1/apps/{target.app}/machines", headers={"authorization": f"Bearer {own}"}
        )
    assert answer.status_code == 200


@source("fly.md 17.18", "fly.md 4.1")
async def test_an_app_without_an_organization_is_400(target):
    refused = await target.post("/apps", {"name": f"{target.app}-no-org"})
    assert refused.status_code == 400
