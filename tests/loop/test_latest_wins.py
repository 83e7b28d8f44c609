"""A commit that comes while an older one is applied: what has begun ends, the rest is left, the newest counts."""

import anyio
import pytest

from reconciler.core.types import OutcomeKind, Trigger
from reconciler.loop.live import LiveState
from reconciler.loop.progress import Chorus, PassFinished
from reconciler.loop.schedule import ScheduleSettings
from reconciler.loop.worker import Worker

QUIET = ScheduleSettings(poll_s=10_000, health_s=10_000, resync_s=10_000)


@pytest.fixture
async def worker(world):
    live = LiveState()
    world.listen(Chorus(world.ear, live))
    world.live = live
    return Worker(world.reconciler, world.ports, live, QUIET)


async def passes(events, count: int):
    found = []
    with anyio.fail_after(10):
        while len(found) < count:
            event = await anext(events)
            if isinstance(event, PassFinished):
                found.append(event.finished)
    return found


async def test_a_newer_commit_ends_the_older_pass_between_two_actions(world, worker) -> None:
    world.commit("one", "time")

    def push(_: object) -> None:
        world.fleet.before_apply = lambda _: None
        world.commit("two", "time=pypi@2")
        worker.wake(Trigger.COMMIT)

    world.fleet.before_apply = push
    with world.live.subscribe() as events:
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            older, newer = await passes(events, 2)
            worker.stop()
    kinds = [outcome.kind for outcome in older.outcomes]
    assert kinds[0] is OutcomeKind.APPLIED, "what had begun came to its end"
    assert set(kinds[1:]) == {OutcomeKind.SKIPPED}
    assert newer.applied_revision.subject == "two"
    assert world.states(newer) == {"time": "ready"}


async def test_of_many_commits_during_a_pass_only_the_newest_is_applied(world, worker) -> None:
    world.commit("one", "time")

    def push(_: object) -> None:
        world.fleet.before_apply = lambda _: None
        for name in ("two", "three", "four"):
            world.commit(name, "time=pypi@2")
            worker.wake(Trigger.COMMIT)

    world.fleet.before_apply = push
    with world.live.subscribe() as events:
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            _, newer = await passes(events, 2)
            worker.stop()
    assert newer.revision.subject == "four"
    assert "two" not in world.source.reads
    assert "three" not in world.source.reads
    assert worker.queue.pending is None


async def test_a_health_tick_does_not_cut_an_apply_short(world, worker) -> None:
    world.commit("one", "time")

    def tick(_: object) -> None:
        worker.wake(Trigger.HEALTH)

    world.fleet.before_apply = tick
    with world.live.subscribe() as events:
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            [first] = await passes(events, 1)
            worker.stop()
    assert OutcomeKind.SKIPPED not in {outcome.kind for outcome in first.outcomes}
