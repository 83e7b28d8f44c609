"""Routes, content types, request ids, the two error envelopes, and tokens."""

import re

import httpx
import pytest

from reconciler.core.secret import SecretValue
from reconciler.fly.authorization import authorization
from tests.contract.evidence import source


async def stranger(target, method, path, **headers: str):
    """A call without the token, or with another one."""
    async with httpx.AsyncClient(trust_env=target.place.live) as client:
        return await client.request(method, target.place.api_url + path, headers=headers)


@source("fly.md 2.3", "fly.md 7.2", "fly.md 15.A.1")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "/v1/nothing", id="route"),
        pytest.param("PATCH", "/v1/apps/x", id="method"),
        pytest.param("GET", "/v1/apps", id="apps without org_slug"),
    ],
)
async def test_an_unknown_route_is_plain_text_before_the_token_is_looked_at(target, method, path):
    answer = await stranger(target, method, path)
    assert (answer.status_code, answer.text.strip()) == (404, "404 page not found")
    assert answer.headers["content-type"].startswith("text/plain")


@source("fly.md 2.3", "fly.md 15.A.1")
async def test_every_answer_is_json_in_utf_8_with_a_request_id(target):
    for path in ("/apps/{app}", "/apps/{app}/machines", "/apps/{app}/machines/0000000000000a"):
        answer = await target.get(path)
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert re.fullmatch(r"[0-9A-Z]{26}-\w+", answer.headers["fly-request-id"])


@source("fly.md 2.3", "fly.md 15.A.1")
async def test_apps_answer_errors_in_one_envelope_and_machines_in_another(target):
    of_apps = await target.get(f"/apps/{target.app}-none")
    of_machines = await target.get("/apps/{app}/machines/0000000000000a")
    assert (of_apps.status_code, list(of_apps.json())) == (404, ["message"])
    assert (of_machines.status_code, of_machines.json()["error"]) == (404, "machine not found")


@source("fly.md 3", "fly.md 7.2", "fly.md 15.A.2")
@pytest.mark.parametrize("headers", [{}, {"authorization": "FlyV1 fm2_bm9ib2R5"}], ids=["none", "another"])
async def test_a_token_that_is_missing_or_wrong_is_401_with_a_misleading_realm(target, headers):
    answer = await stranger(target, "GET", f"/v1/apps/{target.app}/machines", **headers)
    assert (answer.status_code, answer.json()["error"]) == (401, "Authenticate: token validation error")
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


@source("fly.md 3", "fly.md 15.A.2")
@pytest.mark.parametrize("form", ["Bearer FlyV1{token}", "FlyV1 {token},fo1_oauth"], ids=["stuck", "mixed"])
async def test_a_token_in_a_form_that_fly_does_not_know_is_401(target, form):
    own = authorization(SecretValue(target.place.token))
    if not own.startswith("FlyV1 "):
        pytest.skip("the token of this run is no macaroon")
    header = form.format(token=own.removeprefix("FlyV1 "))
    answer = await stranger(target, "GET", f"/v1/apps/{target.app}/machines", authorization=header)
    assert answer.status_code == 401


@source("fly.md 3", "fly.md 15.A.13")
async def test_the_present_token_names_its_organization(target):
    tokens = (await target.get("/tokens/current")).json()["tokens"]
    assert target.place.organization in {token["org_slug"] for token in tokens}


@source("fly.md 4.5", "fly.md 15.A.13", "fly.md 15.F")
async def test_regions_are_public_and_written_with_capitals(target):
    answer = await stranger(target, "GET", "/v1/platform/regions")
    assert target.place.region in {region["code"] for region in answer.json()["Regions"]}
    assert answer.json()["Nearest"]


@source("fly.md 15.A.1", "fly.md 7.2")
async def test_a_body_that_is_no_json_is_400_and_not_quoted(target):
    answer = await target.call("POST", "/apps/{app}/secrets", content=b'{"values": {"A": "hunter2"')
    assert answer.status_code == 400
    assert "hunter2" not in answer.text


@source("fly.md 3", "fly.md 7.2", "fly.md 15.A.2")
async def test_a_deploy_token_is_for_its_app_and_403_elsewhere(target):
    other = f"{target.app}-other"
    await target.post("/apps", {"name": other, "org_slug": target.place.organization})
    made = await target.post("/apps/{app}/deploy_token", {"expiry": "1h"})
    header = {"authorization": authorization(SecretValue(made.json()["token"]))}
    statuses = [
        (await stranger(target, "GET", f"/v1/apps/{app}/machines", **header)).status_code for app in (target.app, other)
    ]
    assert statuses == [200, 403]
    assert (await target.delete(f"/apps/{other}")).status_code == 202
