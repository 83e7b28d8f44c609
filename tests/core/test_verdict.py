"""The verdict by cases: what is seen of a server, and the one state that people read."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.actions import DestroyApp, Outcome
from reconciler.core.health_policy import HealthPolicy
from reconciler.core.problems import Problem, Remedy
from reconciler.core.setbacks import Setback
from reconciler.core.types import (
    Cause,
    Check,
    CheckState,
    ExitEvent,
    MachineState,
    OutcomeKind,
    ProbeResult,
    Scale,
    ServerState,
)
from reconciler.core.verdict import EXIT_CAUSES, Evidence, needs_probe, settling, verdict
from tests.core.conftest import World

PASSING = (Check(name="servicecheck-00-http-8080", state=CheckState.PASSING, output='{"state":"ready"}'),)
ANSWERED = ProbeResult(answered=True, tools=("get_current_time",))


def critical(**report: object) -> tuple[Check, ...]:
    return (Check(name="servicecheck-00-http-8080", state=CheckState.CRITICAL, output=json.dumps(report)),)


CASES = [
    pytest.param({"checks": PASSING}, ANSWERED, ServerState.READY, None, id="healthy and answers"),
    pytest.param({"checks": PASSING}, None, ServerState.STARTING, None, id="healthy, not asked yet"),
    pytest.param(
        {"checks": PASSING},
        ProbeResult(answered=False, problem="no answer in 10 s"),
        ServerState.DEGRADED,
        Cause.UNREACHABLE,
        id="healthy by itself, but the data path is broken",
    ),
    pytest.param(
        {"checks": PASSING}, ProbeResult(answered=True), ServerState.DEGRADED, Cause.NOT_AN_MCP_SERVER, id="no tools"
    ),
    pytest.param({}, None, ServerState.STARTING, None, id="no check result yet"),
    pytest.param({"checks": critical(state="installing")}, None, ServerState.INSTALLING, None, id="installing"),
    pytest.param({"checks": critical(state="starting")}, None, ServerState.STARTING, None, id="starting"),
    pytest.param(
        {"checks": critical(state="failed", cause="package-not-found", detail="no such package")},
        None,
        ServerState.FAILED,
        Cause.PACKAGE_NOT_FOUND,
        id="the adapter names the cause",
    ),
    pytest.param(
        {"checks": critical(what="ever"), "updated_at": timedelta(seconds=-500)},
        None,
        ServerState.FAILED,
        Cause.TIMEOUT,
        id="unhealthy beyond its grace",
    ),
    pytest.param(
        {"checks": critical(state="starting"), "updated_at": timedelta(seconds=-500)},
        None,
        ServerState.FAILED,
        Cause.TIMEOUT,
        id="on its way beyond its grace",
    ),
    pytest.param(
        {"checks": critical(what="ever"), "updated_at": timedelta(seconds=-5)},
        None,
        ServerState.STARTING,
        None,
        id="unhealthy within its grace",
    ),
    pytest.param({"state": MachineState.SUSPENDED}, None, ServerState.IDLE, None, id="sleeps"),
    pytest.param(
        {"state": MachineState.STOPPED, "last_exit": ExitEvent(exit_code=0, requested=True)},
        None,
        ServerState.IDLE,
        None,
        id="was put to sleep",
    ),
    pytest.param(
        {"state": MachineState.STOPPED, "last_exit": ExitEvent(exit_code=75, requested=False)},
        None,
        ServerState.FAILED,
        Cause.MISSING_VARIABLE,
        id="stopped by a crash with a known cause",
    ),
    pytest.param(
        {"state": MachineState.FAILED, "last_exit": ExitEvent(exit_code=1, requested=False)},
        None,
        ServerState.FAILED,
        Cause.CRASH_LOOP,
        id="failed",
    ),
    pytest.param(
        {"state": MachineState.FAILED, "last_exit": ExitEvent(exit_code=137, requested=False, out_of_memory=True)},
        None,
        ServerState.FAILED,
        Cause.OUT_OF_MEMORY,
        id="killed for its memory",
    ),
    pytest.param(
        {"state": MachineState.STARTING, "last_exit": ExitEvent(exit_code=71, requested=False, restart_count=3)},
        None,
        ServerState.FAILED,
        Cause.VERSION_NOT_FOUND,
        id="restarting in vain",
    ),
    pytest.param({"state": MachineState.REPLACING}, None, ServerState.STARTING, None, id="being replaced"),
    pytest.param({"host_ok": False}, None, ServerState.FAILED, Cause.PLATFORM, id="its host is silent"),
    pytest.param({"state": MachineState.DESTROYING}, None, ServerState.PENDING, None, id="on its way out"),
]


@pytest.mark.parametrize(("seen", "probe", "state", "cause"), CASES)
def test_what_is_seen_decides_the_state(
    world: World, seen: dict[str, Any], probe: ProbeResult | None, state: ServerState, cause: Cause | None
) -> None:
    if isinstance(seen.get("updated_at"), timedelta):
        seen = seen | {"updated_at": world.now + seen["updated_at"]}
    machine = world.machine(world.server().machines[0], **seen)
    status = verdict(world.spec(), Evidence(machines=(machine,), probe=probe), now=world.now)
    assert (status.state, status.cause) == (state, cause)
    assert settling(status) is (state in {ServerState.PENDING, ServerState.STARTING, ServerState.INSTALLING})


@pytest.mark.parametrize(("patterns", "ready"), [(("get_*",), True), (("get_*", "convert_*"), False)])
def test_a_server_without_the_tools_that_it_should_have_is_degraded(
    world: World, patterns: tuple[str, ...], *, ready: bool
) -> None:
    machine = world.machine(world.server().machines[0], checks=PASSING)
    spec = world.spec(health=HealthPolicy(expected_tools=patterns))
    status = verdict(spec, Evidence(machines=(machine,), probe=ANSWERED), now=world.now)
    assert status.state is (ServerState.READY if ready else ServerState.DEGRADED)
    assert ready or "no tool that fits convert_*" in status.detail


def test_no_machine_is_pending(world: World) -> None:
    assert verdict(world.spec(), Evidence(), now=world.now).state is ServerState.PENDING


def test_a_suspended_server_says_so_whatever_runs(world: World) -> None:
    machine = world.machine(world.server().machines[0], checks=PASSING)
    status = verdict(world.spec(suspended=True), Evidence(machines=(machine,)), now=world.now)
    assert status.state is ServerState.SUSPENDED


@pytest.mark.parametrize(("running", "state"), [(True, ServerState.HELD), (False, ServerState.FAILED)])
def test_a_blocked_server_is_held_where_an_old_one_serves(world: World, *, running: bool, state: ServerState) -> None:
    problem = Problem(code="package-not-found", message="npm has no package nope", server="time")
    machines = (world.machine(world.server().machines[0], checks=PASSING),) if running else ()
    status = verdict(world.spec(), Evidence(machines=machines, blocked=problem), now=world.now)
    assert (status.state, status.cause, status.problem) == (state, Cause.PACKAGE_NOT_FOUND, problem)


def test_a_failed_action_spoils_readiness_and_is_told(world: World) -> None:
    problem = Problem(code="capacity", message="no capacity in iad", server="time")
    failed = Outcome(
        action=DestroyApp(server="time", app="acme-time", reason=""), kind=OutcomeKind.FAILED, problem=problem
    )
    machine = world.machine(world.server().machines[0], checks=PASSING)
    evidence = Evidence(machines=(machine,), probe=ANSWERED, outcomes=(failed,))
    status = verdict(world.spec(), evidence, now=world.now)
    assert (status.state, status.problem) == (ServerState.DEGRADED, problem)


def test_the_machine_that_serves_speaks_for_its_server(world: World) -> None:
    healthy = world.machine(world.server().machines[0], id="b" * 14, checks=PASSING)
    broken = replace(healthy, id="a" * 14, state=MachineState.FAILED)
    status = verdict(world.spec(), Evidence(machines=(broken, healthy), probe=ANSWERED), now=world.now)
    assert (status.state, status.machine_id) == (ServerState.READY, "b" * 14)


def test_only_an_awake_and_healthy_machine_is_probed(world: World) -> None:
    machine = world.machine(world.server().machines[0], checks=PASSING)
    assert needs_probe([machine])
    assert not needs_probe([replace(machine, state=MachineState.SUSPENDED)])
    assert not needs_probe([replace(machine, checks=())])
    assert not needs_probe([replace(machine, checks=critical(state="starting"))])


@pytest.mark.parametrize("ahead_s", [-3600, 0, 3600], ids=["behind", "right", "ahead"])
@pytest.mark.parametrize(("age_s", "state"), [(5, ServerState.STARTING), (500, ServerState.FAILED)])
def test_how_old_a_machine_is_is_told_by_the_clock_that_it_was_made_by(
    world: World, ahead_s: float, age_s: float, state: ServerState
) -> None:
    made_at = world.now - timedelta(seconds=age_s)
    machine = world.machine(world.server().machines[0], checks=critical(what="ever"), updated_at=made_at)
    evidence = Evidence(machines=(machine,), platform_time=world.now)
    status = verdict(world.spec(), evidence, now=world.now + timedelta(seconds=ahead_s))
    assert status.state is state
    assert status.since == world.now + timedelta(seconds=ahead_s)


def test_every_exit_code_has_its_own_cause() -> None:
    assert len(set(EXIT_CAUSES.values())) == len(EXIT_CAUSES) == 14


@given(output=st.text())
def test_whatever_a_check_prints_the_verdict_is_given(world: World, output: str) -> None:
    checks = (Check(name="any", state=CheckState.CRITICAL, output=output),)
    machine = world.machine(world.server().machines[0], checks=checks)
    assert verdict(world.spec(), Evidence(machines=(machine,)), now=world.now).state in ServerState


def test_a_failure_that_waits_for_its_next_try_is_told_all_the_while(world: World) -> None:
    full = Problem(code="region-full", message="the region is full", remedy=Remedy.WAIT)
    setback = Setback(
        server="time",
        machine="time-1",
        digest="d",
        code="region-full",
        attempts=3,
        not_before=world.now + timedelta(seconds=20),
        problem=full,
    )
    spec = world.spec()
    waiting = verdict(spec, Evidence(setbacks=(setback,)), now=world.now)
    assert (waiting.state, waiting.cause, waiting.problem) == (ServerState.FAILED, Cause.PLATFORM, full)
    machine = world.machine(world.server().machines[0], checks=PASSING)
    serving = Evidence(machines=(machine,), probe=ANSWERED, setbacks=(setback,))
    assert verdict(spec, serving, now=world.now).state is ServerState.DEGRADED


WHOLE = [
    pytest.param({"checks": PASSING}, ServerState.READY, None, "", id="all serve"),
    pytest.param({"checks": critical(state="installing")}, ServerState.STARTING, None, "1 of 2", id="one comes up"),
    pytest.param(
        {"checks": critical(state="failed", cause="missing-variable", detail="no TOKEN")},
        ServerState.DEGRADED,
        Cause.MISSING_VARIABLE,
        "1 of 2 machines serve: no TOKEN",
        id="one fails",
    ),
    pytest.param({"state": MachineState.DESTROYED}, ServerState.STARTING, None, "1 of 2", id="one is gone"),
]


@pytest.mark.parametrize(("second", "state", "cause", "words"), WHOLE)
def test_a_server_is_ready_when_as_many_machines_serve_as_must_be_awake(
    world: World, second: dict[str, Any], state: ServerState, cause: Cause | None, words: str
) -> None:
    spec = world.spec(scale=Scale(minimum=2, maximum=2))
    one, two = world.server(spec).machines
    machines = (world.machine(one, checks=PASSING), world.machine(two, **second))
    status = verdict(spec, Evidence(machines=machines, probe=ANSWERED), now=world.now)
    assert (status.state, status.cause) == (state, cause)
    assert words in status.detail
