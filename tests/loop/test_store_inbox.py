"""The webhooks that were taken in, on both databases."""

from dataclasses import replace
from datetime import timedelta

import anyio
import pytest

from reconciler.core.types import Trigger
from reconciler.loop.ports import Delivery
from reconciler.loop.store import open_store


@pytest.fixture
async def store(database_url, tmp_path, world):
    made = await open_store(tmp_path, world.clock, url=database_url)
    yield made
    made.close()


@pytest.fixture
def delivery(world):
    return Delivery(id="72d3162e-cc78-11e3", trigger=Trigger.WEBHOOK, received_at=world.clock.now())


async def test_a_delivery_is_new_once(store, delivery, database_url, tmp_path, world):
    assert await store.take_in(delivery)
    assert not await store.take_in(delivery)
    again = await open_store(tmp_path, world.clock, url=database_url)
    assert not await again.take_in(replace(delivery, received_at=delivery.received_at + timedelta(days=3)))
    again.close()


async def test_of_many_at_once_one_is_new(store, delivery):
    new: list[bool] = []

    async def take_in() -> None:
        new.append(await store.take_in(delivery))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(take_in)
    assert sorted(new) == [False] * 7 + [True]


async def test_what_is_older_than_a_fortnight_is_forgotten(store, delivery):
    await store.take_in(delivery)
    later = delivery.received_at + timedelta(days=15)
    assert await store.take_in(replace(delivery, id="another", received_at=later))
    assert await store.take_in(replace(delivery, received_at=later))
