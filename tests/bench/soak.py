"""Gateway and adapter for a long time: `python -m tests.bench.soak --minutes 10 --cycles 1000000`.

Four processes on loopback: this load generator, the gateway as it is served (with a token and tool patterns), the
adapter, and `echo_server.py` behind it over stdio. First every connection keeps a session and calls without a pause for
so many minutes; then sessions are opened, used once and deleted, again and again. Every answer is checked: its status,
its id, its text. Any error is counted and the first ones are shown. A row of the table is what happened since the row
before, with the resident memory of the three; what grows from row to row is a leak.
"""

import argparse
import asyncio
import multiprocessing
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvloop

from tests.bench.gateway import TOKEN, free_port, gateway
from tests.conformance.ways import wait_for_health

ROOT = Path(__file__).parents[2]
MIB = 2**20
SHOWN_ERRORS = 10
HEAD = (
    b"Host: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    b"MCP-Protocol-Version: 2025-11-25\r\nAuthorization: Bearer %b\r\n" % TOKEN.encode()
)
INITIALIZE = (
    b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},'
    b'"clientInfo":{"name":"soak","version":"1"}}}'
)
CALL = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}'
ANSWER = b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"hello"}]}}'


class WrongAnswer(Exception):
    """Not what was to be answered."""


class Client(asyncio.Protocol):
    """One connection with one request at a time, whose response has a length."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.answered: asyncio.Future[tuple[bytes, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0 or self.answered is None:
            return
        head = bytes(self.received[:end]) + b"\r\n"
        size = field_of(head, b"content-length")
        if size and len(self.received) >= end + 4 + int(size):
            waiting, self.answered = self.answered, None
            waiting.set_result((head, bytes(self.received[end + 4 :])))
            self.received.clear()

    def connection_lost(self, _: Exception | None) -> None:
        if self.answered is not None and not self.answered.done():
            self.answered.set_exception(WrongAnswer("the connection was closed"))

    async def ask(self, verb: bytes, path: bytes, session: bytes = b"", body: bytes = b"") -> tuple[bytes, bytes]:
        """Head and body of the response; a wrong status is a wrong answer."""
        self.answered = asyncio.get_running_loop().create_future()
        named = b"Mcp-Session-Id: %b\r\n" % session if session else b""
        length = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        self.transport.write(b"%b %b HTTP/1.1\r\n%b%b%b" % (verb, path, HEAD, named, length))
        async with asyncio.timeout(30):
            head, answer = await self.answered
        if not head.startswith(b"HTTP/1.1 20"):
            raise WrongAnswer(f"{verb!r}: {head[:40]!r} {answer[:200]!r}")
        return head, answer


def field_of(head: bytes, name: bytes) -> bytes:
    """The value of a header, whose name is given in lower case; empty where there is none."""
    place = head.lower().find(b"\r\n%b: " % name)
    return head[place + len(name) + 4 :].partition(b"\r\n")[0] if place >= 0 else b""


@dataclass(kw_only=True)
class Served:
    """What is measured."""

    port: int
    processes: dict[str, psutil.Process]
    path: bytes = b"/servers/echo/mcp"

    def memory_mib(self) -> dict[str, float]:
        return {name: process.memory_info().rss / MIB for name, process in self.processes.items()}

    def cpu_s(self) -> dict[str, float]:
        return {name: sum(process.cpu_times()[:2]) for name, process in self.processes.items()}


@dataclass(kw_only=True)
class Counted:
    """What happened so far."""

    done: int = 0
    errors: list[str] = field(default_factory=list[str])
    error_count: int = 0

    def failed(self, error: BaseException) -> None:
        self.error_count += 1
        if len(self.errors) < SHOWN_ERRORS:
            self.errors.append(f"{type(error).__name__}: {error}")


async def opened(client: Client, served: Served) -> bytes:
    head, _ = await client.ask(b"POST", served.path, body=INITIALIZE)
    session = field_of(head, b"mcp-session-id")
    if not session:
        raise WrongAnswer("a session without an id")
    return session


async def called(client: Client, served: Served, session: bytes, number: int) -> None:
    _, answer = await client.ask(b"POST", served.path, session, CALL % number)
    if answer != ANSWER % number:
        raise WrongAnswer(repr(answer[:200]))


async def cycle(client: Client, served: Served, number: int) -> None:
    """A session: opened, used, deleted."""
    session = await opened(client, served)
    await called(client, served, session, number)
    await client.ask(b"DELETE", served.path, session)


@asynccontextmanager
async def connected(served: Served) -> AsyncIterator[Client]:
    _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", served.port)
    try:
        yield client
    finally:
        client.transport.close()


async def until(counted: Counted, goes_on: Callable[[], bool], step: Callable[[], Awaitable[None]]) -> None:
    while goes_on():
        try:
            await step()
        except (WrongAnswer, TimeoutError, OSError) as error:
            counted.failed(error)
            return
        counted.done += 1


async def keep_calling(served: Served, counted: Counted, goes_on: Callable[[], bool]) -> None:
    """One connection with one session; a new one of both after an error."""
    while goes_on():
        async with connected(served) as client:
            session = await opened(client, served)
            await until(counted, goes_on, lambda: called(client, served, session, counted.done + 1))  # noqa: B023 - it is awaited within


async def keep_cycling(served: Served, counted: Counted, goes_on: Callable[[], bool]) -> None:
    while goes_on():
        async with connected(served) as client:
            await until(counted, goes_on, lambda: cycle(client, served, counted.done + 1))


Work = Callable[[Served, Counted, Callable[[], bool]], Awaitable[None]]


async def under_load(
    work: Work, served: Served, counted: Counted, *, connections: int, goes_on: Callable[[], bool]
) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(work(served, counted, goes_on))  # type: ignore[arg-type] # All of them are coroutines.


async def report(served: Served, counted: Counted, every_s: float) -> None:
    """A row for each interval, for ever."""
    began_s, names = time.monotonic(), list(served.processes)
    print(f"| s | done | a second | errors | {' | '.join(f'{name}, MiB' for name in names)} | CPU us each |")
    print("|---" * (5 + len(names)) + "|")
    while True:
        before, before_s, cpu = counted.done, time.monotonic(), served.cpu_s()
        await asyncio.sleep(every_s)
        took_s, done = time.monotonic() - before_s, counted.done - before
        spent = {name: (after - cpu[name]) * 1e6 / max(1, done) for name, after in served.cpu_s().items()}
        memory = " | ".join(f"{value:.1f}" for value in served.memory_mib().values())
        costs = " / ".join(f"{value:.0f}" for value in spent.values())
        print(
            f"| {time.monotonic() - began_s:.0f} | {counted.done:,} | {done / took_s:,.0f} | {counted.error_count} "
            f"| {memory} | {costs} |",
            flush=True,
        )


async def observed(work: Work, served: Served, options: argparse.Namespace, goes_on: Callable[[Counted], bool]) -> int:
    counted = Counted()
    reporting = asyncio.create_task(report(served, counted, options.every))
    load = under_load(work, served, counted, connections=options.connections, goes_on=lambda: goes_on(counted))
    try:
        await load
    finally:
        reporting.cancel()
    await asyncio.sleep(5)
    print(f"\n{counted.done:,} done, {counted.error_count} errors; 5 s later, MiB: {served.memory_mib()}\n", flush=True)
    for shown in counted.errors:
        print(shown)
    return counted.error_count


@contextmanager
def serving() -> Iterator[Served]:
    """Gateway, adapter and server."""
    port = free_port()
    options = ["--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "gateway.adapter", *options, "--exec", "--"]
    server = [sys.executable, "-m", "tests.bench.echo_server"]
    adapter = subprocess.Popen([*command, *server], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_for_health(f"http://127.0.0.1:{port}/health")
        process = psutil.Process(adapter.pid)
        with gateway("gateway", port, edge=True) as target:
            child = process.children()[0]
            yield Served(port=target.port, processes={"gateway": target.process, "adapter": process, "server": child})
    finally:
        adapter.terminate()
        adapter.wait()


async def run(served: Served, options: argparse.Namespace) -> int:
    end_s = time.monotonic() + options.minutes * 60
    errors = 0
    if options.minutes:
        print(f"\n{options.connections} connections that call\n")
        errors += await observed(keep_calling, served, options, lambda _: time.monotonic() < end_s)
    if options.cycles:
        print(f"\n{options.connections} connections that open, use and delete sessions\n")
        errors += await observed(keep_cycling, served, options, lambda counted: counted.done < options.cycles)
    return errors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long to call")
    parser.add_argument("--cycles", type=int, default=1_000_000, help="sessions to open, use and delete")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--every", type=float, default=60, help="seconds for a row")
    options = parser.parse_args()
    with serving() as served:
        return 1 if uvloop.run(run(served, options)) else 0


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    sys.exit(main())
