"""Kills a process before and after each of its side effects, and sees that the next one puts everything right."""

import asyncio
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.engine import Engine
from tests.crash.checks import complaints
from tests.crash.nursery import Nursery, nursery
from tests.crash.points import Effect, Point, Side, read_log
from tests.crash.process import Life
from tests.crash.scenario import Step, steps
from tests.crash.world import Databases, World, github_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    step: str
    point: str
    complaint: str


@dataclass(slots=True, kw_only=True)
class Report:
    """What an enumeration came to."""

    effects: dict[str, list[Effect]] = field(default_factory=dict[str, list[Effect]])
    """By step, as a run without a crash has them."""
    kills: int = 0
    failures: list[Failure] = field(default_factory=list[Failure])

    @property
    def points(self) -> int:
        return sum(map(len, self.effects.values()))

    def __str__(self) -> str:
        return f"crash points: {self.points}, kills: {self.kills}, failures: {len(self.failures)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Which of the kills one worker does: every `count`th, from `index` on."""

    index: int = 0
    count: int = 1
    every: int = 1
    """Of these, one in so many; 1 is all of them."""


class Enumerator:
    """Works in one directory, on one database after the other."""

    def __init__(self, directory: Path, databases: Databases, share: Share) -> None:
        self._world = World(directory, databases)
        self._nursery: Nursery
        self._share = share
        self.report = Report()

    def run(self) -> Report:
        with github_of(self._world), nursery() as self._nursery:
            asyncio.run(self._run())
        return self.report

    async def _run(self) -> None:
        self._world.begin()
        for number, step in enumerate(steps()):
            commit = self._world.commit(step)
            self._world.save(f"before-{number}")
            effects = await self._without_crash(step, commit)
            self._world.save(f"after-{number}")
            self.report.effects[step.name] = effects
            for point in self._mine(effects):
                self._world.restore(f"before-{number}")
                await self._kill_at(point, step, commit)
            self._world.restore(f"after-{number}")

    def _mine(self, effects: Sequence[Effect]) -> list[Point]:
        points = [Point(effect=effect, side=side) for effect in sorted(effects) for side in Side]
        chosen = points[:: self._share.every]
        return chosen[self._share.index :: self._share.count]

    async def _without_crash(self, step: Step, commit: str) -> list[Effect]:
        async with self._world.running() as engine:
            life = self._world.life(engine, f"clean-{step.name}", None)
            exit_code = await self._spawn(life)
            self._note(step, "no crash", await self._seen(engine, life, step, commit))
            assert exit_code == 0, life.output.read_text(encoding="utf-8")
        return read_log(life.log)

    async def _kill_at(self, point: Point, step: Step, commit: str) -> None:
        async with self._world.running() as engine:
            killed = self._world.life(engine, "killed", point)
            if await self._spawn(killed) != -signal.SIGKILL:
                self._note(step, str(point), ["the process did not get there"])
                return
            self.report.kills += 1
            restarted = self._world.life(engine, "restarted", None)
            await self._spawn(restarted)
            self._note(step, str(point), await self._seen(engine, restarted, step, commit))

    async def _spawn(self, life: Life) -> int:
        return await asyncio.to_thread(self._nursery.spawn, life)

    async def _seen(self, engine: Engine, life: Life, step: Step, commit: str) -> list[str]:
        return await complaints(self._world, engine, life, step, commit)

    def _note(self, step: Step, point: str, found: Iterable[str]) -> None:
        self.report.failures += [Failure(step=step.name, point=point, complaint=one) for one in found]
