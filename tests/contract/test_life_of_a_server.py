"""What the Fly room promises, against the engine: the same promises that it keeps on Fly."""

import json
from dataclasses import replace

import pytest

from reconciler.core.actions import Create, Destroy
from reconciler.core.secret import SecretValue
from reconciler.core.types import IdleAction, MachineState, OutcomeKind, Scale
from reconciler.fly import errors
from reconciler.fly.client import MachinesAPI
from reconciler.fly.fleet import FlyFleet
from tests.contract.evidence import source


async def until_passing(stage):
    """The fleet's one machine, when its checks have passed."""

    async def passing():
        found = (await stage.fleet.observe()).machines
        return [one for one in found if one.checks and all(check.state == "passing" for check in one.checks)]

    (machine,) = await stage.eventually(passing)
    return machine


@source("fly.md 13.1")
async def test_one_pass_makes_a_server_and_the_next_has_nothing_to_do(stage):
    server = stage.server(secrets="digest")
    outcomes = await stage.converge(server)
    assert [(type(outcome.action).__name__, outcome.kind) for outcome in outcomes] == [
        ("CreateApp", OutcomeKind.APPLIED),
        ("AllocateAddress", OutcomeKind.APPLIED),
        ("SetSecrets", OutcomeKind.APPLIED),
        ("Create", OutcomeKind.APPLIED),
    ]
    assert await stage.actions(server) == ()
    observation = await stage.fleet.observe()
    assert observation.complete
    assert [(app.name, app.network) for app in observation.apps] == [("acme-time", "acme-time")]


@source("fly.md 5.4")
async def test_a_machine_is_observed_as_it_was_desired(stage):
    server = stage.server(scale=Scale(minimum=1))
    await stage.converge(server)
    machine = await until_passing(stage)
    (desired,) = server.machines
    assert machine.config == desired.config
    assert (machine.name, machine.region, machine.digest) == (desired.name, desired.region, desired.digest)
    assert (machine.fleet, machine.server, machine.revision) == ("acme", "time", stage.revision.commit)
    assert machine.state is MachineState.STARTED
    assert json.loads(machine.checks[0].output)["state"] == "ready"


@source("fly.md 13.16", "fly.md 5.4")
@pytest.mark.parametrize("idle", IdleAction)
async def test_no_way_of_idling_reads_back_as_drift(stage, idle):
    server = stage.server(scale=Scale(idle=idle))
    await stage.converge(server)
    (machine,) = (await stage.fleet.observe()).machines
    assert machine.config == server.machines[0].config


@source("fly.md 4.5", "fly.md 15.A.10")
async def test_a_server_answers_over_mcp_through_the_data_path(stage):
    await stage.converge(stage.server())
    await until_passing(stage)
    result = await stage.prober.probe("acme-time")
    assert result.problem == ""
    assert (result.server_name, result.tools) == ("runner", ("arguments", "environment"))


@source("fly.md 13.19")
async def test_an_app_without_a_machine_is_an_answer_to_the_probe(stage):
    result = await stage.prober.probe("acme-nothing")
    assert not result.answered
    assert result.problem


@source("fly.md 4.2", "fly.md 15.A.5")
async def test_an_update_replaces_the_config_in_place_at_a_new_version(stage):
    await stage.converge(stage.server())
    (before,) = (await stage.fleet.observe()).machines
    changed = stage.server("time", "--local-timezone=Europe/Berlin")
    outcomes = await stage.converge(changed)
    (after,) = (await stage.fleet.observe()).machines
    assert [(type(outcome.action).__name__, outcome.kind) for outcome in outcomes][-1] == (
        "Update",
        OutcomeKind.APPLIED,
    )
    assert after.id == before.id
    assert after.instance_id != before.instance_id
    assert after.config == changed.machines[0].config
    assert await stage.actions(changed) == ()


@source("fly.md 13.7", "fly.md 7.5")
async def test_no_lease_is_left_after_an_update(stage):
    await stage.converge(stage.server())
    await stage.converge(stage.server("time", "--changed"))
    assert len(stage.wire.sent("POST", "/lease")) == len(stage.wire.sent("DELETE", "/lease")) == 1
    outcomes = await stage.converge(stage.server("time", "--changed-again"))
    assert all(outcome.problem is None for outcome in outcomes)


@source("fly.md 7.2", "fly.md 15.A.5")
async def test_an_update_from_a_stale_view_is_refused(stage):
    await stage.converge(stage.server())
    changed = stage.server("time", "--changed")
    *_, update = await stage.actions(changed)
    await stage.apply(update)
    outcome = await stage.apply(update)
    assert outcome.problem is not None
    assert outcome.problem.code == "machine-changed"


