"""Many small jobs side by side, a few at a time, with their results in the order of the input."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

Item = TypeVar("Item")
Result = TypeVar("Result")


async def each(items: Sequence[Item], work: Callable[[Item], Awaitable[Result]], *, limit: int) -> tuple[Result, ...]:
    """Awaits `work` for every item, at most `limit` at once.

    An exception from one job cancels the others and comes out in an exception group: jobs that must not disturb their
    neighbours turn their failures into results.
    """
    results: dict[int, Result] = {}
    limiter = anyio.CapacityLimiter(limit)

    async def run(position: int, item: Item) -> None:
        async with limiter:
            results[position] = await work(item)

    async with anyio.create_task_group() as group:
        for position, item in enumerate(items):
            group.start_soon(run, position, item)
    return tuple(results[position] for position in range(len(items)))
