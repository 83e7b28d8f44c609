"""Apps, addresses and secrets."""

import re

import pytest

from tests.contract.evidence import source


@source("fly.md 4.1")
async def test_an_app_is_shown_and_listed_with_its_network_and_organization(target):
    shown = (await target.get("/apps/{app}")).json()
    assert (shown["name"], shown["network"]) == (target.app, target.app)
    assert shown["organization"]["slug"] == target.place.organization
    listed = (await target.get("/apps", org_slug=target.place.organization)).json()
    assert target.app in {app["name"] for app in listed["apps"]}


@source("fly.md 4.1", "fly.md 7.2", "fly.md 15.A.3")
async def test_a_name_that_is_taken_is_422_name_taken(target):
    refused = await target.post("/apps", {"name": target.app, "org_slug": target.place.organization})
    assert refused.status_code == 422
    assert refused.json()["error"] == "Validation failed: Name has already been taken"
    assert refused.json()["status"] == "name_taken"


@source("fly.md 4.1", "fly.md 15.A.3")
@pytest.mark.parametrize("name", ["Catwalk", "cat_walk", "c" * 64], ids=["capital", "underscore", "long"])
async def test_a_name_that_cannot_be_is_422_with_the_rule(target, name):
    refused = await target.post("/apps", {"name": name, "org_slug": target.place.organization})
    assert refused.status_code == 422
    rule = "Validation failed: Name under 63 chars using numbers, lowercase letters and dashes"
    assert refused.json()["error"] == rule


@source("fly.md 4.1", "fly.md 15.A.3")
async def test_an_idempotency_key_gives_the_first_app_again_and_no_other(target):
    wanted = {"name": f"{target.app}-key", "org_slug": target.place.organization, "idempotency_key": target.app}
    first, again = await target.post("/apps", wanted), await target.post("/apps", wanted)
    other = await target.post("/apps", wanted | {"name": f"{target.app}-other"})
    assert first.json()["id"] == again.json()["id"]
    assert not other.is_success
    assert (await target.delete(f"/apps/{target.app}-key")).status_code == 202


@source("fly.md 4.1", "fly.md 15.A.13")
async def test_an_app_that_is_deleted_takes_its_machines_along(target):
    name = f"{target.app}-gone"
    await target.post("/apps", {"name": name, "org_slug": target.place.organization})
    made = await target.post(f"/apps/{name}/machines", {"config": target.config(), "region": target.place.region})
    assert (await target.call("DELETE", f"/apps/{name}?force=true")).status_code == 202

    async def gone() -> bool:
        app = (await target.get(f"/apps/{name}")).status_code == 404
        listed = (await target.get(f"/orgs/{target.place.organization}/machines")).json()["machines"]
        return app and made.json()["id"] not in {machine["id"] for machine in listed}

    assert await target.eventually(gone)


@source("fly.md 4.5", "fly.md 15.A.13")
async def test_a_flycast_address_lies_in_the_default_network_unless_one_is_named(target):
    path = "/apps/{app}/ip_assignments"
    plain = (await target.post(path, {"type": "private_v6"})).json()
    named = (await target.post(path, {"type": "private_v6", "network": target.app})).json()
    assert plain["ip"].startswith("fdaa:")
    assert (plain.get("network") or {}).get("name", "default") == "default"
    assert named["network"]["name"] == target.app
    listed = (await target.get(path)).json()["ips"]
    assert {address["ip"] for address in listed} == {plain["ip"], named["ip"]}
    assert (await target.delete(f"{path}/{named['ip']}")).is_success
    assert [address["ip"] for address in (await target.get(path)).json()["ips"]] == [plain["ip"]]


@source("fly.md 4.4", "fly.md 15.A.9")
async def test_secrets_are_set_and_unset_in_one_call_that_makes_a_version(target):
    first = (await target.post("/apps/{app}/secrets", {"values": {"A": "1", "B": "2"}})).json()
    second = (await target.post("/apps/{app}/secrets", {"values": {"A": "3", "B": None}})).json()
    assert second["version"] > first["version"]
    assert {secret["name"] for secret in first["secrets"]} == {"A", "B"}
    listed = (await target.get("/apps/{app}/secrets")).json()["secrets"]
    assert [secret["name"] for secret in listed] == ["A"]


@source("fly.md 4.4", "fly.md 15.A.9")
async def test_no_answer_about_a_secret_holds_its_value(target):
    value = "hunter2-of-the-contract"
    answers = [
        await target.post("/apps/{app}/secrets", {"values": {"A": value}}),
        await target.post("/apps/{app}/secrets/B", {"value": value}),
        await target.get("/apps/{app}/secrets"),
        await target.get("/apps/{app}/secrets/A"),
        await target.delete("/apps/{app}/secrets/B"),
    ]
    assert all(answer.is_success for answer in answers)
    assert not any(value in answer.text for answer in answers)


@source("fly.md 4.4", "fly.md 15.A.9")
async def test_a_machine_boots_with_at_least_the_secrets_that_it_asks_for(target):
    version = (await target.post("/apps/{app}/secrets", {"values": {"WORD": "present"}})).json()["version"]
    script = 'echo "the secret is ${WORD:-unset}."; sleep 3600 & wait'
    await target.started(target.script(script), min_secrets_version=version)

    async def told() -> list[str]:
        return re.findall(r"the secret is (\w+)\.", await target.log_text())

    assert await target.eventually(told) == ["present"]
