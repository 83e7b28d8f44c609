"""The worker: passes for wakes, a stop that lets actions finish, and patience after crashes.

Ticks come from APScheduler and a real clock in one test only; elsewhere they are acted by hand.
"""

from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest

from reconciler.core.actions import Pass
from reconciler.core.types import OutcomeKind, Trigger
from reconciler.errors import Unavailable
from reconciler.loop.live import LiveState, Subscription
from reconciler.loop.poll import SourcePoll
from reconciler.loop.progress import Chorus, PassFinished
from reconciler.loop.queue import WakeQueue
from reconciler.loop.schedule import Schedule, ScheduleSettings, Tick
from reconciler.loop.worker import Worker

NEVER_S = 10_000.0


class Stage:
    """A worker that runs in a world, and a way to wait for its passes."""

    def __init__(self, worker: Worker, live: LiveState, events: Subscription) -> None:
        self.worker = worker
        self.live = live
        self.events = events

    async def next_pass(self) -> Pass:
        with anyio.fail_after(10):
            while True:
                event = await anext(self.events)
                if isinstance(event, PassFinished):
                    return event.finished


@asynccontextmanager
async def on_stage(world, *, tails=None, **settings: float):
    live = LiveState()
    world.listen(Chorus(world.ear, live))
    quiet = ScheduleSettings(poll_s=NEVER_S, health_s=NEVER_S, resync_s=NEVER_S)
    worker = Worker(world.reconciler, world.ports, live, replace(quiet, **settings))
    if tails is not None:
        worker.keep_logs(tails)
    with anyio.fail_after(20), live.subscribe() as events:
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            yield Stage(worker, live, events)
            worker.stop()


async def test_a_worker_runs_a_first_pass_at_once_and_one_for_each_wake(world):
    world.commit("one", "time")
    async with on_stage(world) as stage:
        assert (await stage.next_pass()).trigger is Trigger.START
        stage.worker.wake(Trigger.WEBHOOK)
        assert (await stage.next_pass()).trigger is Trigger.WEBHOOK
    assert len(world.reporter.reported) == 2


async def test_wakes_during_a_pass_become_one_more_pass(world):
    world.commit("one", "time")
    async with on_stage(world) as stage:
        world.fleet.before_apply = lambda _: stage.worker.wake(Trigger.WEBHOOK)
        await stage.next_pass()
        await stage.next_pass()
    assert [finished.trigger for finished in world.reporter.reported] == [Trigger.START, Trigger.WEBHOOK]


async def test_a_stop_lets_the_actions_that_run_finish_begins_no_other_and_reports(world):
    world.commit("one", "time memory")
    async with on_stage(world) as stage:
        world.fleet.before_apply = lambda _: stage.worker.stop()
        await stage.next_pass()
    (finished,) = world.reporter.reported
    kinds = [outcome.kind for outcome in finished.outcomes]
    assert len(kinds) == len(finished.plan.actions)
    assert kinds.count(OutcomeKind.APPLIED) == len(world.fleet.applied) == 2
    assert {found.detail for found in finished.outcomes if found.kind is OutcomeKind.SKIPPED} == {"Catwalk is stopping"}
    assert world.memory.good == []


async def test_crashed_passes_are_tried_again_with_growing_patience(world):
    world.commit("one", "time")
    world.fleet.observe_error = ZeroDivisionError("a bug")
    async with on_stage(world) as stage:
        for _ in range(8):
            await stage.next_pass()
        world.fleet.observe_error = None
        while not (await stage.next_pass()).settled:
            pass
    assert world.pauses[:8] == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_a_commit_during_the_patience_is_tried_at_once(world):
    world.commit("one", "time")
    world.fleet.observe_error = ZeroDivisionError("a bug")
    waits: list[bool] = []

    async def pause(event: anyio.Event, timeout_s: float) -> bool:
        waits.append(timeout_s > 0)
        await event.wait()
        return True

    world.ports = replace(world.ports, pause=pause)
    async with on_stage(world) as stage:
        await stage.next_pass()
        await anyio.wait_all_tasks_blocked()
        world.fleet.observe_error = None
        world.fleet.boot_s = 0
        stage.worker.wake(Trigger.COMMIT)
        assert (await stage.next_pass()).settled
    assert waits == [True]


