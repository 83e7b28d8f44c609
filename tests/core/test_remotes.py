"""Servers that somebody else runs: no machines, a verdict from answers alone, and nothing left of what was there."""

from dataclasses import replace

import pytest

from reconciler.core.actions import Destroy, DestroyApp
from reconciler.core.plan import plan
from reconciler.core.remotes import RemoteProgram
from reconciler.core.savings import server_price
from reconciler.core.types import Cause, Observation, ObservedApp, ProbeResult, ServerState, Snapshot
from reconciler.core.verdict import Evidence, verdict
from tests.core.conftest import NOW, REVISION, World

WORLD = World()
REMOTE = WORLD.spec("linear", package=RemoteProgram(url="https://mcp.linear.app/mcp"))


def test_it_has_no_machines_and_needs_no_change():
    server = WORLD.server(REMOTE)
    assert server.machines == ()
    made = plan(Snapshot(fleet="acme", revision=REVISION, desired=(server,), observation=Observation()))
    assert (made.actions, made.held, made.deferred, made.unchanged) == ((), (), (), ("linear",))


def test_a_server_that_becomes_remote_gives_up_its_machines():
    before = WORLD.server(WORLD.spec("linear"))
    observation = Observation(
        apps=(ObservedApp(name="acme-linear", network="acme-linear"),),
        machines=(WORLD.machine(before.machines[0]),),
    )
    snapshot = Snapshot(
        fleet="acme", revision=REVISION, desired=(WORLD.server(REMOTE),), observation=observation, now=NOW
    )
    made = plan(snapshot)
    every = (*made.actions, *(waiting.action for waiting in made.deferred))
    assert {type(action) for action in every} <= {Destroy, DestroyApp}
    assert every
    assert plan(replace(snapshot, observation=replace(observation, complete=False))).actions == ()


def test_nobody_waits_for_it():
    other = WORLD.server(WORLD.spec("time", depends_on=("linear",)))
    made = plan(
        Snapshot(fleet="acme", revision=REVISION, desired=(WORLD.server(REMOTE), other), observation=Observation())
    )
    assert any(action.server == "time" for action in made.actions)


@pytest.mark.parametrize(
    ("probe", "state", "cause"),
    [
        (None, ServerState.PENDING, None),
        (ProbeResult(answered=True, tools=("a",)), ServerState.READY, None),
        (ProbeResult(answered=True), ServerState.READY, None),
        (ProbeResult(answered=True, tools=("a",), problem="timeout"), ServerState.DEGRADED, Cause.UNREACHABLE),
        (ProbeResult(answered=False, problem="timeout"), ServerState.FAILED, Cause.UNREACHABLE),
    ],
)
def test_its_verdict_is_what_its_answers_are(probe, state, cause):
    status = verdict(REMOTE, Evidence(probe=probe), now=NOW)
    assert (status.state, status.cause, status.machine_id) == (state, cause, "")
    assert status.package == "remote:https://mcp.linear.app/mcp"


def test_one_that_is_suspended_is_left_alone():
    status = verdict(replace(REMOTE, suspended=True), Evidence(), now=NOW)
    assert status.state is ServerState.SUSPENDED


def test_it_costs_nothing():
    assert server_price(REMOTE) == 0.0
