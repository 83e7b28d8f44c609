"""The ranked faults of the platform (fly.md 13), client against engine: none makes a second machine or leaves one."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from reconciler.core.actions import SetSecrets, Start
from reconciler.core.secret import SecretValue
from reconciler.core.types import MachineState, OutcomeKind
from reconciler.fly.session import Patience
from tests.contract.conftest import Instead
from tests.contract.evidence import source

NOT_FOUND = Instead(status=404, body=b'{"error":"machine not found"}')
FULL = Instead(status=422, body=b'{"error":"could not find a candidate host","status":"insufficient_capacity"}')
HOST_FULL = b'{"error":"aborted: could not reserve resource for machine: insufficient memory available"}'


def problems(outcomes):
    return [outcome.problem for outcome in outcomes if outcome.problem]


async def only(stage):
    """The one living machine."""
    (machine,) = await stage.machines()
    return machine


async def converged(stage, server, *, machine_id=""):
    """The next pass succeeds, leaves one machine (the same where it is named), and nothing to do."""
    assert problems(await stage.converge(server)) == []
    machine = await only(stage)
    assert machine_id in {"", machine["id"]}
    assert await stage.actions(server) == ()
    return machine


@source("fly.md 13.2", "fly.md 7.3", "fly.md 15.A.4")
@pytest.mark.parametrize("ending", ["/wait", ""], ids=["wait", "get"])
async def test_not_found_right_after_a_create_makes_no_second_machine(stage, ending):
    def fault(exchange):
        path = exchange.path.partition("?")[0]
        is_asked = exchange.method == "GET" and "/machines/" in path and path.endswith(ending)
        if not is_asked or len(stage.wire.cuts) >= 2:
            return None
        stage.wire.cuts.append(exchange)
        return NOT_FOUND

    stage.wire.fault = fault
    assert problems(await stage.converge(stage.server())) == []
    assert stage.wire.cuts
    await converged(stage, stage.server())


@source("fly.md 13.4")
async def test_a_machine_that_boots_long_after_it_was_given_up_is_the_one_that_stays(stage):
    *prepare, create = await stage.actions(stage.server())
    for action in prepare:
        await stage.apply(action)
    stage.wire.instead("GET", "/wait", Instead(status=408, body=b'{"error":"deadline_exceeded"}'), times=1000)
    stage.wire.rewrite = lambda _, content: content.replace(b'"state":"started"', b'"state":"created"')
    outcome = await stage.apply(create, stage.another_fleet(Patience(launch_s=1.5, slice_s=1)))
    assert outcome.problem is not None
    assert outcome.problem.code == "machine-not-started"
    stuck = await only(stage)
    stage.wire.fault, stage.wire.rewrite = lambda _: None, lambda _, content: content
    again = await stage.apply(create, stage.another_fleet())
    assert (again.kind, again.machine_id) == (OutcomeKind.ADOPTED, stuck["id"])
    await converged(stage, stage.server(), machine_id=stuck["id"])


@source("fly.md 13.5", "fly.md 13.8", "fly.md 7.2")
@pytest.mark.parametrize("body", [HOST_FULL, b"", b"{}"], ids=["host memory", "no body", "no message"])
async def test_a_refused_update_leaves_the_one_machine_as_it_was(stage, body):
    await stage.converge(stage.server())
    before, changed = await only(stage), stage.server("time", "--changed")
    stage.wire.instead("POST", f"/machines/{before['id']}", Instead(status=409, body=body))
    assert len(problems(await stage.converge(changed))) == 1
    after = await only(stage)
    assert (after["id"], after["instance_id"], after["state"]) == (before["id"], before["instance_id"], "started")
    assert (await stage.past_the_wire("GET", f"/machines/{before['id']}/lease")).status_code == 404
    await converged(stage, changed, machine_id=before["id"])


@source("fly.md 13.6", "fly.md 7.2")
async def test_a_region_without_room_leaves_no_machine_and_the_next_pass_makes_one(stage):
    stage.wire.instead("POST", "/machines", FULL)
    (problem,) = problems(await stage.converge(stage.server()))
    assert problem.code == "region-full"
    assert await stage.machines() == []
    await converged(stage, stage.server())


@source("fly.md 13.7", "fly.md 7.5")
async def test_a_lease_that_a_crash_left_behind_is_waited_out_and_not_worked_around(stage):
    await stage.converge(stage.server())
    before, changed = await only(stage), stage.server("time", "--changed")
    await stage.past_the_wire("POST", f"/machines/{before['id']}/lease", {"ttl": 3})
    (problem,) = problems(await stage.converge(changed))
    assert problem.code == "machine-leased"
    assert (await only(stage))["instance_id"] == before["instance_id"]

    async def free():
        return (await stage.past_the_wire("GET", f"/machines/{before['id']}/lease")).status_code == 404

    await stage.eventually(free)
    await converged(stage, changed, machine_id=before["id"])


def silenced(_, content):
    """Answers about machines as they are while the host does not answer: no config, not even a mark."""
    found = json.loads(content) if content else {}
    entries = found.get("machines", [found]) if isinstance(found, dict) else found
    for entry in entries:
        if isinstance(entry, dict) and entry.pop("config", None):
            entry.update(incomplete_config={}, host_status="unreachable")
    return json.dumps(found).encode()


@source("fly.md 13.9", "fly.md 13.20")
async def test_a_machine_on_a_silent_host_is_neither_replaced_nor_destroyed(stage):
    await stage.converge(stage.server())
    before, sent = await only(stage), len(stage.wire.exchanges)
    stage.wire.rewrite = silenced
    await stage.converge(stage.server("time", "--changed"))
    await stage.converge()
    after = await only(stage)
    assert (after["id"], after["instance_id"], after["state"]) == (before["id"], before["instance_id"], "started")
    assert not [exchange for exchange in stage.wire.exchanges[sent:] if exchange.method == "DELETE"]
    stage.wire.rewrite = lambda _, content: content
    await converged(stage, stage.server("time", "--changed"), machine_id=before["id"])


@source("fly.md 13.10")
async def test_a_machine_that_vanishes_before_its_update_is_made_anew_once(stage):
    await stage.converge(stage.server())
    before, changed = await only(stage), stage.server("time", "--changed")
    *_, update = await stage.actions(changed)
    await stage.past_the_wire("DELETE", f"/machines/{before['id']}?force=true")
    assert (await stage.apply(update)).problem is not None

    async def gone():
        return not await stage.machines()

    await stage.eventually(gone)
    assert (await converged(stage, changed))["id"] != before["id"]


@source("fly.md 13.11", "fly.md 7.2")
@pytest.mark.parametrize(
    "text", ["machine getting replaced, refusing to start", "unable to start machine from current state: 'created'"]
)
async def test_a_start_that_is_refused_while_the_machine_is_prepared_is_repeated(stage, text):
    await stage.converge(stage.server())
    before = await asleep(stage)
    refusal = json.dumps({"error": f"failed_precondition: {text}"}).encode()
    stage.wire.instead("POST", "/start", Instead(status=412, body=refusal))
    start = Start(server="time", app="acme-time", machine_id=before["id"], reason="")
    assert (await stage.apply(start)).kind is OutcomeKind.APPLIED
    assert stage.wire.cuts
    assert (await only(stage))["state"] == "started"


async def asleep(stage):
    """The one machine, stopped as the proxy stops it: by somebody else."""
    machine = await only(stage)
    await stage.past_the_wire("POST", f"/machines/{machine['id']}/stop")

    async def resting():
        return (await only(stage))["state"] == "stopped"

    await stage.eventually(resting)
    return machine


@source("fly.md 13.12")
async def test_a_server_that_fell_asleep_is_left_asleep(stage):
    await stage.converge(stage.server())
    await asleep(stage)
    assert await stage.converge(stage.server()) == []
    assert (await only(stage))["state"] == "stopped"
    assert stage.wire.sent("POST", "/start") == []


@source("fly.md 13.13", "fly.md 4.4")
async def test_secrets_that_were_set_before_a_crash_still_reach_the_machine(stage):
    await stage.converge(stage.server(secrets="digest"))
    before, rotated = await only(stage), stage.server(secrets="rotated")
    set_secrets = next(action for action in await stage.actions(rotated) if isinstance(action, SetSecrets))
    fresh = {"TOKEN": SecretValue("the-rotated-value")}
    await stage.another_fleet().apply(set_secrets, secrets=fresh, revision=stage.revision)
    after_crash = stage.another_fleet()
    for action in await stage.actions(rotated):
        outcome = await after_crash.apply(action, secrets=fresh, revision=stage.revision)
        assert outcome.problem is None
    assert (await only(stage))["id"] == before["id"]

    async def told():
        return [line for line in await stage.logs.recent("acme-time", limit=50) if "the-rotated-value" in line.message]

    assert await stage.eventually(told)
    assert await stage.actions(rotated) == ()


@source("fly.md 13.14")
async def test_no_launch_is_skipped_and_nothing_is_scheduled(stage):
    await stage.converge(stage.server())
    await stage.converge(stage.server("time", "--changed"))
    machine = await only(stage)
    bodies = stage.wire.sent("POST", "/machines") + stage.wire.sent("POST", f"/machines/{machine['id']}")
    sent = [json.loads(exchange.body) for exchange in bodies]
    assert len(sent) == 2
    assert not any("skip_launch" in body or "schedule" in body["config"] for body in sent)


@source("fly.md 13.15", "fly.md 7.2")
async def test_a_token_that_is_refused_halfway_stops_the_pass_and_the_next_one_finishes_it(stage):
    await stage.converge(stage.server())
    before, changed = await only(stage), stage.server("time", "--changed")
    refused = Instead(status=401, body=b'{"error":"Authenticate: token validation error"}')
    stage.wire.instead("POST", f"/machines/{before['id']}", refused)
    (problem,) = problems(await stage.converge(changed))
    assert problem.code == "fly-token-refused"
    assert (await only(stage))["instance_id"] == before["instance_id"]
    await converged(stage, changed, machine_id=before["id"])


@source("fly.md 13.17", "fly.md 6.2")
async def test_no_command_is_run_in_a_machine(stage):
    await stage.converge(stage.server())
    await stage.converge(stage.server("time", "--changed"))
    await stage.converge()
    assert stage.wire.sent("POST", "/exec") == []
    waits = [parse_qs(urlsplit(exchange.path).query) for exchange in stage.wire.sent("GET", "/wait")]
    assert waits
    assert all(1 <= int(query["timeout"][0]) <= 60 for query in waits)


@source("fly.md 13.18")
@pytest.mark.parametrize("ending", ["/ip_assignments", "/machines"])
async def test_what_a_broken_pass_left_goes_with_its_server(stage, ending):
    stage.wire.instead("POST", ending, Instead(status=403, body=b'{"error":"forbidden"}'))
    assert len(problems(await stage.converge(stage.server()))) == 1
    assert problems(await stage.converge()) == []
    observation = await stage.fleet.observe()
    assert (observation.apps, observation.machines) == ((), ())


@source("fly.md 13.19", "fly.md 8.1")
async def test_a_server_that_has_just_stopped_answers_the_probe(stage):
    await stage.converge(stage.server())
    before = await asleep(stage)
    assert (await stage.prober.probe("acme-time")).problem == ""
    (machine,) = (await stage.fleet.observe()).machines
    assert (machine.id, machine.state) == (before["id"], MachineState.STARTED)
