"""The runtime that runs a machine as a child process on this computer.

Every run has a supervisor of its own (`init.py`), which holds its descendants together and dies with the engine. The
engine talks to it over three pipes: orders in, the exit out, and the command's own output, which the supervisor does
not touch.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import rmtree
from typing import IO

from reconciler.engine import inspection, leftovers, prober
from reconciler.engine.executions import Execution
from reconciler.engine.logbook import LineSplitter
from reconciler.engine.memory_limits import MemoryGroup, MemoryGroups
from reconciler.engine.ports import PortPool
from reconciler.engine.records import Exit
from reconciler.engine.runtime import (
    ExecOrder,
    Executed,
    Probe,
    ProbeAnswer,
    ProcessFigure,
    Run,
    RunOrder,
)
from reconciler.engine.supervisors import END_S, KILLED, READ_SIZE, Command, Pipes, exit_of, reading, reap, spawn
from reconciler.errors import EnvironmentFault

FLUSH_S = 2.0
"""How long output may still come after the supervisor has ended; nothing but an escaped process takes longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    host: str
    machines_dir: Path
    volumes_dir: Path
    cache_dir: Path
    images: Mapping[str, tuple[str, ...]]
    memory: MemoryGroups | None = None
    """Where machines are held to their memory; None is nowhere."""


class ProcessRuntime:
    """Runs must be started and watched on one event loop, inside the task group given here."""

    def __init__(self, settings: ProcessSettings, tasks: asyncio.TaskGroup) -> None:
        self._settings = settings
        self._tasks = tasks
        self._ports = PortPool(settings.host)
        self._following: set[asyncio.Task[None]] = set()

    def knows(self, image: str) -> bool:
        return image in self._settings.images

    async def start(self, order: RunOrder) -> Run:
        port = self._ports.take()
        try:
            workdir = self._settings.machines_dir / order.machine_id
            await asyncio.to_thread(_furnish, workdir, order, self._settings.volumes_dir)
            group = await asyncio.to_thread(self._group, order)
            inside = Inside(workdir=workdir, environment=order.environment, group=group)
            pipes = await asyncio.to_thread(spawn, inside.command(self._command(order, workdir, port)))
        except OSError as error:
            self._ports.give_back(port)
            raise EnvironmentFault("machine-not-started", f"the machine cannot be started: {error}") from error
        run = ProcessRun(Address(host=self._settings.host, port=port), inside, pipes, order)
        following = self._tasks.create_task(self._follow(run))
        self._following.add(following)
        following.add_done_callback(self._following.discard)
        return run

    def _group(self, order: RunOrder) -> MemoryGroup | None:
        memory = self._settings.memory
        return memory.open(order.machine_id, order.memory_mb) if memory and order.memory_mb else None

    async def close(self) -> None:
        """A run that is not followed any more is ended: its supervisor sees the line to the engine close."""
        for following in self._following:
            following.cancel()
        if self._following:
            await asyncio.wait(self._following, timeout=2 * END_S)

    async def _follow(self, run: "ProcessRun") -> None:
        try:
            await run.follow()
        finally:
            self._ports.give_back(run.port)

    def _command(self, order: RunOrder, workdir: Path, port: int) -> list[str]:
        """`{port}`, `{workdir}` and `{cache}` are filled into the image's template, never into a machine's words."""
        if order.entrypoint is not None:
            return [*order.entrypoint, *order.arguments]
        places = {"{port}": str(port), "{workdir}": str(workdir), "{cache}": str(self._settings.cache_dir)}
        return [*(_filled(word, places) for word in self._settings.images[order.image]), *order.arguments]

    async def destroy(self, machine_id: str) -> None:
        await asyncio.to_thread(rmtree, self._settings.machines_dir / machine_id, ignore_errors=True)

    async def sweep(self, machine_ids: frozenset[str]) -> None:
        await asyncio.to_thread(self._sweep, machine_ids)

    def _sweep(self, machine_ids: frozenset[str]) -> None:
        leftovers.kill(machine_ids)
        if self._settings.memory is not None:
            self._settings.memory.forget(machine_ids)


