"""What a token may do: the organization's, a reader's, and one app's deploy token."""

from dataclasses import replace

import pytest

from reconciler.engine.api.grants import presented

READER = "fm2_cmVhZGVy"
WIKI = {"name": "acme-wiki", "org_slug": "personal"}


@pytest.fixture
async def house(open_bench, settings, stepped_clock):
    """Two apps, and a clock that lets tokens expire."""
    async with open_bench(replace(settings, readonly_token=READER), clock=stepped_clock) as bench:
        await bench.make_app()
        await bench.make_app("acme-wiki")
        yield bench


def bearing(token):
    return {"authorization": token if token.startswith("FlyV1 ") else f"FlyV1 {token}"}


async def deploy_token(bench, **body: object):
    answer = await bench.api.post("/apps/acme-time/deploy_token", json=body)
    assert answer.status_code == 200
    return answer.json()["token"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/apps/acme-time", 200),
        ("GET", "/apps/acme-time/machines", 200),
        ("POST", "/apps/acme-time/secrets", 200),
        ("GET", "/apps/acme-wiki", 403),
        ("GET", "/apps/acme-wiki/machines", 403),
        ("POST", "/apps/acme-wiki/secrets", 403),
        ("DELETE", "/apps/acme-wiki", 403),
        ("GET", "/apps/none/machines", 404),
        ("POST", "/apps", 403),
        ("GET", "/apps?org_slug=personal", 403),
        ("GET", "/orgs/personal/machines", 403),
        ("POST", "/apps/acme-time/deploy_token", 403),
        ("GET", "/tokens/current", 200),
    ],
)
async def test_a_deploy_token_is_for_its_app_alone(house, method, path, status):
    token = await deploy_token(house)
    body = {"values": {"A": "1"}} if path.endswith("secrets") else None
    answer = await house.api.request(method, path, json=body, headers=bearing(token))
    assert answer.status_code == status


async def test_the_refusal_has_the_envelope_of_its_service(house):
    token = await deploy_token(house)
    apps = await house.api.get("/apps/acme-wiki", headers=bearing(token))
    machines = await house.api.get("/apps/acme-wiki/machines", headers=bearing(token))
    assert (list(apps.json()), list(machines.json())) == (["message"], ["error"])


async def test_a_deploy_token_names_its_app(house):
    token = await deploy_token(house)
    [current] = (await house.api.get("/tokens/current", headers=bearing(token))).json()["tokens"]
    assert (current["org_slug"], current["apps"]) == ("personal", ["acme-time"])


async def test_a_deploy_token_expires_and_goes_with_its_app(house, stepped_clock):
    short, long = await deploy_token(house, expiry="1h"), await deploy_token(house)
    stepped_clock.advance(3601)
    assert (await house.api.get("/apps/acme-time", headers=bearing(short))).status_code == 401
    assert (await house.api.get("/apps/acme-time", headers=bearing(long))).status_code == 200
    await house.api.delete("/apps/acme-time")
    assert (await house.api.get("/apps/acme-time", headers=bearing(long))).status_code == 401


async def test_a_deploy_token_outlives_the_engine_and_is_not_in_its_files(open_bench, settings):
    async with open_bench(settings) as bench:
        await bench.make_app()
        token = await deploy_token(bench)
    kept = b"".join(path.read_bytes() for path in settings.state_dir.iterdir() if path.is_file())
    assert token.removeprefix("FlyV1 ").encode() not in kept
    async with open_bench(settings) as bench:
        assert (await bench.api.get("/apps/acme-time", headers=bearing(token))).status_code == 200


async def test_an_expiry_that_is_no_duration_is_refused(house):
    refused = await house.api.post("/apps/acme-time/deploy_token", json={"expiry": "soon"})
    assert refused.status_code == 400


async def test_a_reader_reads_everything_and_changes_nothing(house):
    machine = await house.make_machine(skip_launch=True)
    for path in ("/apps/acme-wiki", "/orgs/personal/machines", "/apps?org_slug=personal", house.path(machine)):
        assert (await house.api.get(path, headers=bearing(READER))).status_code == 200
    for path in ("/apps", f"{house.path(machine)}/start", f"{house.path(machine)}/lease", "/apps/acme-time/secrets"):
        assert (await house.api.post(path, json=WIKI, headers=bearing(READER))).status_code == 403
    assert (await house.api.delete(house.path(machine), headers=bearing(READER))).status_code == 403


async def test_a_token_may_come_with_its_discharges(house):
    header = f"FlyV1 {house.settings.token},fm2_ZGlzY2hhcmdl"
    assert (await house.api.get("/apps/acme-time", headers={"authorization": header})).status_code == 200


@pytest.mark.parametrize(
    ("header", "tokens"),
    [
        ("FlyV1 fm2_a", ("fm2_a", "fm2_a")),
        ("Bearer FlyV1 fm2_a,fm1r_b", ("fm2_a,fm1r_b", "fm2_a", "fm1r_b")),
        ("Bearer FlyV1fm2_a", ("FlyV1fm2_a", "FlyV1fm2_a")),
        ("FlyV1 fm2_a,fo1_b", ()),
        ("Bearer fo1_b", ("fo1_b", "fo1_b")),
    ],
)
def test_a_header_is_taken_apart_as_the_live_api_does(header, tokens):
    assert presented(header) == tokens
