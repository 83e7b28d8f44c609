"""A webhook that one process took in wakes the loop of another, on both databases."""

from dataclasses import replace
from datetime import timedelta

import anyio
import pytest

from reconciler.core.types import Trigger
from reconciler.errors import Unavailable
from reconciler.loop.elsewhere import LOOK_BACK, SharedInbox
from reconciler.loop.ports import Delivery
from reconciler.loop.store import open_store


class Process:
    """One that may be called."""

    def __init__(self, store, world, pause=None) -> None:
        self.woken: list[Trigger] = []
        options = {} if pause is None else {"pause": pause}
        self.inbox = SharedInbox(store, world.clock, wake=self.woken.append, **options)


@pytest.fixture
async def stores(database_url, tmp_path, world):
    made = [await open_store(tmp_path, world.clock, url=database_url) for _ in range(2)]
    yield made
    for store in made:
        store.close()


@pytest.fixture
def leader(stores, world):
    return Process(stores[0], world)


@pytest.fixture
def standby(stores, world):
    return Process(stores[1], world)


@pytest.fixture
def delivery(world):
    return Delivery(id="72d3162e-cc78-11e3", trigger=Trigger.WEBHOOK, received_at=world.clock.now())


async def test_a_webhook_at_a_process_that_stands_by_wakes_the_leader_once(leader, standby, delivery):
    await leader.inbox.begin()
    assert await standby.inbox.take_in([delivery]) == [True]
    await leader.inbox.look()
    await leader.inbox.look()
    assert leader.woken == [Trigger.WEBHOOK]


async def test_a_webhook_at_the_leader_itself_is_no_news_to_it(leader, delivery):
    await leader.inbox.take_in([delivery])
    await leader.inbox.look()
    assert leader.woken == []


async def test_what_came_before_the_first_pass_wakes_nobody(leader, standby, delivery):
    await standby.inbox.take_in([delivery])
    await leader.inbox.begin()
    await leader.inbox.look()
    assert leader.woken == []


async def test_a_webhook_that_asks_the_loop_for_nothing_wakes_nobody(leader, standby, delivery):
    await standby.inbox.take_in([replace(delivery, trigger=None)])
    await leader.inbox.look()
    assert leader.woken == []


async def test_a_webhook_that_both_were_called_with_is_not_lost(leader, standby, delivery):
    await standby.inbox.take_in([delivery])
    assert await leader.inbox.take_in([delivery]) == [False]
    await leader.inbox.look()
    assert leader.woken == [Trigger.WEBHOOK]


@pytest.mark.parametrize(("behind", "found"), [(LOOK_BACK, True), (LOOK_BACK + timedelta(seconds=1), False)])
async def test_clocks_of_processes_may_differ_a_little(leader, standby, delivery, behind, found):
    late = replace(delivery, received_at=delivery.received_at - behind)
    await standby.inbox.take_in([late])
    await leader.inbox.look()
    assert bool(leader.woken) is found


async def test_only_the_leader_looks_and_a_store_that_is_down_is_asked_again(stores, standby, delivery, world):
    leads, answers, stop = [False, True, True], [Unavailable("database-down", "no answer"), None], anyio.Event()

    class Shaky:
        take_in = stores[0].take_in

        async def taken_in(self, since):
            fault = answers.pop(0)
            if fault is not None:
                raise fault
            return await stores[0].taken_in(since)

    async def pause(_event, _timeout_s):
        return not leads

    process = Process(Shaky(), world, pause)
    await standby.inbox.take_in([delivery])
    await process.inbox.run(stop, lambda: leads.pop(0))
    assert answers == []
    assert process.woken == [Trigger.WEBHOOK]
