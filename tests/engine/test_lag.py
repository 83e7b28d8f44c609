"""Reads that lag behind writes, and the cookie that leads a caller to the node where they do not."""

import asyncio

import anyio
import httpx
import pytest

MACHINES = "/apps/acme-time/machines"


@pytest.fixture
async def lagging(open_bench, quick, stepped_clock):
    async with open_bench(quick(replication_lag_s=10, list_lag_s=30), clock=stepped_clock) as bench:
        yield bench


@pytest.fixture
async def stranger(lagging):
    """A caller without the cookie."""
    headers = {"authorization": f"FlyV1 {lagging.settings.token}"}
    async with httpx.AsyncClient(base_url=f"{lagging.engine.api_url}/v1", headers=headers) as client:
        yield client


async def test_a_new_app_is_known_to_its_maker_at_once_and_to_others_later(lagging, stranger, stepped_clock):
    made = await lagging.api.post("/apps", json={"name": "acme-time", "org_slug": "personal"})
    assert made.headers["set-cookie"].startswith("fly_flaps_affinity=")
    assert "Path=/v1/apps/acme-time;" in made.headers["set-cookie"]
    assert (await lagging.api.get("/apps/acme-time")).status_code == 200
    assert (await stranger.get("/apps/acme-time")).json() == {"message": "app not found"}
    stepped_clock.advance(10)
    assert (await stranger.get("/apps/acme-time")).status_code == 200


async def test_a_name_is_taken_also_where_the_app_is_not_known_yet(lagging, stranger):
    await lagging.make_app()
    refused = await stranger.post("/apps", json={"name": "acme-time", "org_slug": "personal"})
    assert refused.json()["status"] == "name_taken"


async def test_the_creation_of_an_app_can_wait_until_everybody_knows_it(lagging, stranger, stepped_clock, eventually):
    body = {"name": "acme-time", "org_slug": "personal"}
    making = asyncio.ensure_future(stranger.post("/apps", params={"wait": "true"}, json=body))
    due_ns = stepped_clock.time_ns + 10_000_000_000
    await eventually(lambda: any(deadline_ns == due_ns for deadline_ns, _ in stepped_clock.sleepers))
    assert not making.done()
    stepped_clock.advance(10)
    with anyio.fail_after(10):
        assert (await making).status_code == 201
    stranger.cookies.clear()
    assert (await stranger.get("/apps/acme-time")).status_code == 200


async def test_a_new_machine_is_a_404_and_missing_from_lists_for_a_while(lagging, stranger, stepped_clock):
    await lagging.make_app()
    stepped_clock.advance(60)
    machine = await lagging.make_machine(skip_launch=True)
    path = lagging.path(machine)
    for lagged in (path, f"{path}/wait?state=settled&timeout=1"):
        assert (await stranger.get(lagged)).json() == {"error": "machine not found"}
        assert (await lagging.api.get(lagged)).status_code == 200
    stepped_clock.advance(10)
    assert (await stranger.get(path)).status_code == 200
    assert (await stranger.get(MACHINES)).json() == []
    assert [one["id"] for one in (await lagging.api.get(MACHINES)).json()] == [machine["id"]]
    stepped_clock.advance(20)
    assert len((await stranger.get(MACHINES)).json()) == 1


async def test_the_list_of_the_organization_lags_for_everybody(lagging, stepped_clock):
    await lagging.make_app()
    await lagging.make_machine(skip_launch=True)
    for path in ("/orgs/personal/machines", "/apps?org_slug=personal"):
        body = (await lagging.api.get(path)).json()
        assert (body.get("machines") or body.get("apps") or []) == []
    stepped_clock.advance(30)
    assert len((await lagging.api.get("/orgs/personal/machines")).json()["machines"]) == 1
    assert len((await lagging.api.get("/apps?org_slug=personal")).json()["apps"]) == 1
