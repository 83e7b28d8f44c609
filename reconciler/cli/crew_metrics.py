"""The metrics of all workers behind one port, whichever of them is asked.

A collector that asks a shared port reaches one worker, and another one next time. So each writes what it counts into a
file of its own, every two seconds and whole, and whoever is asked adds its own counts to the last ones of the others.
Counters, histograms and what the gateway and the processes use add up; of every other gauge, which says something
about the fleet or the moment, the greatest counts. A worker that is started again begins at zero, as a restarted
process does.
"""

import math
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from reconciler.loop.clock import pause

TELL_S: Final = 2.0
_ADDED = ("catwalk_gateway_", "process_cpu", "process_resident", "process_virtual", "process_open")
_SUFFIX = ".metrics"

_Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crewmate:
    """One worker among those whose files lie in a folder."""

    folder: Path
    number: int

    @property
    def file(self) -> Path:
        """What it counts."""
        return self.folder / f"{self.number}{_SUFFIX}"


class CrewRegistry(CollectorRegistry):
    """What this worker counts, with what the others have last written."""

    def __init__(self, mate: Crewmate) -> None:
        super().__init__()
        self.mate = mate

    def collect(self) -> Iterator[Metric]:
        """All families, each with the samples of all workers."""
        families = {family.name: family for family in super().collect()}
        others = [each for each in sorted(self.mate.folder.glob(f"*{_SUFFIX}")) if each != self.mate.file]
        for path in others:
            for family in _read(path):
                known = families.get(family.name)
                families[family.name] = family if known is None else _merged(known, family)
        yield from families.values()

    def own(self) -> bytes:
        """What this worker counts, as text."""
        alone = CollectorRegistry()
        alone.register(_Fixed(list(super().collect())))
        return generate_latest(alone)


class _Fixed:
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


@asynccontextmanager
async def told(registry: CrewRegistry) -> AsyncGenerator[None]:
    """Has the other workers know what this one counts until the block ends."""
    stop = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(tell, registry, registry.mate, stop)
        try:
            yield
        finally:
            group.cancel_scope.cancel()


async def tell(registry: CrewRegistry, mate: Crewmate, stop: anyio.Event) -> None:
    """Writes what this worker counts until `stop` is set."""
    mate.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = mate.file.with_suffix(".new")
    while True:
        fresh.write_bytes(registry.own())
        fresh.replace(mate.file)
        if await pause(stop, TELL_S):
            return


def forget(folder: Path) -> None:
    """Removes what an earlier crew has left."""
    for path in folder.glob(f"*{_SUFFIX}"):
        path.unlink(missing_ok=True)


def _read(path: Path) -> list[Metric]:
    try:
        return list(text_string_to_metric_families(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return []


def _merged(one: Metric, other: Metric) -> Metric:
    adds = one.type in {"counter", "histogram", "summary"} or one.name.startswith(_ADDED)
    values: dict[_Key, float] = {}
    for sample in (*one.samples, *other.samples):
        key = (sample.name, tuple(sorted(sample.labels.items())))
        is_sum = adds and not sample.name.endswith("_created")
        before = values.get(key, 0.0 if is_sum else -math.inf)
        values[key] = before + sample.value if is_sum else max(before, sample.value)
    merged = Metric(one.name, one.documentation, one.type, one.unit)
    merged.samples = [Sample(name, dict(labels), value) for (name, labels), value in values.items()]
    return merged
