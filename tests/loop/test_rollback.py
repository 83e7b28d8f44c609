"""What becomes of a revision whose servers do not become healthy, and of the one that worked before it."""

import anyio
import pytest

from reconciler.core.problems import Problem, Remedy
from reconciler.core.types import ServerState, Trigger
from reconciler.errors import EnvironmentFault, Unavailable

BROKEN = '{"state": "failed", "cause": "missing-variable", "detail": "TOKEN is not set"}'


@pytest.fixture
async def healthy(world):
    """`time` at version 1 runs and is well; every configuration with version 2 will fail."""
    world.commit("good", "time=x@1 memory")
    assert world.states(await world.run()) == {"memory": "ready", "time": "ready"}
    world.fleet.broken["time@2"] = BROKEN
    world.fleet.applied.clear()
    return world


def versions(world):
    """The versions of `time` that run, in the order of the names of their machines."""
    found = sorted(name for name, machine in world.fleet.machines.items() if machine.server == "time")
    return [world.fleet.machines[name].config.partition("time@")[2][0] for name in found]


async def test_a_server_whose_new_version_fails_goes_back_and_is_held_with_the_cause(healthy):
    broken = healthy.commit("bad", "time=x@2 memory")
    finished = await healthy.run()
    held = next(status for status in finished.statuses if status.server == "time")
    assert (held.state, held.cause) == (ServerState.HELD, "missing-variable")
    assert broken.short in held.detail
    assert "TOKEN is not set" in held.detail
    assert versions(healthy) == ["1"]
    assert [problem.code for problem in finished.problems] == ["held"]
    assert "missing-variable" in finished.problems[0].message


async def test_the_other_servers_keep_the_new_revision(healthy):
    healthy.commit("bad", "time=x@2 memory=x@7 wiki")
    finished = await healthy.run()
    assert healthy.states(finished) == {"memory": "ready", "time": "held", "wiki": "ready"}
    assert "memory@7" in healthy.fleet.machines["memory-1"].config


@pytest.mark.parametrize("trigger", [Trigger.HEALTH, Trigger.POLL, Trigger.START])
@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "restarted"])
async def test_what_is_held_is_not_tried_again_by_itself(healthy, trigger, restarted):
    healthy.commit("bad", "time=x@2 memory")
    await healthy.run()
    healthy.fleet.applied.clear()
    if restarted:
        healthy.restart()
    healthy.clock.advance(86_400)
    assert healthy.states(await healthy.run(trigger)) == {"memory": "ready", "time": "held"}
    assert healthy.fleet.applied == []


async def test_a_revision_that_could_not_be_tried_is_not_blamed_for_the_one_before(healthy):
    healthy.fleet.failing["Update"] = Problem(code="machine-leased", message="somebody holds it", remedy=Remedy.WAIT)
    healthy.fleet.broken["time@1"] = BROKEN
    healthy.commit("mend", "time=x@3 memory")
    finished = await healthy.run()
    assert healthy.states(finished)["time"] == "failed"
    assert "held" not in [problem.code for problem in finished.problems]
    healthy.fleet.failing.clear()
    healthy.clock.advance(60)
    assert healthy.states(await healthy.run()) == {"memory": "ready", "time": "ready"}
    assert versions(healthy) == ["3"]


async def test_the_next_commit_resumes(healthy):
    healthy.commit("bad", "time=x@2 memory")
    await healthy.run()
    healthy.commit("fixed", "time=x@3 memory")
    finished = await healthy.run()
    assert healthy.states(finished) == {"memory": "ready", "time": "ready"}
    assert versions(healthy) == ["3"]
    assert finished.settled


async def test_a_commit_that_leaves_the_server_as_it_was_tries_it_once_more(healthy):
    healthy.commit("bad", "time=x@2 memory")
    await healthy.run()
    healthy.fleet.broken.clear()
    healthy.commit("unrelated", "time=x@2 memory=x@2")
    assert healthy.states(await healthy.run()) == {"memory": "ready", "time": "ready"}
    assert versions(healthy) == ["2"]


