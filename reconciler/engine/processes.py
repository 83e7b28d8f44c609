"""The runtime that runs a machine as a child process on this computer.

Every run has a supervisor of its own (`init.py`), which holds its descendants together and dies with the engine. The
engine talks to it over three pipes: orders in, the exit out, and the command's own output, which the supervisor does
not touch. The processes are made with `subprocess` in a worker thread: asyncio's own child watcher costs a thread for
each child, and the end of the status pipe tells the same.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import IO

from reconciler.engine import leftovers, prober
from reconciler.engine.logbook import LineSplitter
from reconciler.engine.ports import PortPool
from reconciler.engine.records import Exit
from reconciler.engine.runtime import Probe, ProbeAnswer, Run, RunOrder
from reconciler.errors import EnvironmentFault

INIT = Path(__file__).with_name("init.py")
READ_SIZE = 65_536
FLUSH_S = 2.0
"""How long output may still come after the supervisor has ended; nothing but an escaped process takes longer."""
END_S = 5.0
"""How long a supervisor may take to end once its status pipe is closed."""
KILLED = Exit(code=137, signal=9)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    host: str
    machines_dir: Path
    cache_dir: Path
    images: Mapping[str, tuple[str, ...]]


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
            workdir = await asyncio.to_thread(_fresh_directory, self._settings.machines_dir / order.machine_id)
            argv = self._command(order, workdir, port)
            pipes = await asyncio.to_thread(_spawn, _frame(workdir, argv, order.environment))
        except OSError as error:
            self._ports.give_back(port)
            raise EnvironmentFault("machine-not-started", f"the machine cannot be started: {error}") from error
        run = ProcessRun(self._settings.host, port, pipes, order)
        following = self._tasks.create_task(self._follow(run))
        self._following.add(following)
        following.add_done_callback(self._following.discard)
        return run

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
        await asyncio.to_thread(leftovers.kill, machine_ids)


def _filled(word: str, places: Mapping[str, str]) -> str:
    for place, text in places.items():
        word = word.replace(place, text)
    return word


def _fresh_directory(path: Path) -> Path:
    """The root of a machine starts empty with every run, as a root file system does."""
    rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700, parents=True)
    return path


def _frame(workdir: Path, argv: list[str], environment: Mapping[str, str]) -> bytes:
    fields = [str(workdir), str(len(argv)), *argv, *(f"{name}={value}" for name, value in environment.items())]
    body = b"\0".join(os.fsencode(field) for field in fields)
    return b"%d\n%b" % (len(body), body)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pipes:
    process: "subprocess.Popen[bytes]"
    status: IO[bytes]


def _spawn(frame: bytes) -> _Pipes:
    """Runs in a worker thread. The kernel ties PR_SET_PDEATHSIG to the thread that forks, and worker threads may end
    before the engine does: the supervisor therefore checks its parent when the signal comes, and does not have to be
    started from the main thread.
    """
    readable, writable = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(INIT), str(writable), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(writable,),
            env={},
            start_new_session=True,
        )
    except OSError:
        os.close(readable)
        raise
    finally:
        os.close(writable)
    pipes = _Pipes(process=process, status=os.fdopen(readable, "rb", buffering=0))
    _send_frame(process, frame)
    return pipes


def _send_frame(process: "subprocess.Popen[bytes]", frame: bytes) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(frame)
        process.stdin.flush()
    except BrokenPipeError:
        # It was killed at once. The closed status pipe tells whoever follows the run.
        return
    os.set_blocking(process.stdin.fileno(), False)


class ProcessRun:
    """One supervisor, its command, and the pipes between them and the engine."""

    def __init__(self, host: str, port: int, pipes: _Pipes, order: RunOrder) -> None:
        self._host = host
        self._port = port
        self._pipes = pipes
        self._order = order
        self._exit: Exit | None = None

    @property
    def exit(self) -> Exit | None:
        return self._exit

    @property
    def port(self) -> int:
        return self._port

    def signal(self, number: int) -> None:
        self._order_supervisor(b"signal %d\n" % number)

    def kill(self) -> None:
        self._order_supervisor(b"kill\n")

    async def probe(self, probe: Probe) -> ProbeAnswer:
        return await prober.probe(self._host, self._port, probe)

    def _order_supervisor(self, line: bytes) -> None:
        stdin = self._pipes.process.stdin
        assert stdin is not None
        try:
            os.write(stdin.fileno(), line)
        except (BrokenPipeError, ValueError):
            # It has ended already, which is what every order leads to.
            return
        except BlockingIOError:
            # A supervisor that reads nothing is stuck; what remains is swept after its death.
            self._pipes.process.kill()

    async def follow(self) -> None:
        """Carries the output to the log until the end, then tells the exit. Ends everything when it is cancelled."""
        try:
            async with asyncio.TaskGroup() as streams:
                output = [streams.create_task(self._carry(stream)) for stream in self._outputs()]
                report = await self._read_status()
                killed = not report.startswith(b"exit ")
                if killed:
                    await asyncio.to_thread(leftovers.kill, frozenset({self._order.machine_id}))
                await self._flush(output)
        finally:
            await asyncio.shield(asyncio.to_thread(self._reap))
        self._exit = KILLED if killed else _parsed(report)
        self._order.ended()

    def _outputs(self) -> tuple[IO[bytes], IO[bytes]]:
        stdout, stderr = self._pipes.process.stdout, self._pipes.process.stderr
        assert stdout is not None
        assert stderr is not None
        return stdout, stderr

    async def _carry(self, stream: IO[bytes]) -> None:
        splitter = LineSplitter(self._order.write)
        async with _reading(stream) as reader:
            while chunk := await reader.read(READ_SIZE):
                splitter.feed(chunk)
        splitter.close()

    async def _read_status(self) -> bytes:
        async with _reading(self._pipes.status) as reader:
            return await reader.read()

    @staticmethod
    async def _flush(output: "list[asyncio.Task[None]]") -> None:
        _, late = await asyncio.wait(output, timeout=FLUSH_S)
        for task in late:
            task.cancel()

    def _reap(self) -> None:
        """Closes the line, which ends a supervisor that still lives, and takes its exit status."""
        process = self._pipes.process
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            leftovers.kill(frozenset({self._order.machine_id}))


@asynccontextmanager
async def _reading(stream: IO[bytes]) -> AsyncGenerator[asyncio.StreamReader]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=READ_SIZE)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), stream)
    try:
        yield reader
    finally:
        transport.close()


def _parsed(report: bytes) -> Exit:
    _, code, number = report.split()
    return Exit(code=int(code), signal=int(number))
