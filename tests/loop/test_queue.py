"""The queue: one turn at a time, none lost, and a machine of random schedules that looks for a counter-example."""

import asyncio
import contextlib

import anyio
import anyio.lowlevel
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.core.types import Trigger
from reconciler.loop.queue import Closed, Turn, WakeQueue


async def test_any_number_of_wakes_is_one_turn():
    queue = WakeQueue()
    for _ in range(100):
        queue.wake(Trigger.HEALTH)
    async with queue.turn() as turn:
        assert turn.trigger is Trigger.HEALTH
    assert queue.pending is None


async def test_a_turn_waits_for_a_wake():
    queue = WakeQueue()
    given: list[Trigger] = []

    async def take() -> None:
        async with queue.turn() as turn:
            given.append(turn.trigger)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(take)
            await anyio.wait_all_tasks_blocked()
            assert given == []
            queue.wake(Trigger.WEBHOOK)
    assert given == [Trigger.WEBHOOK]


@pytest.mark.parametrize(
    ("wakes", "given"),
    [
        pytest.param((Trigger.HEALTH, Trigger.COMMIT), Trigger.COMMIT, id="a commit replaces a health tick"),
        pytest.param((Trigger.COMMIT, Trigger.HEALTH), Trigger.COMMIT, id="a health tick never hides a commit"),
        pytest.param((Trigger.POLL, Trigger.WEBHOOK), Trigger.WEBHOOK, id="the latest wins"),
    ],
)
async def test_the_strongest_and_latest_trigger_is_given(wakes, given):
    queue = WakeQueue()
    for trigger in wakes:
        queue.wake(trigger)
    async with queue.turn() as turn:
        assert turn.trigger is given


async def test_a_wake_during_a_turn_is_seen_by_it_and_gives_another_turn():
    queue = WakeQueue()
    queue.wake(Trigger.START)
    async with queue.turn() as turn:
        assert not turn.woken.is_set()
        queue.wake(Trigger.HEALTH)
        assert (turn.woken.is_set(), turn.pressed.is_set()) == (True, False)
        queue.wake(Trigger.COMMIT)
        assert turn.pressed.is_set()
    async with queue.turn() as turn:
        assert turn.trigger is Trigger.COMMIT
        assert not turn.woken.is_set()


async def test_a_turn_that_fails_puts_its_wake_back():
    queue = WakeQueue()
    queue.wake(Trigger.COMMIT)

    async def fail() -> None:
        async with queue.turn():
            queue.wake(Trigger.HEALTH)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert queue.pending is Trigger.COMMIT


async def test_a_closed_queue_wakes_the_turn_that_runs_and_gives_no_more():
    queue = WakeQueue()
    queue.wake(Trigger.START)
    async with queue.turn() as turn:
        queue.wake(Trigger.COMMIT)
        queue.close()
        assert turn.woken.is_set()
    with pytest.raises(Closed):
        async with queue.turn():
            pytest.fail("a closed queue gave a turn")


async def test_closing_ends_those_who_wait():
    queue = WakeQueue()

    async def take() -> None:
        with pytest.raises(Closed):
            async with queue.turn():
                pytest.fail("a closed queue gave a turn")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(take)
            group.start_soon(take)
            await anyio.wait_all_tasks_blocked()
            queue.close()


async def test_two_workers_never_hold_a_turn_together():
    queue = WakeQueue()
    holding = most = 0

    async def work() -> None:
        nonlocal holding, most
        for _ in range(20):
            async with queue.turn():
                holding += 1
                most = max(most, holding)
                await anyio.lowlevel.checkpoint()
                queue.wake(Trigger.POLL)
                holding -= 1

    queue.wake(Trigger.START)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(work)
            group.start_soon(work)
    assert most == 1


class QueueMachine(RuleBasedStateMachine):
    """Three workers on a real event loop, beside a model of whom the queue owes what."""

    WORKERS = 3

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.holding: list[Turn] = []
        self.orders: asyncio.Queue[Exception | None]
        self.owed: bool | None = None
        """Whether a turn is due, and if so whether it must be more than a health pass."""
        self.held: bool | None = None
        self.runner.run(self._start())

    async def _start(self) -> None:
        self.queue = WakeQueue()
        self.orders = asyncio.Queue()
        self.tasks = [asyncio.create_task(self._work()) for _ in range(self.WORKERS)]

    async def _work(self) -> None:
        while True:
            with contextlib.suppress(ZeroDivisionError):
                async with self.queue.turn() as turn:
                    self.holding.append(turn)
                    try:
                        order = await self.orders.get()
                        if order is not None:
                            raise order
                    finally:
                        self.holding.remove(turn)

    async def _settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    def _owe(self, trigger: Trigger) -> None:
        self.owed = bool(self.owed) or trigger is not Trigger.HEALTH

    @rule(triggers=st.lists(st.sampled_from(Trigger), min_size=1, max_size=3))
    def wake(self, triggers: list[Trigger]) -> None:
        for trigger in triggers:
            self.queue.wake(trigger)
            self._owe(trigger)
        for turn in self.holding:
            assert turn.woken.is_set()
            assert turn.pressed.is_set() or not self.owed

    @precondition(lambda self: self.held is not None)
    @rule()
    def finish(self) -> None:
        self.orders.put_nowait(None)
        self.held = None

    @precondition(lambda self: self.held is not None)
    @rule()
    def crash(self) -> None:
        self._owe(self.holding[0].trigger)
        self.orders.put_nowait(ZeroDivisionError())
        self.held = None

    @invariant()
    def one_turn_at_a_time_and_no_wake_is_lost(self) -> None:
        self.runner.run(self._settle())
        if self.held is None and self.owed is not None:
            self.held, self.owed = self.owed, None
        assert len(self.holding) == (self.held is not None)
        assert self.queue.running == bool(self.holding)
        assert (self.queue.pending is not None) == (self.owed is not None)
        for turn in self.holding:
            assert (turn.trigger is not Trigger.HEALTH) == self.held

    def teardown(self) -> None:
        self.runner.run(self._stop())
        self.runner.close()

    async def _stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