async def test_a_command_tries_again_what_is_held(healthy):
    healthy.commit("bad", "time=x@2 memory")
    await healthy.run()
    healthy.fleet.broken.clear()
    assert healthy.states(await healthy.run(Trigger.COMMAND)) == {"memory": "ready", "time": "ready"}
    assert versions(healthy) == ["2"]


async def test_a_preview_ends_no_hold(healthy):
    healthy.commit("bad", "time=x@2 memory")
    await healthy.run()
    preview = await healthy.reconciler.preview()
    assert preview.plan is not None
    assert preview.plan.empty
    assert [problem.code for problem in preview.problems] == ["held"]


async def test_a_preview_of_a_newer_commit_forgets_nothing(healthy):
    healthy.commit("bad", "time=x@2 memory")
    await healthy.run()
    healthy.commit("newer", "time=x@3 memory")
    preview = await healthy.reconciler.preview()
    assert preview.plan is not None
    assert [action.server for action in preview.plan.actions] == ["time"]
    assert len(await healthy.memory.holds()) == 1


async def test_a_server_that_never_worked_has_nothing_to_go_back_to(world):
    world.fleet.broken["time@2"] = BROKEN
    world.commit("bad", "time=x@2")
    finished = await world.run()
    assert world.states(finished) == {"time": "failed"}
    assert versions(world) == ["2"]
    assert finished.problems == ()


async def test_a_good_version_that_fails_later_is_not_sent_back_to_itself(healthy):
    healthy.fleet.broken["time@1"] = BROKEN
    assert healthy.states(await healthy.run(Trigger.HEALTH)) == {"memory": "ready", "time": "failed"}
    assert healthy.fleet.applied == []


async def test_a_registry_that_does_not_answer_is_not_the_fault_of_the_revision(healthy):
    healthy.fleet.broken["time@2"] = BROKEN.replace("missing-variable", "registry-unavailable")
    healthy.commit("bad", "time=x@2 memory")
    assert healthy.states(await healthy.run()) == {"memory": "ready", "time": "failed"}
    assert versions(healthy) == ["2"]


async def test_a_rotated_secret_that_does_not_work_goes_back_to_the_old_one(world):
    world.commit("good", "time=secret@1", token="old-5b1f")
    await world.run()
    world.fleet.broken["new-77aa"] = BROKEN
    world.commit("rotated", "time=secret@1", token="new-77aa")
    finished = await world.run()
    assert world.states(finished) == {"time": "held"}
    assert world.fleet.secrets["acme-time"] == ["old-5b1f"]
    assert "new-77aa" not in repr((finished, world.ear.events, world.memory.diary))


async def test_where_the_good_commit_is_gone_the_hold_says_so_and_nothing_is_undone(healthy):
    healthy.commit("bad", "time=x@2 memory")
    del healthy.source.commits["good"]
    healthy.restart()
    healthy.source.files_error = None
    real = healthy.source.files

    async def files(wanted):
        if wanted.subject == "good":
            raise EnvironmentFault("commit-gone", "the commit is not in the repository any more")
        return await real(wanted)

    healthy.source.files = files
    finished = await healthy.run()
    failed = next(status for status in finished.statuses if status.server == "time")
    assert failed.state is ServerState.FAILED
    assert versions(healthy) == ["2"]
    assert "the commit is not in the repository any more" in finished.problems[0].message


async def test_a_hold_that_cannot_be_recorded_undoes_nothing(healthy):
    healthy.commit("bad", "time=x@2 memory")
    healthy.memory.failing["hold"] = Unavailable("database-failed", "the disk is full")
    finished = await healthy.run()
    assert "database-failed" in [problem.code for problem in finished.problems]
    assert versions(healthy) == ["2"]
    healthy.memory.failing.clear()
    assert healthy.states(await healthy.run(Trigger.HEALTH)) == {"memory": "ready", "time": "held"}


async def test_a_pass_that_is_to_stop_sends_nobody_back_but_the_next_one_does(healthy):
    healthy.commit("bad", "time=x@2 memory")
    stopping = anyio.Event()
    healthy.on_pause = stopping.set
    await healthy.run(stopping=stopping)
    healthy.on_pause = lambda: None
    assert healthy.states(await healthy.run(Trigger.START)) == {"memory": "ready", "time": "held"}
