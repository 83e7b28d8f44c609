"""Several processes behind one port: started, kept alive, and ended together.

Each is a whole `catwalk serve` that listens at the shared port (SO_REUSEPORT), so that every core can carry traffic.
One of them leads the fleet and the others stand by, by the same lease, store and session key as replicas on other
machines: sessions are capsules, and any of them serves any request. This process carries nothing. It holds the port,
starts a worker again that ends, and is what commands on this machine find. The first worker is up before the others
begin, so that they find the store and the keys made.

A worker ends when its standard input does: none outlives this process, however it dies.
"""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio
import structlog
from anyio.abc import Process

from reconciler.cli.signals import until_told_to_stop
from reconciler.loop.clock import pause

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.workers")

AGAIN_S: Final = 1.0
"""How long a worker that has ended stays away."""
LOOK_S: Final = 0.1
LAST_S: Final = 30.0
"""How long workers may take to end; longer than their own bounds, which end them in order."""
GREETING_BYTES: Final = 1024
QUESTION: Final = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """What runs behind the port."""

    command: Sequence[str]
    count: int
    address: tuple[str, int]
    """Where the workers listen."""
    greeting: bytes
    """What each is told at the beginning, in one line behind its number."""


@dataclass(slots=True, kw_only=True)
class _State:
    stop: anyio.Event = field(default_factory=anyio.Event)
    first_is_up: anyio.Event = field(default_factory=anyio.Event)
    failure: int = 0
    """The exit code of the first worker, where it never came up."""


async def run_workers(crew: Crew) -> int:
    """Keeps the workers running until this process is told to stop. Returns 0, or the exit code of a first worker that
    could not even start, which no second attempt would change.
    """
    state = _State()
    async with anyio.create_task_group() as group:
        group.start_soon(_end_when_told, state)
        async with anyio.create_task_group() as working:
            for number in range(crew.count):
                working.start_soon(_keep, crew, state, number)
        group.cancel_scope.cancel()
    return state.failure


async def _end_when_told(state: _State) -> None:
    await until_told_to_stop()
    state.stop.set()


async def _keep(crew: Crew, state: _State, number: int) -> None:
    """One worker, and the next one in its place."""
    if number > 0:
        await _either(state.first_is_up, state.stop)
    while not state.stop.is_set():
        code = await _run(crew, state, number)
        if number == 0 and code > 0 and not state.first_is_up.is_set():
            state.failure = code
            state.stop.set()
        if not state.stop.is_set():
            log.warning("worker-ended", worker=number, code=code)
            await pause(state.stop, AGAIN_S)


async def _run(crew: Crew, state: _State, number: int) -> int:
    """One process to its end. It has a session of its own, so that Ctrl-C reaches it once, through here."""
    process = await anyio.open_process(
        crew.command, stdin=subprocess.PIPE, stdout=None, stderr=None, start_new_session=True
    )
    async with process:
        log.info("worker-started", worker=number, pid=process.pid)
        assert process.stdin is not None
        await process.stdin.send(b"%d %b\n" % (number, crew.greeting))
        async with anyio.create_task_group() as group:
            group.start_soon(_ask_to_end, process, state)
            if not state.first_is_up.is_set():
                group.start_soon(_look_for_first, crew, state)
            await process.wait()
            group.cancel_scope.cancel()
    return process.returncode or 0


async def _ask_to_end(process: Process, state: _State) -> None:
    await state.stop.wait()
    process.terminate()
    await anyio.sleep(LAST_S)
    process.kill()


async def _look_for_first(crew: Crew, state: _State) -> None:
    """A worker listens before it has opened the store, and answers when it has."""
    while True:
        try:
            async with await anyio.connect_tcp(*crew.address) as stream:
                await stream.send(QUESTION)
                await stream.receive()
                state.first_is_up.set()
                return
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
            await anyio.sleep(LOOK_S)


async def _either(one: anyio.Event, other: anyio.Event) -> None:
    async def wait(event: anyio.Event) -> None:
        await event.wait()
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(wait, one)
        group.start_soon(wait, other)


def hear_greeting() -> tuple[int, bytes]:
    """For a worker: its number, and what it was told. From now on the end of its standard input is a SIGTERM to it."""
    greeting = b""
    while not greeting.endswith(b"\n") and len(greeting) < GREETING_BYTES and (piece := os.read(0, GREETING_BYTES)):
        greeting += piece
    threading.Thread(target=_end_with_input, name="end-with-input", daemon=True).start()
    number, _, told = greeting.strip().partition(b" ")
    return int(number), told


def _end_with_input() -> None:
    while os.read(0, GREETING_BYTES):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def address_of(holder: socket.socket, host: str) -> tuple[str, int]:
    """Where a process of this machine reaches what listens at the port that a socket holds."""
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - They are what is listened at.
    return anywhere.get(host, host), holder.getsockname()[1]
