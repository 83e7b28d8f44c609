"""An answer that is lost, at every call that changes something: nothing is made twice and the next pass converges."""

import pytest

from reconciler.core.types import OutcomeKind
from tests.contract.evidence import source

CUTS = ["BEFORE", "ANSWER", "TIMEOUT", "FAULT"]
CREATING = [
    pytest.param("POST", "/v1/apps", id="create app"),
    pytest.param("POST", "/ip_assignments", id="allocate address"),
    pytest.param("POST", "/secrets", id="set secrets"),
    pytest.param("POST", "/machines", id="create machine"),
    pytest.param("GET", "/wait", id="wait"),
]


@source("fly.md 13.1", "fly.md 7.4")
@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize(("method", "ending"), CREATING)
async def test_a_lost_answer_while_a_server_is_made_makes_no_second_one(stage, method, ending, how):
    server = stage.server(secrets="digest")
    stage.wire.cut_once(method, ending, how)
    await stage.converge(server)
    outcomes = await stage.converge(server)
    assert stage.wire.cuts
    assert [outcome.problem for outcome in outcomes] == [None] * len(outcomes)
    assert [machine["name"] for machine in await stage.machines()] == ["time-1"]
    assert await stage.actions(server) == ()


@source("fly.md 13.1", "fly.md 7.2")
@pytest.mark.parametrize("how", CUTS)
async def test_a_lost_answer_to_an_update_is_recognised_or_repeated_but_never_doubled(stage, how):
    await stage.converge(stage.server())
    (before,) = await stage.machines()
    changed = stage.server("time", "--changed")
    stage.wire.cut_once("POST", f"/machines/{before['id']}", how)
    await stage.converge(changed)
    await stage.converge(changed)
    (after,) = await stage.machines()
    assert stage.wire.cuts
    assert after["id"] == before["id"]
    assert await stage.actions(changed) == ()


@source("fly.md 13.18")
@pytest.mark.parametrize("how", CUTS)
async def test_a_lost_answer_to_a_destroy_leaves_nothing_behind(stage, how):
    await stage.converge(stage.server())
    stage.wire.cut_once("DELETE", "/apps/acme-time", how)
    (outcome,) = await stage.converge()
    assert stage.wire.cuts
    assert outcome.kind is OutcomeKind.APPLIED
    assert (await stage.fleet.observe()).apps == ()
