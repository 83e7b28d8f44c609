import pytest

from reconciler.core.actions import AllocateAddress, Create, CreateApp, DestroyApp, SetSecrets
from reconciler.core.secret import SecretValue
from reconciler.core.types import DesiredMachine, OutcomeKind

APP = "/v1/apps/acme-time"
CREATE_APP = CreateApp(server="time", app="acme-time", network="acme-time", reason="")
ADDRESS = AllocateAddress(server="time", app="acme-time", reason="")
SECRETS = SetSecrets(server="time", app="acme-time", names=("TOKEN",), reason="")
DESTROY_APP = DestroyApp(server="time", app="acme-time", reason="")
TAKEN = (422, {"error": "Validation failed: Name has already been taken", "status": "name_taken"})
RACE = (422, {"error": "uniqueness constraint violated"})
OURS = {"name": "acme-time", "network": "acme-time", "organization": {"slug": "acme-org"}}
MINE = {"id": "m1", "name": "time-1", "config": {"metadata": {"catwalk_fleet": "acme"}}}
VALUES = {"TOKEN": SecretValue("canary-plaintext")}


async def do(fleet, action, revision, secrets=None):
    return await fleet.apply(action, secrets=secrets or {}, revision=revision)


async def test_an_app_is_created_on_a_network_of_its_own(server, fleet, revision):
    server.on("POST", "/v1/apps", (201, {"id": "x", "created_at": 1}))
    outcome = await do(fleet, CREATE_APP, revision)
    assert outcome.kind is OutcomeKind.APPLIED
    assert server.seen[0].json == {"name": "acme-time", "org_slug": "acme-org", "network": "acme-time"}


@pytest.mark.parametrize("refusal", ["taken", "race", "lost"])
async def test_an_app_that_an_earlier_attempt_made_is_adopted(server, fleet, revision, refusal):
    server.on("POST", "/v1/apps", {"taken": TAKEN, "race": RACE, "lost": server.lost}[refusal])
    server.on("GET", APP, OURS)
    outcome = await do(fleet, CREATE_APP, revision)
    assert outcome.kind is OutcomeKind.ADOPTED
    assert len(server.calls("POST")) == 1


NAMES_TAKEN = [
    pytest.param((403, {"message": "Forbidden"}), "another organization", id="403"),
    pytest.param(OURS | {"organization": {"slug": "x"}}, "another organization", id="visible"),
    pytest.param(OURS | {"network": "default"}, "network default", id="an app of the user's own"),
]


