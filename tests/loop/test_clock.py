"""The waiting of production."""

from datetime import UTC

import anyio

from reconciler.loop.clock import SystemClock, pause


async def test_a_pause_ends_with_its_event():
    event = anyio.Event()
    event.set()
    with anyio.fail_after(5):
        assert await pause(event, 10_000)


async def test_a_pause_ends_with_its_time():
    assert not await pause(anyio.Event(), 0.001)


def test_the_time_is_aware_and_in_utc():
    assert SystemClock().now().tzinfo is UTC
