"""Schedules of commits, faults, restarts and passes: whatever happens in between, nothing is lost, and all heals.

Every schedule is a list of words, so that a failing one can be read and run again.
"""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.actions import Destroy, DestroyApp
from reconciler.core.problems import Problem, Remedy
from reconciler.core.types import Trigger
from reconciler.errors import EnvironmentFault, SourceError, Unavailable

MANIFESTS = ("", "time", "time memory", "time=secret memory", "time=x@2 wiki", "!", "time !")
DOWN = Unavailable("unreachable", "no answer")
FULL_DISK = EnvironmentFault("database-failed", "the disk is full")
FULL_REGION = Problem(code="full", message="the region is full", remedy=Remedy.WAIT)
FAULTS: dict[str, Callable[[Any], object]] = {
    "source down": lambda world: setattr(world.source, "head_error", DOWN),
    "files unreadable": lambda world: setattr(world.source, "files_error", DOWN),
    "secret tampered": lambda world: world.secrets.errors.update(time=SourceError("tampered", "it was changed")),
    "secret crashes": lambda world: world.secrets.errors.update(time=world.bug),
    "registry down": lambda world: world.catalog.errors.update(memory=DOWN),
    "package gone": lambda world: world.catalog.errors.update(memory=SourceError("package-not-found", "no package")),
    "observe down": lambda world: setattr(world.fleet, "observe_error", DOWN),
    "observe incomplete": lambda world: setattr(world.fleet, "incomplete", "a page is missing"),
    "observe crashes": lambda world: setattr(world.fleet, "observe_error", world.bug),
    "create fails": lambda world: world.fleet.failing.update(Create=FULL_REGION),
    "create crashes": lambda world: world.fleet.failing.update(Create=world.bug),
    "secrets fail": lambda world: world.fleet.failing.update(SetSecrets=FULL_REGION),
    "destroy fails": lambda world: world.fleet.failing.update(DestroyApp=FULL_REGION),
    "probe crashes": lambda world: setattr(world.prober, "error", world.bug),
    "report crashes": lambda world: setattr(world.reporter, "error", world.bug),
    "intents lost": lambda world: world.memory.failing.update(intents=FULL_DISK),
    "outcomes lost": lambda world: world.memory.failing.update(outcome=FULL_DISK),
    "pass lost": lambda world: world.memory.failing.update({"pass": FULL_DISK}),
}
PASSES = tuple(f"pass {trigger}" for trigger in (Trigger.COMMIT, Trigger.HEALTH, Trigger.POLL))

step = st.one_of(
    st.sampled_from(MANIFESTS).map(lambda manifest: f"commit {manifest}"),
    st.sampled_from(sorted(FAULTS)).map(lambda fault: f"fault {fault}"),
    st.sampled_from(("heal", "restart", "machine lost", "a day passes")),
    st.sampled_from(PASSES),
)


def heal(world) -> None:
    world.source.head_error = world.source.files_error = world.fleet.observe_error = None
    world.reporter.error = world.prober.error = None
    world.fleet.incomplete = ""
    for faults in (world.secrets.errors, world.catalog.errors, world.fleet.failing, world.memory.failing):
        faults.clear()


async def take(world, words: str) -> None:
    verb, _, rest = words.partition(" ")
    match verb:
        case "commit":
            world.commit(f"{len(world.source.commits)}", rest)
        case "fault":
            FAULTS[rest](world)
        case "heal":
            heal(world)
        case "restart":
            world.restart()
        case "machine":
            if world.fleet.machines:
                world.fleet.machines.pop(min(world.fleet.machines))
        case "a":
            world.clock.advance(86_400)
        case _:
            await run_and_check(world, Trigger(rest))


async def run_and_check(world, trigger: Trigger) -> None:
    applied, reported = len(world.fleet.applied), len(world.reporter.reported)
    incomplete = world.fleet.incomplete
    finished = await world.run(trigger)
    assert len(world.reporter.reported) == reported + 1, "a pass is always reported"
    assert world.canary not in repr((finished, world.ear.events)), "no secret and no message of a bug gets out"
    for action in world.fleet.applied[applied:]:
        if isinstance(action, Destroy | DestroyApp):
            assert not incomplete, "nothing is destroyed on an incomplete view"
            assert finished.applied_revision is not None
            in_force = world.source.commits[finished.applied_revision.subject]["catwalk.yaml"].decode()
            assert action.server not in {word.partition("=")[0] for word in in_force.split()}


async def live(world, schedule: list[str]) -> None:
    world.commit("0", "time memory")
    for words in schedule:
        await take(world, words)
    heal(world)
    world.clock.advance(86_400)
    world.commit("last", "time=secret wiki")
    await world.run(Trigger.COMMIT)
    finished = await world.run(Trigger.HEALTH)
    assert finished.settled
    assert finished.plan.empty
    assert world.states(finished) == {"time": "ready", "wiki": "ready"}
    assert {machine.app for machine in world.fleet.machines.values()} == world.fleet.apps == {"acme-time", "acme-wiki"}


@settings(max_examples=150)
@given(schedule=st.lists(step, max_size=25))
def test_whatever_happens_nothing_declared_is_destroyed_and_everything_heals(new_world, schedule):
    anyio.run(live, new_world(), schedule)


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "restarted"])
async def test_every_fault_between_two_commits_heals(world, fault, restarted):
    schedule = ["pass commit", f"fault {fault}", "commit time=secret wiki memory", "pass commit", "pass health"]
    await live(world, [*schedule, *(["restart"] if restarted else []), "machine lost", "pass health"])
