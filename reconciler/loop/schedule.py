"""The ticks that ask for a look when nobody else does.

A tick does one thing that takes no time: it sets an event or wakes the queue. Whatever takes time runs in the task
group of the worker, where it is awaited and cancelled like everything else. Ticks that were missed while the process
was busy melt into one.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol, cast

import anyio.lowlevel
from apscheduler.schedulers.asyncio import (  # type: ignore[import-untyped]  # APScheduler 3 ships no types.
    AsyncIOScheduler,  # pyright: ignore[reportUnknownVariableType]  # As above.
)

TURNS_OF_A_TICK: Final = 3
"""Turns of the event loop that a tick needs from its start to its end, for it waits for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Something that is due again and again."""

    name: str
    every_s: float
    jitter_s: float = 0.0
    """Each tick comes up to this much earlier or later, so that many fleets do not ask one host at the same moment."""
    act: Callable[[], None]
    """Returns at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """How often the loop looks. The defaults are those of `catwalk up`, whose source is on this machine."""

    poll_s: float = 1.0
    """How often the source is asked for its newest revision."""
    poll_jitter_s: float = 0.0
    health_s: float = 10.0
    """How often the machines are looked at. With checks every 5 s a crash is seen within 15 s, jitter included."""
    health_jitter_s: float = 0.0
    logs_s: float = 15.0
    """How often the logs of servers that are unwell are kept."""
    logs_jitter_s: float = 3.0
    resync_s: float = 600.0
    """How often everything is read again without a reason: keys, registries and source may have changed unseen."""
    resync_jitter_s: float = 30.0


class _Job(Protocol):
    id: str
    next_run_time: datetime | None


class _Scheduler(Protocol):
    """The part of APScheduler's `AsyncIOScheduler` that is used here."""

    running: bool

    def add_job(self, func: Callable[[], Awaitable[None]], trigger: str, **options: object) -> object: ...

    def get_jobs(self) -> Sequence[_Job]: ...

    def start(self) -> None: ...

    def pause(self) -> None: ...

    def shutdown(self, wait: bool) -> None: ...


class Schedule:
    """Runs ticks for as long as its block lasts."""

    def __init__(self, ticks: Sequence[Tick]) -> None:
        self._scheduler = cast("_Scheduler", AsyncIOScheduler(timezone=UTC))
        for tick in ticks:
            self._add(tick)

    def next_at(self, *names: str) -> datetime | None:
        """When the next of the named ticks is due; none while the schedule does not run."""
        jobs = self._scheduler.get_jobs() if self._scheduler.running else ()
        times = [job.next_run_time for job in jobs if job.id in names]
        return min((time for time in times if time is not None), default=None)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Ticks until the block ends. No tick comes after that."""
        self._scheduler.start()
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self._stop()

    async def _stop(self) -> None:
        """Ticks that have begun end first: the scheduler would cancel them and log that as their failure."""
        self._scheduler.pause()
        for _ in range(TURNS_OF_A_TICK):
            await anyio.lowlevel.checkpoint()
        self._scheduler.shutdown(wait=False)
        # The scheduler stops itself in a callback of the event loop, which needs turns to get there.
        while self._scheduler.running:
            await anyio.lowlevel.checkpoint()

    def _add(self, tick: Tick) -> None:
        # A coroutine function runs on the event loop; a plain one would run in a thread.
        async def act() -> None:
            tick.act()

        self._scheduler.add_job(
            act,
            "interval",
            id=tick.name,
            seconds=tick.every_s,
            jitter=tick.jitter_s or None,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
