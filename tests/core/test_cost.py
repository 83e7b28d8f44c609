"""What a fleet costs before a plan and after it."""

import pytest

from reconciler.core.cost import guest_price, planned_cost, running_cost
from reconciler.core.plan import plan
from reconciler.core.types import DesiredServer, Guest, Observation, Scale
from tests.core.conftest import World

SMALL = guest_price(Guest(memory_mb=512)) or 0.0
LARGE = guest_price(Guest(memory_mb=1024)) or 0.0


def after(world: World, seen: Observation, *servers: DesiredServer) -> float:
    return planned_cost(seen.machines, plan(world.snapshot(*servers, observation=seen))).awake


def server_of(
    world: World, name: str = "time", *, scale: tuple[int, int] = (0, 1), memory_mb: int = 512
) -> DesiredServer:
    spec = world.spec(name, scale=Scale(minimum=scale[0], maximum=scale[1]), guest=Guest(memory_mb=memory_mb))
    return world.server(spec)


def running(world: World, *servers: DesiredServer) -> Observation:
    return world.observe(*(world.machine(machine) for server in servers for machine in server.machines))


@pytest.mark.parametrize("minimum", [0, 1])
def test_larger_machines_cost_more_when_all_of_them_are_changed(world: World, minimum: int) -> None:
    seen = running(world, server_of(world, scale=(minimum, 3)))
    new = server_of(world, scale=(minimum, 3), memory_mb=1024)
    assert running_cost(seen.machines).awake == round(3 * SMALL, 2)
    assert after(world, seen, new) == round(3 * LARGE, 2)


def test_machines_that_come_later_count(world: World) -> None:
    assert after(world, Observation(), server_of(world, scale=(0, 4))) == round(4 * SMALL, 2)


def test_a_smaller_scale_and_a_removed_server_cost_no_more(world: World) -> None:
    seen = running(world, server_of(world, scale=(0, 3)), server_of(world, "old"))
    assert after(world, seen, server_of(world)) == round(SMALL, 2)


def test_what_is_held_costs_what_it_costs(world: World) -> None:
    seen = running(world, *(server_of(world, f"server{number}") for number in range(4)))
    assert after(world, seen) == running_cost(seen.machines).awake
