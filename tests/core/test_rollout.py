"""How a change reaches a server of several machines: stage by stage, by cases."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.core.actions import Action, Create, Deferred, Destroy, Plan, Start, Uncordon, Update
from reconciler.core.plan import plan
from reconciler.core.setbacks import Setback
from reconciler.core.types import Check, CheckState, DesiredServer, ExitEvent, MachineState, ObservedMachine, Scale
from tests.core.conftest import World

Kinds = Callable[[tuple[Action, ...]], list[str]]
SICK = (Check(name="servicecheck-00-http-8080", state=CheckState.CRITICAL),)
CRASH = ExitEvent(exit_code=1, requested=False)


def server_of(world: World, *arguments: str, minimum: int = 1, maximum: int = 1) -> DesiredServer:
    scale = Scale(minimum=minimum, maximum=maximum)
    return world.server(world.spec(arguments=arguments, scale=scale))


def machines_of(world: World, server: DesiredServer, **changes: object) -> list[ObservedMachine]:
    return [world.machine(machine, **changes) for machine in server.machines]


def successor(world: World, server: DesiredServer, **changes: object) -> ObservedMachine:
    wanted = server.machines[0]
    name = f"{wanted.name}-{wanted.digest[:8]}"
    return world.machine(replace(wanted, name=name), **changes)


def planned(world: World, server: DesiredServer, machines: Sequence[ObservedMachine], **changes: object) -> Plan:
    return plan(world.snapshot(server, observation=world.observe(*machines), **changes))


def names(actions: Sequence[Action]) -> list[str]:
    return [action.machine.name for action in actions if isinstance(action, Create | Update)]


def later(deferred: Sequence[Deferred]) -> list[tuple[str, str]]:
    return [(type(waiting.action).__name__, waiting.until) for waiting in deferred]


def test_a_server_that_must_be_awake_gets_its_new_machine_beside_the_old_one(world: World) -> None:
    old, new = server_of(world, "old"), server_of(world, "new")
    made = planned(world, new, machines_of(world, old))
    assert names(made.actions) == [f"time-1-{new.machines[0].digest[:8]}"]
    assert later(made.deferred) == [("Destroy", f"machine time-1-{new.machines[0].digest[:8]} is healthy")]
    assert made.awaited == {"time"}


def test_a_replacement_shows_the_fields_that_change(world: World) -> None:
    made = planned(world, server_of(world, "new"), machines_of(world, server_of(world, "old")))
    create = made.actions[0]
    assert isinstance(create, Create)
    assert create.replaces == "time-1"
    assert [change.path for change in create.changes] == ["init.cmd"]
    assert "scale.min is 1" in create.reason


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"state": MachineState.STARTING, "checks": ()}, id="starting"),
        pytest.param({"checks": ()}, id="without a check result"),
        pytest.param({"checks": SICK}, id="unhealthy"),
        pytest.param({"state": MachineState.STOPPED, "last_exit": CRASH}, id="crashed"),
    ],
)
def test_the_old_machine_stays_until_the_new_one_is_healthy(world: World, changes: dict[str, object]) -> None:
    old, new = server_of(world, "old"), server_of(world, "new")
    made = planned(world, new, [*machines_of(world, old), successor(world, new, **changes)])
    assert not made.actions
    assert [type(waiting.action) for waiting in made.deferred] == [Destroy]


def test_the_old_machine_leaves_rotation_then_ends_its_calls_then_goes(world: World, kinds: Kinds) -> None:
    old, new = server_of(world, "old"), server_of(world, "new")
    made = planned(world, new, [*machines_of(world, old), successor(world, new)])
    assert kinds(made.actions) == ["Cordon", "Stop", "Destroy"]
    assert not made.deferred


def test_a_machine_that_answers_no_mcp_is_no_successor(world: World) -> None:
    old, new = server_of(world, "old"), server_of(world, "new")
    mute = successor(world, new)
    made = planned(world, new, [*machines_of(world, old), mute], mute_machines=frozenset({mute.id}))
    assert not made.actions


def test_a_server_that_has_its_new_machine_needs_nothing_whatever_it_is_called(world: World) -> None:
    new = server_of(world, "new")
    made = planned(world, new, [successor(world, new)])
    assert made.empty
    assert made.unchanged == ("time",)


def test_going_back_to_the_old_version_removes_the_new_machine_and_touches_nothing_else(
    world: World, kinds: Kinds
) -> None:
    old, new = server_of(world, "old"), server_of(world, "new")
    made = planned(world, old, [*machines_of(world, old), successor(world, new, checks=SICK)])
    assert kinds(made.actions) == ["Cordon", "Stop", "Destroy"]
    assert {getattr(action, "machine_id", "") for action in made.actions} == {successor(world, new).id}


@pytest.mark.parametrize(
    ("leaves", "expected"),
    [
        pytest.param("01A", ["Cordon", "Stop", "Destroy"], id="the older one: the new one brought its own"),
        pytest.param("01C", ["SetSecrets", "Cordon", "Stop", "Destroy"], id="the younger one: it was given up"),
    ],
)
def test_secrets_are_sent_again_only_where_the_last_version_is_given_up(
    world: World, kinds: Kinds, leaves: str, expected: list[str]
) -> None:
    spec = world.spec(secrets=world.secrets("TOKEN"), scale=Scale(minimum=1, maximum=1))
    wanted, other = world.server(spec, TOKEN="d1"), world.server(spec, TOKEN="d2")
    stays = world.machine(wanted.machines[0], instance_id="01B")
    made = planned(world, wanted, [stays, successor(world, other, instance_id=leaves)])
    assert kinds(made.actions) == expected


@pytest.mark.parametrize(
    ("leaves", "token", "expected"),
    [
        pytest.param("01A", "d2", ["Destroy"], id="an older one of another version"),
        pytest.param("01C", "d1", ["Destroy"], id="one of the wanted version"),
        pytest.param("01C", "d2", ["SetSecrets", "Destroy"], id="a younger one of a version that was given up"),
    ],
)
def test_secrets_are_sent_again_where_a_larger_version_is_given_up(
    world: World, kinds: Kinds, leaves: str, token: str, expected: list[str]
) -> None:
    small, large = (world.spec(secrets=world.secrets("TOKEN"), scale=Scale(minimum=0, maximum=most)) for most in (1, 2))
    wanted, other = world.server(small, TOKEN="d1"), world.server(large, TOKEN=token)
    stays = world.machine(wanted.machines[0], instance_id="01B")
    second = world.machine(other.machines[1], id="second", instance_id=leaves, state=MachineState.STOPPED, checks=())
    made = planned(world, wanted, [stays, second])
    assert kinds(made.actions) == expected


def test_a_third_version_does_not_wait_for_the_second_to_become_healthy(world: World, kinds: Kinds) -> None:
    first, second, third = (server_of(world, version) for version in ("one", "two", "three"))
    made = planned(world, third, [*machines_of(world, first), successor(world, second, checks=SICK)])
    assert kinds(made.actions) == ["Cordon", "Stop", "Destroy", "Create"]
    assert later(made.deferred) == [("Destroy", f"machine {names(made.actions)[0]} is healthy")]


@pytest.mark.parametrize("minimum", [0, 1])
def test_the_first_machine_of_a_change_goes_alone(world: World, minimum: int) -> None:
    old = server_of(world, "old", minimum=minimum, maximum=5)
    new = server_of(world, "new", minimum=minimum, maximum=5)
    made = planned(world, new, machines_of(world, old))
    assert len(names(made.actions)) == 1
    waiting = [found for found in made.deferred if isinstance(found.action, Create | Update)]
    assert [found.until for found in waiting] == [f"machine {names(made.actions)[0]} is healthy"] * 4


def test_a_new_server_begins_with_one_machine(world: World) -> None:
    made = plan(world.snapshot(server_of(world, maximum=3)))
    assert names(made.actions) == ["time-1"]
    assert names([found.action for found in made.deferred]) == ["time-2", "time-3"]


def test_after_the_first_three_machines_change_at_once(world: World) -> None:
    old, new = server_of(world, "old", minimum=0, maximum=6), server_of(world, "new", minimum=0, maximum=6)
    machines = [world.machine(new.machines[0]), *machines_of(world, old)[1:]]
    made = planned(world, new, machines)
    assert names(made.actions) == ["time-2", "time-3", "time-4"]


def test_a_first_machine_that_is_awake_and_unhealthy_holds_the_rest(world: World) -> None:
    old, new = server_of(world, "old", minimum=0, maximum=3), server_of(world, "new", minimum=0, maximum=3)
    machines = [world.machine(new.machines[0], checks=SICK), *machines_of(world, old)[1:]]
    made = planned(world, new, machines)
    assert not made.actions
    assert later(made.deferred) == [("Update", "machine time-1 is healthy")] * 2


def test_a_machine_that_was_put_to_sleep_counts_as_healthy_where_it_may_sleep(world: World) -> None:
    old, new = server_of(world, "old", minimum=0, maximum=2), server_of(world, "new", minimum=0, maximum=2)
    asleep = world.machine(new.machines[0], state=MachineState.SUSPENDED, checks=())
    made = planned(world, new, [asleep, *machines_of(world, old)[1:]])
    assert names(made.actions) == ["time-2"]


def test_a_machine_that_serves_nobody_is_changed_first(world: World) -> None:
    old, new = server_of(world, "old", minimum=0, maximum=3), server_of(world, "new", minimum=0, maximum=3)
    first, second, third = machines_of(world, old)
    broken = replace(second, state=MachineState.STOPPED, last_exit=CRASH)
    assert names(planned(world, new, [first, broken, third]).actions) == ["time-2"]


def test_a_server_that_may_sleep_is_updated_in_place(world: World) -> None:
    old, new = server_of(world, "old", minimum=0), server_of(world, "new", minimum=0)
    assert [type(action) for action in planned(world, new, machines_of(world, old)).actions] == [Update]


def test_mounts_are_changed_by_another_machine(world: World) -> None:
    new = server_of(world, "new", minimum=0)
    config = new.machines[0].config.replace("{", '{"mounts":[{"path":"/data"}],', 1)
    made = planned(world, new, [world.machine(new.machines[0], config=config)])
    create = made.actions[-1]
    assert isinstance(create, Create)
    assert "mounts do not change in place" in create.reason


def setback(world: World, server: DesiredServer, machine: str, code: str, *, seconds: int = 30) -> Setback:
    return Setback(
        server="time",
        machine=machine,
        digest=server.machines[0].digest,
        code=code,
        attempts=2,
        not_before=world.now + timedelta(seconds=seconds),
    )


def test_a_full_host_is_left_for_another(world: World) -> None:
    old, new = server_of(world, "old", minimum=0), server_of(world, "new", minimum=0)
    full = setback(world, new, "time-1", "host-full")
    made = planned(world, new, machines_of(world, old), setbacks=(full,), now=world.now)
    assert isinstance(made.actions[0], Create)
    assert "the host of the old machine is full" in made.actions[0].reason


def test_what_failed_waits_for_its_time(world: World) -> None:
    old, new = server_of(world, "old", minimum=0), server_of(world, "new", minimum=0)
    failed = setback(world, new, "time-1", "machine-failed")
    waiting = planned(world, new, machines_of(world, old), setbacks=(failed,), now=world.now)
    assert not waiting.actions
    assert waiting.next_attempt == failed.not_before
    assert "failed 2 times, last with machine-failed" in waiting.deferred[0].until
    due = planned(world, new, machines_of(world, old), setbacks=(failed,), now=failed.not_before)
    assert names(due.actions) == ["time-1"]


def test_another_version_does_not_wait_for_what_an_earlier_one_did(world: World) -> None:
    old, new, newer = (server_of(world, version, minimum=0) for version in ("old", "new", "newer"))
    failed = setback(world, new, "time-1", "machine-failed")
    assert planned(world, newer, machines_of(world, old), setbacks=(failed,), now=world.now).actions


@pytest.mark.parametrize("code", ["region-full", "fly-limit-reached"])
def test_the_only_machine_of_a_server_that_must_be_awake_waits_for_room(world: World, code: str) -> None:
    old, new = server_of(world, "old"), server_of(world, "new")
    full = setback(world, new, f"time-1-{new.machines[0].digest[:8]}", code)
    made = planned(world, new, machines_of(world, old), setbacks=(full,), now=world.now)
    assert not made.actions
    assert code in made.deferred[0].until


def test_without_room_one_of_several_machines_is_updated_in_place(world: World) -> None:
    old, new = server_of(world, "old", minimum=2, maximum=2), server_of(world, "new", minimum=2, maximum=2)
    full = setback(world, new, f"time-1-{new.machines[0].digest[:8]}", "region-full")
    made = planned(world, new, machines_of(world, old), setbacks=(full,), now=world.now)
    assert [type(action) for action in made.actions] == [Update]


def test_surplus_machines_go_last_and_from_the_top(world: World) -> None:
    old, new = server_of(world, maximum=4), server_of(world, maximum=2)
    made = planned(world, new, machines_of(world, old))
    destroyed = [action.machine_name for action in made.actions if isinstance(action, Destroy)]
    assert destroyed == ["time-4", "time-3"]


def test_surplus_machines_stay_while_the_others_are_not_well(world: World) -> None:
    old, new = server_of(world, maximum=2), server_of(world)
    first, second = machines_of(world, old)
    made = planned(world, new, [replace(first, checks=SICK), second])
    assert not made.actions
    assert later(made.deferred) == [("Destroy", "the other machines are as wanted and healthy")]


def test_only_as_many_sleepers_are_started_as_must_be_awake(world: World) -> None:
    server = server_of(world, minimum=1, maximum=3)
    asleep = machines_of(world, server, state=MachineState.SUSPENDED, checks=())
    made = planned(world, server, asleep)
    assert [action.machine_id for action in made.actions if isinstance(action, Start)] == [asleep[0].id]
    assert planned(world, server, [world.machine(server.machines[0]), *asleep[1:]]).empty


def test_a_wanted_machine_out_of_rotation_is_put_back(world: World) -> None:
    server = server_of(world)
    made = planned(world, server, machines_of(world, server, cordoned=True))
    assert [type(action) for action in made.actions] == [Uncordon]


def test_an_old_machine_is_put_back_while_nothing_else_serves(world: World) -> None:
    old, new = server_of(world, "old"), server_of(world, "new")
    cordoned = machines_of(world, old, cordoned=True)
    made = planned(world, new, [*cordoned, successor(world, new, checks=SICK)])
    assert [type(action) for action in made.actions] == [Uncordon]


def test_a_machine_changed_by_hand_is_replaced_under_a_name_that_is_free(world: World) -> None:
    server = server_of(world)
    changed = successor(world, server, config='{"image":"other"}')
    made = planned(world, server, [changed])
    assert names(made.actions) == ["time-1"]
    old = world.machine(server.machines[0], digest="0" * 64)
    both = planned(world, server, [changed, old])
    assert names(both.actions)[0] not in {changed.name, "time-1"}


def test_a_missing_machine_is_not_made_anew_where_the_view_ends(world: World) -> None:
    server = server_of(world, maximum=2)
    seen = world.observe(machines_of(world, server)[0], complete=False)
    made = plan(world.snapshot(server, observation=seen))
    assert not made.actions
    assert later(made.deferred) == [("Create", "the whole fleet can be seen")]


@pytest.mark.parametrize("case", ["the view is incomplete", "the older one does not go"])
def test_a_third_machine_of_a_place_waits_until_one_of_the_two_is_gone(world: World, case: str) -> None:
    first, second, third = (server_of(world, version) for version in ("first", "second", "third"))
    failed = successor(world, second, checks=SICK)
    seen = world.observe(*machines_of(world, first), failed, complete=case != "the view is incomplete")
    stuck = replace(setback(world, third, failed.name, "machine-leased"), digest="")
    setbacks = (stuck,) if seen.complete else ()
    made = plan(world.snapshot(third, observation=seen, setbacks=setbacks, now=world.now))
    assert not made.actions
    assert ("Create", "another machine of its place is gone") in later(made.deferred)


def test_the_digest_of_a_plan_is_that_of_the_whole_change(world: World) -> None:
    old, new = server_of(world, "old", minimum=0, maximum=2), server_of(world, "new", minimum=0, maximum=2)
    failed = setback(world, new, "time-1", "machine-failed")
    first = planned(world, new, machines_of(world, old))
    waiting = planned(world, new, machines_of(world, old), setbacks=(failed,), now=world.now)
    larger = planned(world, server_of(world, "new", minimum=0, maximum=3), machines_of(world, old))
    assert first.digest == waiting.digest != larger.digest


@pytest.mark.parametrize(
    "machine",
    [pytest.param("time-1", id="the destroy"), pytest.param("", id="the app"), pytest.param("old", id="the stop")],
)
def test_an_order_that_failed_keeps_what_follows_it_waiting(world: World, machine: str) -> None:
    old, new = server_of(world, "old"), server_of(world, "new")
    (before,) = machines_of(world, old, id="old")
    failed = replace(setback(world, new, machine, "machine-leased"), digest="")
    made = planned(world, new, [before, successor(world, new)], setbacks=(failed,), now=world.now)
    assert not made.actions
    assert [type(waiting.action) for waiting in made.deferred] == [Destroy]
    assert made.next_attempt == failed.not_before


def test_the_last_machine_that_serves_is_not_updated_in_place(world: World) -> None:
    old, new = server_of(world, "old", minimum=1, maximum=2), server_of(world, "new", minimum=1, maximum=2)
    first, second = machines_of(world, old)
    full = setback(world, new, f"time-1-{new.machines[0].digest[:8]}", "region-full")
    made = planned(world, new, [first, replace(second, checks=SICK)], setbacks=(full,), now=world.now)
    assert first.id not in {getattr(action, "machine_id", "") for action in made.actions}


def test_without_room_only_one_machine_is_missing_at_a_time(world: World) -> None:
    old, new = server_of(world, "old", minimum=4, maximum=4), server_of(world, "new", minimum=4, maximum=4)
    machines = [world.machine(new.machines[0]), *machines_of(world, old)[1:]]
    full = [setback(world, new, f"time-{n}-{new.machines[0].digest[:8]}", "fly-limit-reached") for n in (2, 3, 4)]
    made = planned(world, new, machines, setbacks=tuple(full), now=world.now)
    assert [type(action) for action in made.actions] == [Update]
    assert later(made.deferred) == [("Update", "another machine serves")] * 2


@pytest.mark.parametrize("minimum", [0, 1])
def test_of_two_wanted_machines_in_a_place_the_one_that_sleeps_well_stays(world: World, minimum: int) -> None:
    """The other one fails its checks, for who knows how long."""
    server = server_of(world, "new", minimum=minimum)
    sick = world.machine(server.machines[0], checks=SICK)
    well = successor(world, server, state=MachineState.STOPPED)
    made = planned(world, server, [sick, well])
    begun = [action for action in made.actions if isinstance(action, Destroy | Start)]
    assert {(type(action), action.machine_id) for action in begun} & {(Destroy, sick.id), (Start, well.id)}
    assert [action for action in made.actions if isinstance(action, Destroy) and action.machine_id == well.id] == []
    assert [waiting for waiting in made.deferred if getattr(waiting.action, "machine_id", "") == well.id] == []
