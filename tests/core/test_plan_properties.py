"""The promises of the planner, for any fleet and any view of it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.actions import Destroy, DestroyApp, Plan
from reconciler.core.plan import plan
from reconciler.core.problems import Problem
from reconciler.core.types import DesiredServer, MachineState, Observation, ObservedMachine, Scale, Snapshot
from tests.core.conftest import World

NAMES = ["alpha", "beta", "gamma", "delta"]
machine_states = st.sampled_from(sorted(set(MachineState) - {MachineState.UNKNOWN}))


@st.composite
def snapshots(draw: st.DrawFn, world: World) -> Snapshot:
    """Any mix of desired, running, changed, removed, foreign and blocked servers."""
    wanted = [_server(draw, world, name) for name in draw(st.lists(st.sampled_from(NAMES), unique=True))]
    running = [
        machine
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True))
        for machine in _machines(draw, world, name)
    ]
    blocked = tuple(
        Problem(code="blocked", message="cannot be resolved", server=name)
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=2))
        if name not in {server.spec.name for server in wanted}
    )
    observation = replace(world.observe(*running), complete=draw(st.booleans()))
    return world.snapshot(*wanted, observation=observation, blocked=blocked)


def _server(draw: st.DrawFn, world: World, name: str) -> DesiredServer:
    scale = Scale(minimum=draw(st.integers(0, 1)), maximum=draw(st.integers(1, 2)))
    arguments = draw(st.sampled_from([(), ("--one",), ("--two",)]))
    regions = draw(st.sampled_from([("iad",), ("fra",)]))
    spec = world.spec(name, arguments=arguments, scale=scale, regions=regions, suspended=draw(st.booleans()))
    return world.server(spec)


def _machines(draw: st.DrawFn, world: World, name: str) -> list[ObservedMachine]:
    machines = [
        world.machine(
            wanted,
            state=draw(machine_states),
            fleet=draw(st.sampled_from(["acme", "acme", "", "other"])),
            host_ok=draw(st.sampled_from([True, True, True, False])),
        )
        for wanted in _server(draw, world, name).machines
    ]
    return draw(st.permutations(machines))


def _fully_applied(world: World, snapshot: Snapshot, made: Plan) -> Observation:
    seen = snapshot.observation
    for action in made.actions:
        seen = world.apply(action, seen)
    return seen


@given(data=st.data())
def test_one_pass_converges(data: st.DataObject, world: World) -> None:
    snapshot = data.draw(snapshots(world))
    after = _fully_applied(world, snapshot, plan(snapshot))
    second = plan(replace(snapshot, observation=after))
    assert not [action for action in second.actions if not isinstance(action, Destroy | DestroyApp)], second.actions
    assert second.empty or not after.complete or _unreachable(after)


def _unreachable(observation: Observation) -> bool:
    return any(not machine.host_ok for machine in observation.machines)


@given(data=st.data())
def test_the_order_of_the_input_does_not_matter(data: st.DataObject, world: World) -> None:
    snapshot = data.draw(snapshots(world))
    observation = replace(
        snapshot.observation,
        machines=tuple(data.draw(st.permutations(snapshot.observation.machines))),
        apps=tuple(data.draw(st.permutations(snapshot.observation.apps))),
    )
    shuffled = replace(snapshot, desired=tuple(data.draw(st.permutations(snapshot.desired))), observation=observation)
    assert plan(shuffled) == plan(snapshot)


@given(data=st.data())
def test_foreign_machines_are_never_touched(data: st.DataObject, world: World) -> None:
    snapshot = data.draw(snapshots(world))
    foreign = {machine.id for machine in snapshot.observation.machines if machine.fleet != "acme"}
    ours = {machine.id for machine in snapshot.observation.machines if machine.fleet == "acme"}
    foreign_apps = {
        machine.app
        for machine in snapshot.observation.machines
        if machine.fleet != "acme" and machine.state not in {MachineState.DESTROYED, MachineState.DESTROYING}
    }
    for action in plan(snapshot).actions:
        assert getattr(action, "machine_id", "") not in foreign - ours
        assert not (isinstance(action, DestroyApp) and action.app in foreign_apps)


@given(data=st.data())
def test_an_incomplete_observation_destroys_nothing_that_was_removed(data: st.DataObject, world: World) -> None:
    snapshot = data.draw(snapshots(world))
    partial = replace(snapshot, observation=replace(snapshot.observation, complete=False))
    assert not [action for action in plan(partial).actions if isinstance(action, DestroyApp | Destroy)]


@given(data=st.data())
def test_a_blocked_or_suspended_server_is_never_touched(data: st.DataObject, world: World) -> None:
    snapshot = data.draw(snapshots(world))
    left_alone = {problem.server for problem in snapshot.blocked}
    left_alone |= {server.spec.name for server in snapshot.desired if server.spec.suspended}
    assert not {action.server for action in plan(snapshot).actions} & left_alone
