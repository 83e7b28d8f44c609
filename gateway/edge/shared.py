"""What all connections of one gateway share on the edge."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.breaker import Breakers
from gateway.edge.common import CommonAddress
from gateway.edge.plans import PlanMemory
from gateway.edge.writing import ResponseHeads, encode_headers
from gateway.observation import Observers
from gateway.quotas import Quotas
from gateway.reads import ReadMemory
from gateway.relay import Relay


class Dialling:
    """Makes connections to upstreams for the edge: a task group that lives as long as the application."""

    __slots__ = ("_group", "_tasks")

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Take work until the block ends; what is under way then is cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                for task in self._tasks:
                    task.cancel()

    def start(self, work: Callable[[], Coroutine[None, None, None]]) -> bool:
        """Do it beside everything else; False where nobody takes work."""
        if self._group is None:
            return False
        task = self._group.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True


class HeadEnds:
    """The headers that uvicorn gives every response, as bytes. It makes a new list each second, for the date."""

    __slots__ = ("_encoded", "_headers")

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._encoded = b"\r\n"

    def of(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The lines of these headers and the empty line behind them."""
        if headers is not self._headers:
            self._headers, self._encoded = headers, encode_headers(headers) + b"\r\n"
        return self._encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What all connections of one gateway share."""

    relay: Relay
    plans: PlanMemory
    heads: ResponseHeads
    breakers: Breakers
    server_note: Callable[[str], str]
    observers: Observers
    reads: ReadMemory
    quotas: Quotas
    common: CommonAddress
    dialling: Dialling = field(default_factory=Dialling)
    head_ends: HeadEnds = field(default_factory=HeadEnds)
