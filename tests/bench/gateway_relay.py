"""How much of an upstream's speed is left behind the gateway. Run by hand: `python -m tests.bench.gateway_relay`.

Four processes on loopback: an upstream that answers from memory, the gateway under uvicorn with uvloop, a bare ASGI
application that gives the same answers under the same uvicorn (what the server costs without any gateway), and this
load generator, which keeps one call open per connection (closed loop). The three targets take turns, round by round,
so that a change of the machine's load meets all; the table shows medians over the rounds. The processor time of the
target's process is the figure that depends least on how busy the other processes are.
"""

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import psutil
import uvicorn
import uvloop

from gateway.app import Readiness, create_app
from gateway.routing import RouteTable, Upstream
from gateway.settings import GatewaySettings

BODY = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}'
EVENT = b'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}\n\n'


def json_answer(size: int) -> bytes:
    body = b"x" * size
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % size + body


def stream_answer(events: int) -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return [head, *[b"%x\r\n%b\r\n" % (len(EVENT), EVENT)] * events, b"0\r\n\r\n"]


class Answering(asyncio.Protocol):
    """Answers every request with what the path's last part names: a size in bytes, or `events`."""

    def __init__(self) -> None:
        self.waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        head, separator, body = self.waiting.partition(b"\r\n\r\n")
        if not separator or len(body) < len(BODY):
            return
        self.waiting = b""
        kind = head.split(b" ", 2)[1].rsplit(b"/", 1)[1]
        if kind == b"events":
            for piece in stream_answer(100):
                self.transport.write(piece)
        else:
            self.transport.write(ANSWERS[kind])


ANSWERS = {b"%d" % size: json_answer(size) for size in (64, 65_536, 1_048_576)}


async def run_upstream(ready: Connection) -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=1024)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def upstream_process(ready: Connection) -> None:
    uvloop.run(run_upstream(ready))


def gateway_process(ready: Connection, upstream_port: int) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    kinds = {"small": "64", "medium": "65536", "large": "1048576", "events": "events"}
    routes = RouteTable(
        Upstream(
            server=name,
            app=name,
            host="127.0.0.1",
            port=upstream_port,
            authority=f"{name}.flycast",
            path=f"/mcp/{kind}",
        )
        for name, kind in kinds.items()
    )
    app = create_app(GatewaySettings(session_key=b"k" * 32), routes, lambda: Readiness(is_ready=True))
    ready.send(listener.getsockname()[1])
    uvicorn.Server(config_of(app)).run(sockets=[listener])


def uvicorn_process(ready: Connection) -> None:
    async def app(scope, receive, send) -> None:
        while (await receive())["more_body"]:
            pass
        kind = scope["raw_path"].rsplit(b"/", 1)[1]
        pieces = [EVENT] * 100 if kind == b"events" else [b"x" * int(kind)]
        framing = [] if kind == b"events" else [(b"content-length", kind)]
        content_type = b"text/event-stream" if kind == b"events" else b"application/json"
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type), *framing]}
        )
        for piece in pieces[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": pieces[-1], "more_body": False})

    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    ready.send(listener.getsockname()[1])
    uvicorn.Server(config_of(app)).run(sockets=[listener])


def config_of(app) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=60,
    )


class Caller(asyncio.Protocol):
    """Keeps one call open until told to stop; finds the end of an answer by its length or its last chunk."""

    def __init__(self, request: bytes, stopped: Callable[[], bool], latencies: list[float]) -> None:
        self.request, self.stopped, self.latencies = request, stopped, latencies
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = 0
        self.expected: int | None = None
        self.tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.call()

    def call(self) -> None:
        self.received, self.expected, self.tail = 0, None, b""
        self.began_s = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if self.received == 0:
            self.read_head(data)
        self.received += len(data)
        self.tail = (self.tail + data)[-5:]
        if self.received == self.expected or (self.expected == -1 and self.tail == b"0\r\n\r\n"):
            self.latencies.append(time.perf_counter() - self.began_s)
            if self.stopped():
                self.transport.close()
            else:
                self.call()

    def read_head(self, data: bytes) -> None:
        head = data[: data.index(b"\r\n\r\n") + 4].lower()
        assert b" 200 " in head, data[:300]
        _, found, rest = head.partition(b"content-length: ")
        self.expected = len(head) + int(rest[: rest.index(b"\r")]) if found else -1

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    calls_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_1000: float