async def test_a_commit_is_found_by_the_poll(world):
    world.commit("one", "time")
    async with on_stage(world, poll_s=0.01) as stage:
        await stage.next_pass()
        world.commit("two", "time memory")
        finished = await stage.next_pass()
    assert finished.trigger is Trigger.COMMIT
    assert finished.revision.subject == "two"


async def test_a_crash_is_repaired_by_the_health_tick(world):
    world.commit("one", "time")
    async with on_stage(world, health_s=0.01) as stage:
        await stage.next_pass()
        world.fleet.machines.clear()
        with anyio.fail_after(10):
            while not world.fleet.machines:
                await stage.next_pass()
        assert stage.live.view().next_pass_at is not None


async def test_no_tick_comes_after_the_schedule_ended():
    ticked = anyio.Event()
    count = 0

    def act() -> None:
        nonlocal count
        count += 1
        ticked.set()

    schedule = Schedule([Tick(name="test", every_s=0.01, act=act)])
    assert schedule.next_at("test") is None
    with anyio.fail_after(10):
        async with schedule.running():
            await ticked.wait()
            assert schedule.next_at("test") is not None
    after = count
    await anyio.wait_all_tasks_blocked()
    assert count == after


@pytest.fixture
def poll(world):
    queue = WakeQueue()
    return SourcePoll(world.source, queue), queue


async def test_a_poll_says_nothing_about_a_source_that_did_not_change(world, poll):
    looking, queue = poll
    looking.begin(world.commit("one", "time"))
    await looking.look()
    await looking.look()
    assert queue.pending is None


async def test_a_commit_between_the_first_pass_and_the_first_poll_is_not_missed(world, poll):
    looking, queue = poll
    looking.begin(world.commit("one", "time"))
    world.commit("two", "time")
    await looking.look()
    assert queue.pending is Trigger.COMMIT


async def test_a_later_pass_does_not_move_what_the_poll_compares_with(world, poll):
    looking, queue = poll
    first = world.commit("one", "time")
    looking.begin(first)
    world.commit("two", "time")
    await looking.look()
    async with queue.turn():
        looking.begin(first)
    await looking.look()
    assert queue.pending is None


async def test_a_poll_before_the_first_pass_waits_for_it(world, poll):
    looking, queue = poll
    world.commit("one", "time")
    await looking.look()
    assert queue.pending is None


async def test_a_source_that_stops_answering_and_comes_back_is_told_once_each(world, poll):
    looking, queue = poll
    looking.begin(world.commit("one", "time"))
    world.source.head_error = Unavailable("source-unreachable", "no answer")
    wakes = []
    for error in (world.source.head_error, world.source.head_error, None, None):
        world.source.head_error = error
        await looking.look()
        wakes.append(queue.pending)
        if queue.pending:
            async with queue.turn():
                pass
    assert wakes == [Trigger.COMMIT, None, Trigger.COMMIT, None]


async def test_a_log_tick_keeps_the_logs_as_the_newest_verdicts_have_it_and_survives_a_failure(world):
    world.commit("one", "time")
    collected, due = [], anyio.Event()

    class Tails:
        async def collect(self, fleet, statuses):
            collected.append((fleet, [status.server for status in statuses]))
            if len(collected) == 1:
                raise Unavailable("database-down", "no answer")
            due.set()

    async with on_stage(world, tails=Tails(), logs_s=0.02, logs_jitter_s=0) as stage:
        await stage.next_pass()
        await due.wait()
    assert collected[:2] == [("acme", ["time"])] * 2
