"""The planner by cases: what it does, in which order, and what it leaves alone."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from reconciler.core.actions import Action, Cordon, Create, Destroy, DestroyApp, Stop, Update
from reconciler.core.plan import plan, plan_digest
from reconciler.core.problems import Problem
from reconciler.core.types import ExitEvent, MachineState, ObservedApp, Scale
from tests.core.conftest import World

Kinds = Callable[[tuple[Action, ...]], list[str]]


def test_a_new_server_gets_app_address_and_machine(world: World, kinds: Kinds) -> None:
    made = plan(world.snapshot(world.server()))
    assert kinds(made.actions) == ["CreateApp", "AllocateAddress", "Create"]


def test_secrets_are_set_before_the_machine_boots(world: World, kinds: Kinds) -> None:
    server = world.server(world.spec(secrets=world.secrets("TOKEN")), TOKEN="d1")
    assert kinds(plan(world.snapshot(server)).actions) == ["CreateApp", "AllocateAddress", "SetSecrets", "Create"]


def test_a_fleet_as_desired_needs_nothing(world: World) -> None:
    server = world.server()
    made = plan(world.snapshot(server, observation=world.observe(world.machine(server.machines[0]))))
    assert made.empty
    assert made.unchanged == ("time",)


def test_a_changed_argument_updates_that_one_machine_and_says_which_field(world: World) -> None:
    old, other = world.server(), world.server(world.spec("other"))
    new = world.server(world.spec(arguments=("--local-timezone=UTC",)))
    seen = world.observe(world.machine(old.machines[0]), world.machine(other.machines[0]))
    made = plan(world.snapshot(new, other, observation=seen))
    updates = [action for action in made.actions if isinstance(action, Update)]
    assert [update.server for update in updates] == ["time"]
    assert [change.path for change in updates[0].changes] == ["init.cmd"]
    assert {action.server for action in made.actions} == {"time"}


def test_a_rotated_secret_updates_the_machine_although_its_config_is_the_same(world: World, kinds: Kinds) -> None:
    spec = world.spec(secrets=world.secrets("TOKEN"))
    seen = world.observe(world.machine(world.server(spec, TOKEN="old").machines[0]))
    made = plan(world.snapshot(world.server(spec, TOKEN="new"), observation=seen))
    assert kinds(made.actions) == ["SetSecrets", "Update"]
    assert made.actions[1].reason == "a secret changed"


def test_a_secret_that_is_no_longer_declared_is_unset(world: World) -> None:
    seen = world.observe(world.machine(world.server(world.spec(secrets=world.secrets("TOKEN")), TOKEN="d").machines[0]))
    made = plan(world.snapshot(world.server(), observation=seen))
    assert [getattr(action, "names", None) for action in made.actions] == [(), None]


def test_a_config_changed_by_hand_is_put_back(world: World) -> None:
    server = world.server()
    seen = world.observe(world.machine(server.machines[0], config='{"image":"other"}'))
    made = plan(world.snapshot(server, observation=seen))
    assert made.actions[-1].reason == "its configuration was changed outside Catwalk"


def test_a_removed_server_loses_its_app(world: World) -> None:
    gone = world.server()
    made = plan(world.snapshot(observation=world.observe(world.machine(gone.machines[0]))))
    assert [type(action) for action in made.actions] == [DestroyApp]


def test_an_app_that_holds_a_foreign_machine_is_kept(world: World) -> None:
    gone = world.server().machines[0]
    foreign = world.machine(gone, id="f" * 14, name="mine", fleet="", server="")
    made = plan(world.snapshot(observation=world.observe(world.machine(gone), foreign)))
    assert [type(action) for action in made.actions] == [Cordon, Stop, Destroy]
    assert made.held[0].reason == "it holds a machine that is not Catwalk's"


def test_an_owned_app_without_machines_goes_when_nobody_declares_it(world: World) -> None:
    seen = world.observe(apps=(ObservedApp(name="acme-half"), ObservedApp(name="acme-foreign")))
    made = plan(world.snapshot(observation=seen, owned_apps=frozenset({"acme-half"})))
    assert [action.app for action in made.actions] == ["acme-half"]


def test_a_blocked_server_keeps_what_runs_of_it(world: World) -> None:
    running = world.machine(world.server().machines[0])
    blocked = (Problem(code="tampered", message="the value was changed", server="time"),)
    assert plan(world.snapshot(observation=world.observe(running), blocked=blocked)).empty


def test_a_suspended_server_is_left_alone_also_when_it_differs(world: World) -> None:
    running = world.machine(world.server().machines[0])
    server = world.server(world.spec(suspended=True, arguments=("new",)))
    made = plan(world.snapshot(server, observation=world.observe(running)))
    assert made.empty
    assert made.held[0].reason == "the manifest suspends it"


def test_a_changed_region_creates_beside_the_old_machine_which_goes_later(world: World, kinds: Kinds) -> None:
    running = world.machine(world.server().machines[0])
    moved = world.server(world.spec(regions=("fra",)))
    made = plan(world.snapshot(moved, observation=world.observe(running)))
    assert kinds(made.actions) == ["Create"]
    assert [waiting.action.reason for waiting in made.deferred] == ["another machine took its place"]


def test_fewer_machines_destroys_the_surplus(world: World) -> None:
    two = world.server(world.spec(scale=Scale(maximum=2)))
    seen = world.observe(*(world.machine(machine) for machine in two.machines))
    made = plan(world.snapshot(world.server(), observation=seen))
    destroyed = [action.machine_name for action in made.actions if isinstance(action, Destroy)]
    assert destroyed == ["time-2"]


@pytest.mark.parametrize(
    ("minimum", "state", "last_exit", "started"),
    [
        pytest.param(0, MachineState.STOPPED, None, False, id="may sleep"),
        pytest.param(0, MachineState.SUSPENDED, None, False, id="may be suspended"),
        pytest.param(1, MachineState.STOPPED, None, True, id="must be awake"),
        pytest.param(1, MachineState.SUSPENDED, ExitEvent(exit_code=0, requested=True), True, id="was stopped by us"),
        pytest.param(1, MachineState.STOPPED, ExitEvent(exit_code=1, requested=False), False, id="crashed"),
        pytest.param(1, MachineState.STARTED, None, False, id="is awake"),
    ],
)
def test_sleep_is_no_drift_and_only_scale_min_wakes(
    world: World, minimum: int, state: MachineState, last_exit: ExitEvent | None, *, started: bool
) -> None:
    server = world.server(world.spec(scale=Scale(minimum=minimum)))
    running = world.machine(server.machines[0], state=state, last_exit=last_exit)
    made = plan(world.snapshot(server, observation=world.observe(running)))
    assert bool(made.actions) is started


def test_a_machine_on_a_silent_host_is_not_rebuilt(world: World) -> None:
    server = world.server(world.spec(arguments=("new",)))
    running = world.machine(world.server().machines[0], host_ok=False, config="")
    made = plan(world.snapshot(server, observation=world.observe(running)))
    assert made.empty
    assert "does not answer" in made.held[0].reason


def test_a_silent_machine_that_does_not_tell_whose_it_is_may_be_ours(world: World) -> None:
    server = world.server()
    nameless = {"fleet": "", "server": "", "digest": "", "config": ""}
    silent = world.machine(server.machines[0], host_ok=False, **nameless)
    made = plan(world.snapshot(server, observation=world.observe(silent)))
    assert made.empty
    assert [type(deferred.action) for deferred in made.deferred] == [Create]
    answering = world.observe(replace(silent, host_ok=True))
    assert isinstance(plan(world.snapshot(server, observation=answering)).actions[-1], Create)


def test_a_slot_has_room_for_two_also_when_both_serve(world: World) -> None:
    awake = {"scale": Scale(minimum=1)}
    first, second, third = (world.server(world.spec(arguments=(version,), **awake)) for version in ("1", "2", "3"))
    old = world.machine(first.machines[0])
    cut_off = world.machine(second.machines[0], id="c" * 14, name=f"{second.machines[0].name}-0123abcd")
    made = plan(world.snapshot(third, observation=world.observe(old, cut_off)))
    assert [type(action) for action in made.actions][-2:] == [Destroy, Create]
    assert [action.machine_id for action in made.actions if isinstance(action, Destroy)] == [cut_off.id]


def test_a_destroyed_machine_counts_as_absent(world: World) -> None:
    server = world.server()
    dead = world.machine(server.machines[0], state=MachineState.DESTROYED)
    made = plan(world.snapshot(server, observation=world.observe(dead)))
    assert isinstance(made.actions[-1], Create)


def test_the_digest_of_a_plan_ignores_words_and_knows_versions(world: World) -> None:
    server = world.server(world.spec(arguments=("new",)))
    running = world.machine(world.server().machines[0])
    first = plan(world.snapshot(server, observation=world.observe(running)))
    reworded = plan_digest([replace(action, reason="in other words") for action in first.actions])
    moved = plan(world.snapshot(server, observation=world.observe(replace(running, instance_id="99"))))
    assert first.digest == reworded != moved.digest


def test_a_server_that_never_had_secrets_is_not_asked_for_any(world: World, kinds: Kinds) -> None:
    running = world.machine(world.server().machines[0])
    made = plan(world.snapshot(world.server(world.spec(arguments=("new",))), observation=world.observe(running)))
    assert kinds(made.actions) == ["Update"]
