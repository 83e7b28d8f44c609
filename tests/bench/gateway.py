"""The gateway against nginx as a plain reverse proxy: `python -m tests.bench.gateway` (needs nginx and wrk).

An nginx with one worker answers from memory ("direct"). Before it stand, in turns and round by round: nothing, another
nginx as a plain proxy with a keep-alive pool, the gateway as it is served, and the gateway held to its ASGI path. `wrk`
keeps 16 connections busy (closed loop), so that no Python stands in the load generator's way; medians over the rounds.
The second part sends 500 calls a second at fixed times and compares when the answers came (what a hop adds).
Every target answers the same bytes to the same `tools/call`; the gateway checks a token, one of 21, and tool patterns.
With `--aggregate` all of them get the call of a stateless client (2026-07-28), and one more target is the gateway's
common address, where the tool is called `echo__echo`.
With `--reads` they get a list of tools that the server lets callers keep for an hour, which the gateway answers from
memory; then only the closed loop is run.
A target's processor time is the figure that depends least on what else the machine does.
"""

import argparse
import asyncio
import hashlib
import json
import multiprocessing
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import uvicorn
import uvloop

from gateway.app import Readiness, create_app
from gateway.oauth.access import TokenRule, token_access
from gateway.routing import RouteTable, Upstream
from gateway.settings import GatewaySettings
from reconciler.cli.serving import settled_memory

BODY = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}'
ANSWER = '{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hello"}]}}'
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2025-11-25",
}
MODERN = "2026-07-28"
MODERN_BODY = BODY[:-2] + (
    ',"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    '"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"}}}}'
)


LIST_BODY = MODERN_BODY.replace("tools/call", "tools/list").replace('"name":"echo","arguments":{"text":"hello"},', "")
LIST_ANSWER = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "result": {
            "resultType": "complete",
            "tools": [{"name": "echo", "description": "Says it again", "inputSchema": {"type": "object"}}],
            "ttlMs": 3_600_000,
            "cacheScope": "public",
        },
    }
)


