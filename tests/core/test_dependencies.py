"""Which server waits for which, and how removals are ordered and bounded."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from reconciler.core.actions import Action, DestroyApp, Plan
from reconciler.core.dependencies import cycles
from reconciler.core.plan import plan
from reconciler.core.problems import Problem
from reconciler.core.prune_policy import PrunePolicy
from reconciler.core.removals import prune_digest
from reconciler.core.types import Check, CheckState, DesiredServer, ObservedApp, ObservedMachine, Scale
from tests.core.conftest import World

SICK = (Check(name="servicecheck-00-http-8080", state=CheckState.CRITICAL),)


@pytest.mark.parametrize(
    ("dependencies", "found"),
    [
        pytest.param({"a": ("b",), "b": ("c",)}, [], id="a chain"),
        pytest.param({"a": ("b", "c"), "b": ("d",), "c": ("d",), "d": ()}, [], id="a diamond"),
        pytest.param({"a": ("a",)}, [("a",)], id="itself"),
        pytest.param({"b": ("c",), "c": ("a",), "a": ("b",)}, [("a", "b", "c")], id="a circle"),
        pytest.param({"a": ("b",), "b": ("a",), "c": ("d",), "d": ("c",)}, [("a", "b"), ("c", "d")], id="two circles"),
        pytest.param({"a": ("x",)}, [], id="a name that nobody declares"),
    ],
)
def test_circles_are_found_once(dependencies: Mapping[str, Sequence[str]], found: list[tuple[str, ...]]) -> None:
    assert list(cycles(dependencies)) == found


def two_servers(world: World, *, version: str = "") -> tuple[DesiredServer, DesiredServer]:
    base = world.spec("base", arguments=(version,))
    return world.server(base), world.server(world.spec("top", arguments=(version,), depends_on=("base",)))


def running(world: World, *servers: DesiredServer, **changes: object) -> list[ObservedMachine]:
    return [world.machine(machine, **changes) for server in servers for machine in server.machines]


def changed(actions: Sequence[Action]) -> set[str]:
    return {action.server for action in actions}


def test_a_server_waits_for_the_one_that_it_depends_on(world: World) -> None:
    base, top = two_servers(world, version="new")
    made = plan(world.snapshot(base, top, observation=world.observe(*running(world, *two_servers(world)))))
    assert changed(made.actions) == {"base"}
    (waiting,) = made.deferred
    assert (waiting.action.server, waiting.awaits) == ("top", "base")
    assert waiting.until == "server base, which it depends on, is as wanted and healthy"


def test_it_goes_on_when_the_other_is_healthy_and_not_before(world: World) -> None:
    base, top = two_servers(world, version="new")
    (old_top,) = running(world, two_servers(world)[1])
    (new_base,) = running(world, base)
    sick = plan(world.snapshot(base, top, observation=world.observe(old_top, replace(new_base, checks=SICK))))
    assert not sick.actions
    well = plan(world.snapshot(base, top, observation=world.observe(old_top, new_base)))
    assert changed(well.actions) == {"top"}


def test_a_server_that_went_back_is_not_what_others_wait_for(world: World) -> None:
    base, top = two_servers(world, version="new")
    old_base, old_top = two_servers(world)
    seen = world.observe(*running(world, old_base, old_top))
    made = plan(world.snapshot(old_base, top, observation=seen, gone_back=frozenset({"base"})))
    assert not made.actions
    assert [(waiting.action.server, waiting.until, waiting.awaits) for waiting in made.deferred] == [
        ("top", "server base, which it depends on, runs what the revision asks for", "base")
    ]
    assert changed(plan(world.snapshot(base, top, observation=seen)).actions) == {"base"}


def test_what_a_server_that_went_back_needs_stays(world: World) -> None:
    base, top = two_servers(world)
    seen = world.observe(*running(world, base, top))
    snapshot = world.snapshot(
        top,
        observation=seen,
        former_dependencies={"top": ("base",)},
        gone_back=frozenset({"top"}),
        prune=PrunePolicy(max_percent=0),
    )
    assert not plan(snapshot).actions
    assert [waiting.awaits for waiting in plan(snapshot).deferred] == ["top"]
    assert changed(plan(replace(snapshot, gone_back=frozenset())).actions) == {"base"}


def test_nobody_waits_for_a_suspended_server_and_everybody_for_a_blocked_one(world: World) -> None:
    base, top = two_servers(world, version="new")
    seen = world.observe(*running(world, *two_servers(world)))
    alone = replace(base, spec=replace(base.spec, suspended=True))
    assert changed(plan(world.snapshot(alone, top, observation=seen)).actions) == {"top"}
    blocked = (Problem(code="tampered", message="the value was changed", server="base"),)
    made = plan(world.snapshot(top, observation=seen, blocked=blocked))
    assert not made.actions
    assert made.deferred[0].until == "server base, which it depends on, can be resolved"


def test_dependents_are_removed_first(world: World) -> None:
    base, top = two_servers(world)
    former = {"top": ("base",)}
    both = world.observe(*running(world, base, top))
    first = plan(world.snapshot(observation=both, former_dependencies=former, prune=PrunePolicy(max_percent=100)))
    assert changed(first.actions) == {"top"}
    assert [waiting.until for waiting in first.deferred] == ["top no longer depends on it"]
    second = plan(world.snapshot(observation=world.observe(*running(world, base)), former_dependencies=former))
    assert changed(second.actions) == {"base"}


def test_what_a_server_depended_on_stays_until_it_runs_without_it(world: World) -> None:
    base, top = two_servers(world)
    alone = world.server(world.spec("top", arguments=("new",)))
    former = {"top": ("base",)}
    seen = world.observe(*running(world, base, top))
    made = plan(world.snapshot(alone, observation=seen, former_dependencies=former))
    assert [type(waiting.action) for waiting in made.deferred] == [DestroyApp]


def removal(world: World, count: int, **changes: object) -> Plan:
    """The plan for a fleet of four of which the first `count` left the manifest."""
    servers = [world.server(world.spec(f"server{number}")) for number in range(4)]
    observation = world.observe(*running(world, *servers))
    return plan(world.snapshot(*servers[count:], observation=observation, **changes))


def test_a_removal_within_the_budget_happens(world: World) -> None:
    assert len(removal(world, 2).actions) == 2
    assert removal(world, 2).prune is None


@pytest.mark.parametrize(
    ("count", "policy", "words"),
    [
        pytest.param(3, PrunePolicy(), "3 servers of 4 would be removed; at most 50 %", id="per cent"),
        pytest.param(2, PrunePolicy(max_count=1), "at most 1 may be", id="count"),
        pytest.param(1, PrunePolicy(always_confirm=True), "every removal is to be confirmed", id="always"),
    ],
)
def test_a_removal_above_the_budget_removes_nothing_and_asks(
    world: World, count: int, policy: PrunePolicy, words: str
) -> None:
    made = removal(world, count, prune=policy)
    assert not made.actions
    assert made.prune is not None
    assert words in made.prune.reason
    assert len(made.held) == count
    assert made.prune.command == f"catwalk apply --confirm-prune {made.prune.digest}"
    assert words in made.held[0].reason


def test_one_server_alone_is_within_every_percentage(world: World) -> None:
    assert len(removal(world, 1, prune=PrunePolicy(max_percent=0)).actions) == 1


def test_what_a_person_agreed_to_happens_and_nothing_else(world: World) -> None:
    asked = removal(world, 3).prune
    assert asked is not None
    assert asked.digest == prune_digest(asked.apps)
    assert len(removal(world, 3, confirmed_prunes=frozenset({asked.digest})).actions) == 3
    assert not removal(world, 4, confirmed_prunes=frozenset({asked.digest})).actions


def test_what_is_left_of_an_interrupted_removal_needs_no_second_word(world: World) -> None:
    agreed = frozenset(f"acme-server{number}" for number in range(4))
    assert len(removal(world, 3, confirmed_apps=agreed).actions) == 3


def test_an_empty_manifest_does_not_cost_a_fleet(world: World) -> None:
    apps = tuple(ObservedApp(name=f"acme-s{number:03}") for number in range(100))
    owned = frozenset(app.name for app in apps)
    made = plan(world.snapshot(observation=world.observe(apps=apps), owned_apps=owned))
    assert not made.actions
    assert made.prune is not None
    assert len(made.prune.apps) == 100


def test_a_server_of_several_machines_is_ready_when_all_of_them_are(world: World) -> None:
    base = world.server(world.spec("base", scale=Scale(minimum=1, maximum=2)))
    top = world.server(world.spec("top", depends_on=("base",)))
    first, second = running(world, base)
    made = plan(world.snapshot(base, top, observation=world.observe(first, replace(second, checks=SICK))))
    assert not made.actions