@pytest.mark.parametrize(("answer", "owner"), NAMES_TAKEN)
async def test_a_name_that_belongs_to_somebody_else_is_refused_with_what_to_do(server, fleet, revision, answer, owner):
    server.on("POST", "/v1/apps", TAKEN)
    server.on("GET", APP, answer)
    outcome = await do(fleet, CREATE_APP, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == "app-name-taken"
    assert owner in outcome.problem.message
    assert "rename" in outcome.problem.hint


async def test_a_lost_app_that_is_not_there_is_not_taken_for_created(server, fleet, revision):
    server.on("POST", "/v1/apps", server.lost)
    server.on("GET", APP, (404, {"message": "app not found"}))
    outcome = await do(fleet, CREATE_APP, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == "fly-outcome-unknown"


async def test_an_address_is_allocated_in_the_network_of_the_gateway(server, fleet, revision):
    elsewhere = [
        {"ip": "66.241.1.1", "shared": True},
        {"ip": "fdaa:0:1::2", "network": {"name": "other"}},
        {"ip": "fdaa:0:1::3", "network": None},
    ]
    server.on("GET", f"{APP}/ip_assignments", {"ips": elsewhere})
    server.on("POST", f"{APP}/ip_assignments", {"ip": "fdaa:0:1::4"})
    outcome = await do(fleet, ADDRESS, revision)
    assert (outcome.kind, outcome.detail) == (OutcomeKind.APPLIED, "fdaa:0:1::4")
    assert server.calls("POST")[0].json == {"type": "private_v6", "network": "gateway"}


async def test_an_address_that_is_there_is_not_allocated_twice(server, fleet, revision):
    server.on("GET", f"{APP}/ip_assignments", {"ips": [{"ip": "fdaa:0:1::4", "network": {"name": "gateway"}}]})
    outcome = await do(fleet, ADDRESS, revision)
    assert outcome.kind is OutcomeKind.ADOPTED
    assert not server.calls("POST")


async def test_an_address_whose_answer_was_lost_is_looked_for(server, fleet, revision):
    found = {"ips": [{"ip": "fdaa:0:1::4", "network": {"name": "gateway"}}]}
    server.on("GET", f"{APP}/ip_assignments", {"ips": []}, found)
    server.on("POST", f"{APP}/ip_assignments", server.lost)
    outcome = await do(fleet, ADDRESS, revision)
    assert outcome.kind is OutcomeKind.ADOPTED
    assert len(server.calls("POST")) == 1


async def test_secrets_become_exactly_the_declared_ones_in_one_call(server, fleet, revision):
    server.on("GET", f"{APP}/secrets", {"secrets": [{"name": "OLD"}, {"name": "TOKEN"}]})
    server.on("POST", f"{APP}/secrets", {"secrets": [], "version": 7})
    outcome = await do(fleet, SECRETS, revision, VALUES)
    assert outcome.kind is OutcomeKind.APPLIED
    assert server.calls("POST")[0].json == {"values": {"TOKEN": "canary-plaintext", "OLD": None}}
    assert "canary" not in repr(outcome)


async def test_a_launch_asks_for_the_secrets_that_were_just_set(server, fleet, revision):
    server.on("GET", f"{APP}/secrets", {"secrets": []})
    server.on("POST", f"{APP}/secrets", {"secrets": [], "version": 7})
    server.on("POST", f"{APP}/machines", {"id": "m1", "state": "created", "instance_id": "01N"})
    server.on("GET", f"{APP}/machines/m1/wait", {"ok": True})
    machine = DesiredMachine(app="acme-time", server="time", name="time-1", region="iad", config="{}", digest="d")
    await do(fleet, SECRETS, revision, VALUES)
    await do(fleet, Create(server="time", app="acme-time", machine=machine, reason=""), revision, VALUES)
    assert server.calls("POST", f"{APP}/machines")[0].json["min_secrets_version"] == 7


async def test_an_app_without_secrets_needs_no_call(server, fleet, revision):
    server.on("GET", f"{APP}/secrets", {"secrets": None})
    action = SetSecrets(server="time", app="acme-time", names=(), reason="")
    assert (await do(fleet, action, revision)).kind is OutcomeKind.APPLIED
    assert not server.calls("POST")


async def test_a_declared_secret_without_a_value_stops_before_any_call(server, fleet, revision):
    outcome = await do(fleet, SECRETS, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == "secret-value-missing"
    assert not server.seen


async def test_an_answer_that_echoes_a_secret_does_not_reach_the_outcome(server, fleet, revision):
    server.on("GET", f"{APP}/secrets", {"secrets": []})
    server.on("POST", f"{APP}/secrets", (422, {"error": "invalid value canary-plaintext"}))
    outcome = await do(fleet, SECRETS, revision, VALUES)
    assert outcome.kind is OutcomeKind.FAILED
    assert "canary" not in repr(outcome)


async def test_a_new_app_that_other_nodes_do_not_know_yet_is_waited_for(server, fleet, revision):
    server.on("POST", "/v1/apps", (201, {}))
    missing = (404, {"error": "app not found"})
    server.on("GET", f"{APP}/ip_assignments", missing, (401, {"message": "Unauthorized"}), {"ips": []})
    server.on("POST", f"{APP}/ip_assignments", {"ip": "fdaa:0:1::4"})
    await do(fleet, CREATE_APP, revision)
    assert (await do(fleet, ADDRESS, revision)).kind is OutcomeKind.APPLIED


async def test_an_app_of_ours_is_destroyed_with_what_is_in_it(server, fleet, revision):
    server.on("GET", APP, OURS, OURS, (404, {"message": "app not found"}))
    server.on("GET", f"{APP}/machines", [MINE])
    server.on("DELETE", APP, (202, b""))
    outcome = await do(fleet, DESTROY_APP, revision)
    assert (outcome.kind, outcome.detail) == (OutcomeKind.APPLIED, "")
    assert len(server.calls("DELETE")) == 1


async def test_an_app_that_is_gone_is_destroyed(server, fleet, revision):
    server.on("GET", APP, (404, {"message": "app not found"}))
    assert (await do(fleet, DESTROY_APP, revision)).kind is OutcomeKind.APPLIED
    assert not server.calls("DELETE")


SILENT = {"id": "m2", "host_status": "unreachable"}
FOREIGN_APPS = [
    pytest.param((OURS, [MINE, {"id": "m2", "config": {}}]), "machine-not-ours", id="a stranger inside"),
    pytest.param((OURS, [SILENT]), "machine-host-silent", id="somebody on a silent host"),
    pytest.param((OURS | {"network": "default"}, []), "app-not-ours", id="on a network that is not ours"),
    pytest.param((OURS | {"organization": {"slug": "x"}}, []), "app-not-ours", id="of another organization"),
]


@pytest.mark.parametrize(("found", "code"), FOREIGN_APPS)
async def test_an_app_that_is_not_all_ours_is_never_destroyed(server, fleet, revision, found, code):
    app, machines = found
    server.on("GET", APP, app)
    server.on("GET", f"{APP}/machines", machines)
    outcome = await do(fleet, DESTROY_APP, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == code
    assert not server.calls("DELETE")
