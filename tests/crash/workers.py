"""Shares an enumeration among processes, each with a world of its own."""

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.crash.enumerator import Enumerator, Failure, Report, Share
from tests.crash.world import Databases, Files

MEMORY: Final = Path("/dev/shm")
"""A file system in memory: a killed process loses nothing there, and syncing costs nothing."""

OpenDatabases = Callable[[], AbstractContextManager[Databases]]


def sqlite() -> AbstractContextManager[Databases]:
    return nullcontext(Files())


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How much is to be done, and on what."""

    workers: int = 2
    every: int = 1
    """One point in so many; 1 is all of them."""
    databases: OpenDatabases = sqlite


def explore(order: Order) -> Report:
    """Kills at every point that the order asks for; what it came to."""
    shares = [Share(index=index, count=order.workers, every=order.every) for index in range(order.workers)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(order.workers, mp_context=context) as workers:
        return _merged(list(workers.map(partial(_work, order.databases), shares)))


def _work(databases: OpenDatabases, share: Share) -> Report:
    place = MEMORY if MEMORY.is_dir() else None
    with databases() as opened, tempfile.TemporaryDirectory(prefix="catwalk-crash-", dir=place) as directory:
        return Enumerator(Path(directory), opened, share).run()


def _merged(reports: Sequence[Report]) -> Report:
    """One report of several; workers that saw other side effects than the first have missed points."""
    first = reports[0]
    merged = Report(effects=first.effects)
    for report in reports:
        merged.kills += report.kills
        merged.failures += report.failures
        for step, effects in report.effects.items():
            if set(effects) != set(first.effects[step]):
                odd = ", ".join(map(str, set(effects) ^ set(first.effects[step])))
                merged.failures.append(Failure(step=step, point="no crash", complaint=f"only one run has {odd}"))
    return merged
