"""Parts of lists that did not come in time, waited for after their list was answered.

A server that starts from nothing may need longer than a client waits for a list. Its part is fetched to the end all the
same, once for all who miss it, and then those who hold a stream open are told that the list has changed.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager

import structlog

_log = structlog.get_logger("gateway")
_MOST = 200
_LONGEST_S = 300.0


class Latecomers:
    """The tasks that wait, while `running`."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._under_way: dict[Hashable, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Wait as long as this is open."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                for task in self._under_way.values():
                    task.cancel()

    def wait_for(self, key: Hashable, fetch: Callable[[], Awaitable[None]]) -> None:
        """Have something fetched, unless it is being fetched already or too much is. What fails stays missing."""
        if self._group is not None and key not in self._under_way and len(self._under_way) < _MOST:
            task = self._under_way[key] = self._group.create_task(_fetched(fetch))
            task.add_done_callback(lambda _: self._under_way.pop(key, None))


async def _fetched(fetch: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(_LONGEST_S):
            await fetch()
    except TimeoutError:
        return
    except Exception as error:  # noqa: BLE001 - the edge of a task whose group belongs to the whole gateway.
        _log.error("unhandled_fault", exc_info=error)