def _filled(word: str, places: Mapping[str, str]) -> str:
    for place, text in places.items():
        word = word.replace(place, text)
    return word


def _furnish(root: Path, order: RunOrder, volumes_dir: Path) -> None:
    """The root of a machine starts with every run as the configuration wants it, as a root file system does."""
    rmtree(root, ignore_errors=True)
    root.mkdir(mode=0o700, parents=True)
    for volume in order.volumes:
        target = volumes_dir / volume.volume_id
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = root / volume.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target, target_is_directory=True)
    for file in order.files:
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What every command of one run shares."""

    workdir: Path
    environment: Mapping[str, str] = field(repr=False)
    group: MemoryGroup | None

    def command(self, argv: Sequence[str], stdin: bytes = b"") -> Command:
        entrance = None if self.group is None else self.group.entrance
        return Command(workdir=self.workdir, argv=argv, environment=self.environment, stdin=stdin, group=entrance)

    def cause(self, ended: Exit) -> Exit:
        """How a command ended, with the kernel's part in it."""
        starved = self.group is not None and ended.code != 0 and self.group.has_killed()
        return replace(ended, out_of_memory=True) if starved else ended

    def leave(self) -> None:
        if self.group is not None:
            self.group.close()


class ProcessRun:
    """One supervisor, its command, and the pipes between them and the engine."""

    def __init__(self, address: Address, inside: Inside, pipes: Pipes, order: RunOrder) -> None:
        self._address = address
        self._inside = inside
        self._pipes = pipes
        self._order = order
        self._exit: Exit | None = None
        self._over = asyncio.Event()

    @property
    def exit(self) -> Exit | None:
        return self._exit

    @property
    def port(self) -> int:
        return self._address.port

    def signal(self, number: int) -> None:
        self._order_supervisor(b"signal %d\n" % number)

    def kill(self) -> None:
        self._order_supervisor(b"kill\n")

    async def probe(self, probe: Probe) -> ProbeAnswer:
        return await prober.probe(self._address.host, self._address.port, probe)

    async def execute(self, order: ExecOrder) -> Executed:
        command = self._inside.command(order.command, order.stdin)
        return await Execution(command=command, timeout_s=order.timeout_s, over=self._over).run()

    def processes(self) -> tuple[ProcessFigure, ...]:
        return inspection.processes_of(self._order.machine_id)

    def _order_supervisor(self, line: bytes) -> None:
        try:
            os.write(self._pipes.orders.fileno(), line)
        except (BrokenPipeError, ValueError):
            # It has ended already, which is what every order leads to.
            return
        except BlockingIOError:
            # A supervisor that reads nothing is stuck; what remains is swept after its death.
            self._pipes.process.kill()

    async def follow(self) -> None:
        """Carries the output to the log until the end, then tells the exit. Ends everything when it is cancelled."""
        ended: Exit | None = None
        try:
            async with asyncio.TaskGroup() as streams:
                output = [streams.create_task(self._carry(stream)) for stream in self._pipes.outputs]
                ended = await exit_of(self._pipes)
                if ended is None:
                    await asyncio.to_thread(leftovers.kill, frozenset({self._order.machine_id}))
                await self._flush(output)
        finally:
            self._over.set()
            await asyncio.shield(asyncio.to_thread(self._reap))
            ended = self._inside.cause(ended or KILLED)
            self._inside.leave()
        self._exit = ended
        self._order.ended()

    async def _carry(self, stream: IO[bytes]) -> None:
        splitter = LineSplitter(self._order.write)
        async with reading(stream) as reader:
            while chunk := await reader.read(READ_SIZE):
                splitter.feed(chunk)
        splitter.close()

    @staticmethod
    async def _flush(output: "list[asyncio.Task[None]]") -> None:
        _, late = await asyncio.wait(output, timeout=FLUSH_S)
        for task in late:
            task.cancel()

    def _reap(self) -> None:
        if not reap(self._pipes):
            leftovers.kill(frozenset({self._order.machine_id}))
