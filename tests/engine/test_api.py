"""Routes, envelopes, tokens, apps, addresses and what belongs to no app."""

import httpx
import pytest

HELD = {"name": "acme-wiki", "org_slug": "personal"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/nothing"), ("PATCH", "/v1/apps/acme-time"), ("GET", "/v1/apps"), ("GET", "/v1/apps/"), ("GET", "/")],
)
async def test_an_unknown_route_is_a_plain_404_before_the_token_is_looked_at(bench, method, path):
    async with httpx.AsyncClient() as stranger:
        answer = await stranger.request(method, bench.engine.api_url + path)
    assert (answer.status_code, answer.text) == (404, "404 page not found\n")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["fly-request-id"]


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("FlyV1 {token}", 200),
        ("Bearer {token}", 200),
        ("Bearer FlyV1 {token}", 200),
        ("Bearer FlyV1{token}", 401),
        ("FlyV1 {token},fo1_oauth", 401),
        ("FlyV1 fm2_other", 401),
        ("", 401),
    ],
)
async def test_tokens_are_taken_in_the_forms_of_the_live_api(bench, authorization, status):
    header = authorization.format(token=bench.settings.token)
    answer = await bench.api.get("/apps/acme-time/machines", headers={"authorization": header})
    assert answer.status_code == status
    if status == 401:
        assert answer.json() == {"error": "Authenticate: token validation error"}
        assert answer.headers["www-authenticate"].startswith("Basic")


async def test_each_of_the_two_services_has_its_own_error_envelope(bench):
    assert (await bench.api.get("/apps/none")).json() == {"message": "app not found"}
    assert (await bench.api.get("/apps/none/machines")).json() == {"error": "app not found"}
    refused = await bench.api.get("/apps/none", headers={"authorization": "FlyV1 fm2_other"})
    assert (refused.status_code, refused.json()) == (401, {"message": "Unauthorized"})


async def test_an_app_is_made_shown_listed_and_deleted(bench):
    made = await bench.api.post("/apps", json={**HELD, "network": "acme-wiki"})
    assert (made.status_code, sorted(made.json())) == (201, ["created_at", "id"])
    shown = (await bench.api.get("/apps/acme-wiki")).json()
    assert (shown["name"], shown["network"], shown["organization"]["slug"]) == ("acme-wiki", "acme-wiki", "personal")
    listed = (await bench.api.get("/apps", params={"org_slug": "personal"})).json()
    assert {app["name"] for app in listed["apps"]} == {"acme-time", "acme-wiki"}
    assert (await bench.api.delete("/apps/acme-wiki")).status_code == 202
    assert (await bench.api.get("/apps/acme-wiki")).status_code == 404


async def test_the_older_field_app_name_is_taken_too(bench):
    assert (await bench.api.post("/apps", json={"app_name": "old", "org_slug": "personal"})).status_code == 201
    assert (await bench.api.get("/apps/old")).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        (
            {"name": "acme-time", "org_slug": "personal"},
            422,
            {"error": "Validation failed: Name has already been taken", "status": "name_taken"},
        ),
        (
            {"name": "Not_A_Name", "org_slug": "personal"},
            422,
            {"error": "Validation failed: Name under 63 chars using numbers, lowercase letters and dashes"},
        ),
        ({"name": "x"}, 400, {"message": "invalid_argument: org_slug is required"}),
        ({"name": "x", "org_slug": "other"}, 404, {"message": "organization other not found"}),
    ],
    ids=["taken", "invalid", "no-organization", "foreign-organization"],
)
async def test_an_app_that_cannot_be_is_refused(bench, body, status, answer):
    refused = await bench.api.post("/apps", json=body)
    assert (refused.status_code, refused.json()) == (status, answer)


async def test_an_idempotency_key_gives_the_first_app_again(bench):
    first = await bench.api.post("/apps", json={**HELD, "idempotency_key": "k"})
    again = await bench.api.post("/apps", json={**HELD, "idempotency_key": "k"})
    assert again.json() == first.json()
    other = await bench.api.post("/apps", json={**HELD, "name": "another", "idempotency_key": "k"})
    assert other.status_code == 422


async def test_a_body_that_is_no_json_is_refused_without_repeating_it(bench):
    refused = await bench.api.post("/apps/acme-time/secrets", content=b'{"values": {"A": "hunter2"')
    assert refused.status_code == 400
    assert "hunter2" not in refused.text


async def test_deleting_an_app_takes_its_machines_along(bench, vanish):
    machine = await bench.started()
    assert (await bench.api.delete("/apps/acme-time")).status_code == 202
    await vanish(machine["id"])
    assert (await bench.api.get("/orgs/personal/machines")).json()["machines"] == []


async def test_a_flycast_address_lies_in_the_network_that_was_asked_for(bench):
    path = "/apps/acme-time/ip_assignments"
    made = (await bench.api.post(path, json={"type": "private_v6", "network": "gateway"})).json()
    assert made["ip"].startswith("fdaa:")
    assert made["network"] == {"name": "gateway", "org_slug": "personal"}
    plain = (await bench.api.post(path, json={"type": "private_v6"})).json()
    assert plain["network"]["name"] == "default"
    assert (await bench.api.get(path)).json()["ips"] == [made, plain]
    assert (await bench.api.delete(f"{path}/{made['ip']}")).status_code == 204
    assert (await bench.api.get(path)).json()["ips"] == [plain]
    assert (await bench.api.post(path, json={"type": "v4"})).status_code == 400


async def test_regions_are_public_and_written_with_capitals(bench):
    async with httpx.AsyncClient() as stranger:
        answer = (await stranger.get(bench.engine.api_url + "/v1/platform/regions")).json()
    assert {"iad", "local"} <= {region["code"] for region in answer["Regions"]}
    assert answer["Nearest"] == "local"


async def test_the_present_token_names_its_organization(bench):
    [token] = (await bench.api.get("/tokens/current")).json()["tokens"]
    assert token["org_slug"] == "personal"


async def test_the_org_list_pages_by_cursor_oldest_change_first(bench):
    names = [f"m{number}" for number in range(5)]
    for name in names:
        await bench.make_machine(name=name, skip_launch=True, config={"metadata": {"catwalk_fleet": "acme"}})
    found, cursor = [], ""
    while True:
        query = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await bench.api.get("/orgs/personal/machines", params=query)).json()
        found += page["machines"]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert sorted({machine["name"] for machine in found}) == names
    assert found[0]["app_name"] == "acme-time"
    assert found[0]["config"]["metadata"] == {"catwalk_fleet": "acme"}
    last = page["last_updated_at"]
    later = (await bench.api.get("/orgs/personal/machines", params={"updated_after": last})).json()
    assert later["machines"] == []
    assert (await bench.api.get("/orgs/other/machines")).status_code == 404