@source("fly.md 13.3", "fly.md 7.4")
async def test_what_a_crash_forgot_is_adopted_by_its_name(stage):
    server = stage.server()
    await stage.converge(server)
    (machine,) = (await stage.fleet.observe()).machines
    create = Create(server="time", app="acme-time", machine=server.machines[0], reason="")
    outcome = await stage.apply(create, stage.another_fleet())
    assert (outcome.kind, outcome.machine_id) == (OutcomeKind.ADOPTED, machine.id)
    assert len(await stage.machines()) == 1


@source("fly.md 13.3", "fly.md 7.4")
async def test_an_adopted_machine_gets_the_config_that_is_asked_for(stage):
    await stage.converge(stage.server())
    changed = stage.server("time", "--changed")
    create = Create(server="time", app="acme-time", machine=changed.machines[0], reason="")
    outcome = await stage.apply(create, stage.another_fleet())
    assert outcome.kind is OutcomeKind.ADOPTED
    assert await stage.actions(changed) == ()


@source("fly.md 4.1", "fly.md 13.18")
async def test_a_server_that_leaves_takes_its_app_along(stage):
    await stage.converge(stage.server())
    outcomes = await stage.converge()
    assert [type(outcome.action).__name__ for outcome in outcomes] == ["DestroyApp"]
    assert outcomes[0].kind is OutcomeKind.APPLIED
    observation = await stage.fleet.observe()
    assert (observation.apps, observation.machines) == ((), ())


@source("fly.md 4.2", "fly.md 15.A.12")
async def test_a_machine_is_destroyed_once_and_twice(stage):
    await stage.converge(stage.server())
    (machine,) = (await stage.fleet.observe()).machines
    destroy = Destroy(server="time", app="acme-time", machine_id=machine.id, machine_name=machine.name, reason="")
    first, second = await stage.apply(destroy), await stage.apply(destroy)
    assert first.kind is second.kind is OutcomeKind.APPLIED
    assert (await stage.fleet.observe()).machines == ()
    assert await stage.machines() == []


@source("fly.md 7.4")
async def test_the_name_of_a_destroyed_machine_can_be_used_again(stage):
    server = stage.server()
    await stage.converge(server)
    (machine,) = (await stage.fleet.observe()).machines
    await stage.apply(
        Destroy(server="time", app="acme-time", machine_id=machine.id, machine_name=machine.name, reason="")
    )
    outcomes = await stage.converge(server)
    assert [outcome.problem for outcome in outcomes] == [None] * len(outcomes)
    assert len(await stage.machines()) == 1


@source("fly.md 13.20")
async def test_a_server_of_another_fleet_is_not_seen_and_its_app_is_not_destroyed(stage):
    stranger = FlyFleet(stage.api, fleet="acme-time-eu", organization="acme-org")
    other = stage.server("wiki")
    await stage.converge(other)
    assert (await stranger.observe()).machines == ()


@source("fly.md 6.3", "fly.md 15.A.11")
async def test_the_process_of_a_machine_that_ends_at_once_is_a_failure_in_words(stage):
    *prepare, create = await stage.actions(stage.server())
    broken = replace(create.machine, config=create.machine.config.replace("pypi:mcp-server-time@", "fail:70@"))
    for action in prepare:
        await stage.apply(action)
    await stage.apply(replace(create, machine=broken))

    async def exits():
        return [machine.last_exit for machine in (await stage.fleet.observe()).machines if machine.last_exit]

    last = (await stage.eventually(exits))[0]
    assert (last.exit_code, last.requested) == (70, False)


@source("fly.md 10")
async def test_the_log_of_a_server_is_read_without_its_secret(stage):
    await stage.converge(stage.server(secrets="digest"))
    await until_passing(stage)

    async def telling():
        return [line for line in await stage.logs.recent("acme-time", limit=50) if "token" in line.message]

    lines = await stage.eventually(telling)
    assert "token ********" in lines[0].message
    assert lines[0].machine_id == (await stage.machines())[0]["id"]


@source("fly.md 10")
async def test_the_log_of_an_app_that_does_not_exist_is_empty(stage):
    assert list(await stage.logs.recent("acme-nothing", limit=10)) == []


@source("fly.md 13.15", "fly.md 3")
async def test_a_wrong_token_is_named_as_such(stage):
    async with MachinesAPI(base_url=stage.wire.url, token=SecretValue("fm2_wrong")) as api:
        with pytest.raises(errors.Unauthorized):
            await FlyFleet(api, fleet="acme", organization="acme-org").observe()