async def measure(port: int, path: str, connections: int, seconds: float, watched: psutil.Process) -> Measured:
    request = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n" % path.encode()
    request += b"accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n"
    request += b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    latencies: list[float] = []
    cpu_before, began_s = sum(watched.cpu_times()[:2]), time.perf_counter()
    loop = asyncio.get_running_loop()

    def stopped() -> bool:
        return time.perf_counter() - began_s > seconds

    def caller() -> Caller:
        return Caller(request, stopped, latencies)

    callers = [(await loop.create_connection(caller, "127.0.0.1", port))[1] for _ in range(connections)]
    await asyncio.gather(*(caller.done for caller in callers))
    took_s = time.perf_counter() - began_s
    cpu_s = sum(watched.cpu_times()[:2]) - cpu_before
    ordered = sorted(latencies)
    return Measured(
        calls_per_s=len(ordered) / took_s,
        p50_ms=ordered[len(ordered) // 2] * 1000,
        p99_ms=ordered[int(len(ordered) * 0.99)] * 1000,
        cpu_ms_per_1000=cpu_s * 1e6 / len(ordered),
    )


def median(values: list[Measured]) -> Measured:
    fields = ("calls_per_s", "p50_ms", "p99_ms", "cpu_ms_per_1000")
    return Measured(**{name: statistics.median(getattr(value, name) for value in values) for name in fields})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    name: str
    path: str
    port: int
    process: psutil.Process


SCENARIOS = [
    ("64 B answer", "small", "64", 1),
    ("64 B answer", "small", "64", 16),
    ("64 B answer", "small", "64", 64),
    ("64 KiB answer", "medium", "65536", 16),
    ("1 MiB answer", "large", "1048576", 16),
    ("100 events", "events", "events", 16),
]


async def compare(targets: list[Target], options: argparse.Namespace) -> None:
    print("| call | connections | target | calls/s | of direct | p50 / p99 ms | target's CPU ms per 1,000 |")
    print("|---|---|---|---|---|---|---|")
    for title, server, kind, connections in SCENARIOS:
        measured: dict[str, list[Measured]] = {target.name: [] for target in targets}
        for _ in range(options.rounds):
            for target in targets:
                path = target.path.format(server=server, kind=kind)
                measured[target.name].append(
                    await measure(target.port, path, connections, options.seconds, target.process)
                )
        direct = median(measured["direct"]).calls_per_s
        for target in targets:
            print(row(title, connections, target.name, median(measured[target.name]), direct), flush=True)


def row(title: str, connections: int, target: str, figures: Measured, direct: float) -> str:
    return (
        f"| {title} | {connections} | {target} | {figures.calls_per_s:,.0f} | {figures.calls_per_s / direct:.2f} "
        f"| {figures.p50_ms:.2f} / {figures.p99_ms:.2f} | {figures.cpu_ms_per_1000:.0f} |"
    )


def start(name: str, path: str, target: Callable[..., None], *arguments: int) -> Target:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=target, args=(there, *arguments), daemon=True)
    process.start()
    return Target(name=name, path=path, port=here.recv(), process=psutil.Process(process.pid))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each kind")
    direct = start("direct", "/mcp/{kind}", upstream_process)
    uvicorn_alone = start("uvicorn alone", "/mcp/{kind}", uvicorn_process)
    gateway = start("gateway", "/servers/{server}/mcp", gateway_process, direct.port)
    try:
        uvloop.run(compare([direct, uvicorn_alone, gateway], parser.parse_args()))
        print(f"gateway RSS after all: {gateway.process.memory_info().rss / 2**20:.0f} MiB")
    finally:
        for target in (gateway, uvicorn_alone, direct):
            target.process.kill()


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
