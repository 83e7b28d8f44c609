"""Starts a supervisor (`init.py`) with one command below it, and takes what it reports.

Used for the run of a machine and for every command executed beside it, so that neither outlives the engine. The
processes are made with `subprocess` in a worker thread: asyncio's own child watcher costs a thread for each child, and
the end of the status pipe tells the same.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from reconciler.engine.records import Exit

INIT = Path(__file__).with_name("init.py")
READ_SIZE = 65_536
END_S = 5.0
"""How long a supervisor may take to end once its status pipe is closed."""
KILLED = Exit(code=137, signal=9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    workdir: Path
    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    stdin: bytes = field(default=b"", repr=False)
    """What the command reads from its standard input, as a whole."""
    group: Path | None = None
    """The `cgroup.procs` of the control group that the command enters, if any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipes:
    process: "subprocess.Popen[bytes]"
    status: IO[bytes]

    @property
    def outputs(self) -> tuple[IO[bytes], IO[bytes]]:
        stdout, stderr = self.process.stdout, self.process.stderr
        assert stdout is not None
        assert stderr is not None
        return stdout, stderr

    @property
    def orders(self) -> IO[bytes]:
        """The line to the supervisor; closing it ends everything below it."""
        stdin = self.process.stdin
        assert stdin is not None
        return stdin


def spawn(command: Command) -> Pipes:
    """Runs in a worker thread. The kernel ties PR_SET_PDEATHSIG to the thread that forks, and worker threads may end
    before the engine does: the supervisor therefore checks its parent when the signal comes, and does not have to be
    started from the main thread.

    Raises:
        OSError: this computer cannot start a process.
    """
    if not command.stdin:
        with Path(os.devnull).open("rb") as nothing:
            return _spawn(_frame(command), nothing.fileno())
    with tempfile.TemporaryFile() as stdin:
        stdin.write(command.stdin)
        stdin.seek(0)
        return _spawn(_frame(command), stdin.fileno())


def _frame(command: Command) -> bytes:
    variables = (f"{name}={value}" for name, value in command.environment.items())
    fields = [str(command.workdir), str(command.group or ""), str(len(command.argv)), *command.argv, *variables]
    body = b"\0".join(os.fsencode(field) for field in fields)
    return b"%d\n%b" % (len(body), body)


def _spawn(frame: bytes, stdin_fd: int) -> Pipes:
    readable, writable = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(INIT), str(writable), str(os.getpid()), str(stdin_fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(writable, stdin_fd),
            env={},
            start_new_session=True,
        )
    except OSError:
        os.close(readable)
        raise
    finally:
        os.close(writable)
    pipes = Pipes(process=process, status=os.fdopen(readable, "rb", buffering=0))
    _send_frame(pipes, frame)
    return pipes


def _send_frame(pipes: Pipes, frame: bytes) -> None:
    try:
        pipes.orders.write(frame)
        pipes.orders.flush()
    except BrokenPipeError:
        # It was killed at once. The closed status pipe tells whoever follows the run.
        return
    os.set_blocking(pipes.orders.fileno(), False)


def reap(pipes: Pipes) -> bool:
    """Closes the line, which ends a supervisor that still lives; whether it ended by itself. Blocks."""
    pipes.orders.close()
    try:
        pipes.process.wait(END_S)
    except subprocess.TimeoutExpired:
        pipes.process.kill()
        pipes.process.wait()
        return False
    return True


@asynccontextmanager
async def reading(stream: IO[bytes]) -> AsyncGenerator[asyncio.StreamReader]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=READ_SIZE)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), stream)
    try:
        yield reader
    finally:
        transport.close()


async def exit_of(pipes: Pipes) -> Exit | None:
    """How the command ended, when it has; None where the supervisor was killed and could not tell."""
    async with reading(pipes.status) as reader:
        report = await reader.read()
    if not report.startswith(b"exit "):
        return None
    _, code, number = report.split()
    return Exit(code=int(code), signal=int(number))
