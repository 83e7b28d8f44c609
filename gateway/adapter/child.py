"""The server as a process of this machine: its pipes, its process group, its end.

The server leads a session of its own, so that helpers it starts can be ended with it. On Linux the kernel ends it when
the adapter dies, however that happens. Standard output is cut into lines here and given on as bytes; nothing is
decoded.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import anyio

from gateway.adapter.lines import LineSplitter, Oversized

DEFAULT_MESSAGE_BYTES = 16 * 1024 * 1024
_MAX_STDERR_LINE_BYTES = 64 * 1024
_KEPT_STDERR_LINES = 40
_EOF_GRACE_S = 1.0
_TERM_GRACE_S = 2.0
_PR_SET_PDEATHSIG = 1
_STDIN, _STDOUT = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to run: argument list, complete environment, working directory; how large one message may be, in bytes."""

    command: Sequence[str]
    environment: Mapping[str, str]
    workdir: Path | None
    max_message_bytes: int = DEFAULT_MESSAGE_BYTES


class ChildEvents(Protocol):
    """What the owner of a process is told, on the event loop."""

    def line_received(self, line: bytes) -> None:
        """A line of standard output."""
        ...

    def line_dropped(self, line: Oversized) -> None:
        """A line of standard output was larger than a message may be."""
        ...

    def error_line_received(self, line: str) -> None:
        """A line of standard error."""
        ...

    def ended(self, status: int) -> None:
        """The process is gone; `status` is negative for a signal. Called once."""
        ...


class CannotWrite(Exception):
    """The server does not read: its input is closed or full."""


class ChildProcess(asyncio.SubprocessProtocol):
    """One running process. Made by `spawn`; `end` must be awaited before it is dropped."""

    def __init__(self, events: ChildEvents, max_message_bytes: int) -> None:
        self._events = events
        self._max_unwritten_bytes = 2 * max_message_bytes
        self._out = LineSplitter(max_message_bytes)
        self._err = LineSplitter(_MAX_STDERR_LINE_BYTES)
        self._gone = asyncio.Event()
        self._transport: asyncio.SubprocessTransport | None = None
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self.last_error_lines: deque[str] = deque(maxlen=_KEPT_STDERR_LINES)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _STDOUT:
            for line in self._out.feed(data):
                self._events.line_received(line)
            for dropped in self._out.oversized():
                self._events.line_dropped(dropped)
            return
        for line in self._err.feed(data):
            self._note_error_line(line)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the name is asyncio's
        """All pipes are closed and the process has been waited for."""
        for splitter, receive in ((self._out, self._events.line_received), (self._err, self._note_error_line)):
            rest = splitter.rest()
            if rest.strip():
                receive(rest)
        self._events.ended(self._returncode())
        self._gone.set()
        if self._transport is not None:
            self._transport.close()

    def process_exited(self) -> None:
        """Helpers that the server started must not keep its pipes open, nor outlive it."""
        self._signal(signal.SIGKILL)
        if self._transport is not None:
            asyncio.get_running_loop().call_later(_TERM_GRACE_S, self._transport.close)

    def _note_error_line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        self.last_error_lines.append(text)
        self._events.error_line_received(text)

    def _returncode(self) -> int:
        code = self._transport.get_returncode() if self._transport else None
        return 0 if code is None else code

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its group."""
        assert self._transport is not None
        return self._transport.get_pid()

    def write(self, message: bytes) -> None:
        """Send one message, a newline is added. Raises CannotWrite.

        What is sent in one round of the event loop leaves in one write, because each of them wakes the server.
        """
        pipe = self._pipe(_STDIN)
        if pipe is None or pipe.is_closing():
            raise CannotWrite("the server has closed its input")
        waiting_bytes = cast(asyncio.WriteTransport, pipe).get_write_buffer_size() + self._unsent_bytes
        if waiting_bytes > self._max_unwritten_bytes:
            raise CannotWrite("the server does not read its input")
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent += (message, b"\n")
        self._unsent_bytes += len(message) + 1

    def _send(self) -> None:
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        pipe = self._pipe(_STDIN)
        if unsent and pipe is not None and not pipe.is_closing():
            cast(asyncio.WriteTransport, pipe).write(b"".join(unsent))

    def pause_reading(self) -> None:
        """Stop taking output, so that the server waits for slow readers of its answers."""
        pipe = self._pipe(_STDOUT)
        if pipe is not None:
            cast(asyncio.ReadTransport, pipe).pause_reading()

    def resume_reading(self) -> None:
        """Take output again."""
        pipe = self._pipe(_STDOUT)
        if pipe is not None and not pipe.is_closing():
            cast(asyncio.ReadTransport, pipe).resume_reading()

    def _pipe(self, fd: int) -> asyncio.BaseTransport | None:
        return self._transport.get_pipe_transport(fd) if self._transport else None

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def end(self, *, force: bool = False) -> None:  # noqa: ARG002 - its one user always ends it
        """Close its input, then ask, then force: bounded to about three seconds, and shielded from cancellation."""
        with anyio.CancelScope(shield=True):
            await self._end()

    async def _end(self) -> None:
        pipe = self._pipe(_STDIN)
        if pipe is not None:
            self._send()
            pipe.close()
        self.resume_reading()
        for grace_s, number in ((_EOF_GRACE_S, signal.SIGTERM), (_TERM_GRACE_S, signal.SIGKILL)):
            with anyio.move_on_after(grace_s):
                await self._gone.wait()
                return
            self._signal(number)
        with anyio.move_on_after(_TERM_GRACE_S):
            await self._gone.wait()
        if self._transport is not None:
            self._transport.close()


def _die_with_parent() -> Callable[[], None] | None:
    """What runs in the new process before the server: ask the kernel to kill it when the adapter dies (Linux,
    prctl(2)).
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare


async def spawn(launch: Launch, events: ChildEvents) -> ChildProcess:
    """Start the process. Raises OSError when the command cannot be executed."""
    loop = asyncio.get_running_loop()
    _, child = await loop.subprocess_exec(
        lambda: ChildProcess(events, launch.max_message_bytes),
        *launch.command,
        env=dict(launch.environment),
        cwd=str(launch.workdir) if launch.workdir else None,
        start_new_session=True,
        preexec_fn=_die_with_parent(),
    )
    return child