def modern_headers(tool: str) -> dict[str, str]:
    return {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": tool}


NGINX = """
worker_processes 1;
daemon off;

pid {directory}/{name}.pid;
error_log {directory}/{name}.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {directory}; proxy_temp_path {directory};
  fastcgi_temp_path {directory}; uwsgi_temp_path {directory}; scgi_temp_path {directory};
  keepalive_requests 1000000000;
  default_type application/json;
  {body}
}}
"""
DIRECT = """server {{ listen 127.0.0.1:{port} backlog=2048; location / {{ return 200 '{answer}'; }} }}"""
PROXY = """
  upstream machine {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://machine/mcp; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
"""
WRK = """
wrk.method = "POST"
wrk.body = [==[{body}]==]
{headers}
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {{"calls":%d,"us":%d,"errors":%d,"p50":%f,"p99":%f}}\\n', summary.requests,
    summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    name: str
    url: str
    process: psutil.Process
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: str = BODY

    def stateless(self, *, path: str | None = None, name: str | None = None, tool: str = "echo") -> "Target":
        """The same, or another address of it, as a stateless client calls it."""
        return replace(
            self,
            name=name or self.name,
            url=self.url if path is None else f"http://127.0.0.1:{self.port}{path}",
            headers=self.headers | modern_headers(tool),
            body=MODERN_BODY.replace('"name":"echo"', f'"name":"{tool}"', 1),
        )

    def listing(self) -> "Target":
        """The same, as a stateless client asks it for its tools."""
        asked = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/list"}
        return replace(self, headers=self.headers | asked, body=LIST_BODY)

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    def cpu_s(self) -> float:
        return sum(sum(each.cpu_times()[:2]) for each in [self.process, *self.process.children(recursive=True)])


@contextmanager
def nginx(name: str, directory: Path, port: int, body: str) -> Iterator[Target]:
    configuration = directory / f"{port}.conf"
    configuration.write_text(NGINX.format(directory=directory, name=port, body=body), encoding="utf-8")
    command = [shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(configuration), "-p", str(directory)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield Target(name=name, url=f"http://127.0.0.1:{port}/mcp", process=psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait()


def wait_for(port: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}")


TOKEN = "a-token-of-some-length-0123456789"
RULES = [
    TokenRule(name=f"other-{number}", sha256=hashlib.sha256(b"%d" % number).hexdigest(), servers={"*": ["*"]})
    for number in range(20)
]
RULES.append(
    TokenRule(
        name="caller", sha256=hashlib.sha256(TOKEN.encode()).hexdigest(), servers={"ec*": ["get_*", "list_*", "ec?o"]}
    )
)


def serve_gateway(ready: Connection, upstream_port: int, edge: bool) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    route = Upstream(server="echo", app="echo", host="127.0.0.1", port=upstream_port, authority="echo.flycast")
    settings = GatewaySettings(session_key=b"k" * 32, access=token_access(RULES))
    app = create_app(settings, RouteTable([route]), lambda: Readiness(is_ready=True))
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=app.http_protocol if edge else "httptools",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=60,
        backlog=2048,
    )
    ready.send(listener.getsockname()[1])
    with settled_memory():
        uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def gateway(name: str, upstream_port: int, *, edge: bool) -> Iterator[Target]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve_gateway, args=(there, upstream_port, edge), daemon=True)
    process.start()
    try:
        url = f"http://127.0.0.1:{here.recv()}/servers/echo/mcp"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        yield Target(name=name, url=url, process=psutil.Process(process.pid), headers=headers)
    finally:
        process.kill()
        process.join()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    calls_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_us: float
    """Processor time of the target for one call."""


def load(target: Target, script: Path, connections: int, seconds: int) -> Measured:
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in (HEADERS | target.headers).items())
    script.write_text(WRK.format(body=target.body, headers=lines), encoding="utf-8")
    before_s = target.cpu_s()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), target.url]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads(printed.split("RESULT ")[1].splitlines()[0])
    return Measured(
        calls_per_s=result["calls"] * 1e6 / result["us"],
        p50_ms=result["p50"] / 1000,
        p99_ms=result["p99"] / 1000,
        errors=result["errors"],
        cpu_us=(target.cpu_s() - before_s) * 1e6 / max(1, result["calls"]),
    )


def median(values: list[Measured]) -> Measured:
    names = ("calls_per_s", "p50_ms", "p99_ms", "cpu_us")
    middle = {name: statistics.median(getattr(value, name) for value in values) for name in names}
    return Measured(**middle, errors=sum(value.errors for value in values))


def closed_loop(targets: list[Target], script: Path, options: argparse.Namespace) -> None:
    if not options.connections:
        return
    print("| connections | target | calls/s | of nginx | p50 / p99 ms | errors | target's CPU us per call |")
    print("|---|---|---|---|---|---|---|")
    for connections in options.connections:
        measured: dict[str, list[Measured]] = {target.name: [] for target in targets}
        for _ in range(options.rounds):
            for target in targets:
                measured[target.name].append(load(target, script, connections, options.seconds))
        figures = {name: median(values) for name, values in measured.items()}
        nginx_per_s = figures["nginx as proxy"].calls_per_s
        for name, each in figures.items():
            ratio, latency = each.calls_per_s / nginx_per_s, f"{each.p50_ms:.2f} / {each.p99_ms:.2f}"
            print(
                f"| {connections} | {name} | {each.calls_per_s:,.0f} | {ratio:.2f} | {latency} | {each.errors} "
                f"| {each.cpu_us:.1f} |",
                flush=True,
            )


class Timed(asyncio.Protocol):
    """A connection that carries one call at a time and notes how long each took from the moment it was due."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.answered: asyncio.Future[None] | None = None
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.received.endswith(ANSWER.encode()) and self.answered is not None:
            assert self.received.startswith(b"HTTP/1.1 200"), self.received[:200]
            self.received = b""
            self.answered.set_result(None)


async def paced(target: Target, per_s: int, seconds: float) -> list[float]:
    """The latencies in ms of calls sent at fixed times, on as many connections as it takes."""
    loop = asyncio.get_running_loop()
    idle: list[Timed] = []
    latencies: list[float] = []
    fields = "".join(f"{name}: {value}\r\n" for name, value in (HEADERS | target.headers).items())
    path = "/" + target.url.split("/", 3)[3]
    framing = f"Content-Length: {len(target.body)}\r\n\r\n{target.body}"
    request = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{fields}{framing}".encode()

    async def call(due_s: float) -> None:
        caller = idle.pop() if idle else (await loop.create_connection(Timed, "127.0.0.1", target.port))[1]
        caller.answered = loop.create_future()
        caller.transport.write(request)
        await caller.answered
        latencies.append((time.perf_counter() - due_s) * 1000)
        idle.append(caller)

    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(per_s * seconds)):
            due_s = began_s + number / per_s
            while (left_s := due_s - time.perf_counter()) > 0:  # noqa: ASYNC110 - it waits for a moment, not an event
                await asyncio.sleep(left_s if left_s > 0.002 else 0)
            group.create_task(call(due_s))
    for caller in idle:
        caller.transport.close()
    return latencies


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def open_loop(targets: list[Target], options: argparse.Namespace) -> None:
    print(f"\n| target, {options.rate} calls/s | p50 ms | p99 ms | added p50 | added p99 | answered |")
    print("|---|---|---|---|---|---|")
    taken: dict[str, list[list[float]]] = {target.name: [] for target in targets}
    for _ in range(options.rounds):
        for target in targets:
            taken[target.name].append(uvloop.run(paced(target, options.rate, options.seconds)))
    rows = {
        name: [statistics.median(quantile(run, part) for run in runs) for part in (0.5, 0.99)]
        for name, runs in taken.items()
    }
    for name, (p50, p99) in rows.items():
        base50, base99 = rows["direct"]
        answered = sum(len(run) for run in taken[name])
        print(f"| {name} | {p50:.2f} | {p99:.2f} | {p50 - base50:.2f} | {p99 - base99:.2f} | {answered} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each kind")
    parser.add_argument("--connections", type=int, nargs="*", default=[16])
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--aggregate", action="store_true", help="a stateless client, and the common address too")
    parser.add_argument("--reads", action="store_true", help="a list that may be kept, in place of a call")
    options = parser.parse_args()
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)
        upstream, front = free_port(), free_port()
        answer = LIST_ANSWER if options.reads else ANSWER
        direct = opened.enter_context(nginx("direct", directory, upstream, DIRECT.format(port=upstream, answer=answer)))
        proxy = opened.enter_context(
            nginx("nginx as proxy", directory, front, PROXY.format(port=front, upstream=upstream))
        )
        below = opened.enter_context(gateway("gateway", upstream, edge=True))
        asgi = opened.enter_context(gateway("gateway, ASGI only", upstream, edge=False))
        targets = [direct, proxy, below, asgi]
        if options.aggregate:
            common = below.stateless(path="/mcp", name="gateway, /mcp", tool="echo__echo")
            targets = [*(target.stateless() for target in targets), common]
        if options.reads:
            targets = [target.listing() for target in targets]
        closed_loop(targets, directory / "load.lua", options)
        if not options.reads:
            open_loop(targets, options)


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
