"""Catwalk against what a user would pick instead: `python -m tests.bench.peers` (needs wrk, nginx, Node.js and uv).

Two tables, each with its targets in turns, round by round, closed loop: stdio adapters in front of `echo_server.py`
over stdio, and gateways in front of the same server over HTTP. There are as many sessions as connections, every id is
used once, and an answer without the tool's text is an error, whatever its status. The gateway checks a token and tool
patterns, its peers nothing. A peer that cannot be installed, does not start or answers wrongly is shown as such. The
plot is written to `gateway.svg`.
"""

import argparse
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import psutil

from tests.bench.gateway import PROXY, TOKEN, Measured, free_port, gateway, median, nginx, wait_for
from tests.bench.peer_installs import CONTEXTFORGE, PEERS, SERVER_WORDS, Peer

ROOT = Path(__file__).parents[2]
PLOT = Path(__file__).with_name("gateway.svg")
STDIO = f"{sys.executable} {SERVER_WORDS}"
START_S = 180
BASE = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2025-11-25",
}
WRK = """
local sessions = {{ {sessions} }}
local base = {{ {headers} }}
local count, threads = 0, {{}}
bad = 0
function setup(thread) table.insert(threads, thread) end
function request()
  count = count + 1
  local headers = {{}}
  for name, value in pairs(base) do headers[name] = value end
  headers["Mcp-Session-Id"] = sessions[count % #sessions + 1]
  local body = '{{"jsonrpc":"2.0","id":' .. count .. ',"method":"tools/call","params":{{"name":"{tool}","arguments":' ..
    '{{"text":"hello"}}}}}}'
  return wrk.format("POST", wrk.path, headers, body)
end
function response(status, headers, body)
  if status ~= 200 or not string.find(body, '"hello"', 1, true) then bad = bad + 1 end
end
function done(summary, latency, requests)
  local e, wrong = summary.errors, 0
  for _, thread in ipairs(threads) do wrong = wrong + thread:get("bad") end
  io.write(string.format('RESULT {{"calls":%d,"us":%d,"errors":%d,"p50":%f,"p99":%f}}\\n', summary.requests,
    summary.duration, e.connect + e.read + e.write + e.timeout + wrong, latency:percentile(50), latency:percentile(99)))
end
"""


class Unfit(Exception):
    """A peer cannot take part; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    name: str
    url: str
    processes: tuple[int, ...]
    """Their children count too, but for the server's own process."""
    tool: str = "echo"
    token: str = TOKEN

    def cpu_s(self) -> float:
        total = 0.0
        for process in self._all():
            with suppress(psutil.Error):
                total += sum(process.cpu_times()[:2])
        return total

    def memory_mib(self) -> float:
        total = 0
        for process in self._all():
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total / 2**20

    def _all(self) -> Iterator[psutil.Process]:
        for pid in self.processes:
            process = psutil.Process(pid)
            for each in [process, *process.children(recursive=True)]:
                with suppress(psutil.Error):
                    if " ".join(each.cmdline()[1:3]) != SERVER_WORDS:
                        yield each


def post(url: str, message: Mapping[str, Any], token: str, session: str = "") -> tuple[str, str]:
    """The session and the body of a response."""
    headers = BASE | {"Authorization": f"Bearer {token}"} | ({"Mcp-Session-Id": session} if session else {})
    body = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=20) as answer:
        return answer.headers.get("Mcp-Session-Id") or session, answer.read().decode()


def opened(target: Target) -> str:
    """A session in which the tool has answered. Raises Unfit."""
    client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    try:
        session, _ = post(target.url, {"id": 0, "method": "initialize", "params": client}, target.token)
        post(target.url, {"method": "notifications/initialized"}, target.token, session)
        call = {"name": target.tool, "arguments": {"text": "hello"}}
        _, body = post(target.url, {"id": 1, "method": "tools/call", "params": call}, target.token, session)
    except OSError as error:
        raise Unfit(f"a session cannot be opened: {error}") from error
    if '"hello"' not in body:
        raise Unfit(f"the tool does not answer: {body[:120]}")
    return session


def ready(target: Target, process: subprocess.Popen[bytes]) -> None:
    """Wait until it takes a session. Raises Unfit."""
    deadline_s, why = time.monotonic() + START_S, ""
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise Unfit(f"it ended with {process.returncode}")
        try:
            opened(target)
        except Unfit as unfit:
            why = str(unfit)
            time.sleep(0.5)
        else:
            return
    raise Unfit(why)


@contextmanager
def running(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def peer_target(peer: Peer, behind: str, folder: Path) -> Iterator[Target]:
    """A peer that answers. Raises Unfit."""
    if why := peer.install():
        raise Unfit(f"cannot be installed: {why}")
    port = free_port()
    database = {"DATABASE_URL": f"sqlite:///{folder}/{port}.db"} if peer.environment else {}
    command = list(peer.command(peer.folder, port, behind))
    with running(command, peer.environment | database, folder / f"{peer.folder.name}.log") as process:
        base = f"http://127.0.0.1:{port}"
        path, tool = contextforge(base, behind) if peer.environment else (peer.path, "echo")
        target = Target(name=peer.name, url=base + path, processes=(process.pid,), tool=tool, token=token(peer))
        ready(target, process)
        yield target


def contextforge(base: str, upstream: str) -> tuple[str, str]:
    """Tell it of the upstream and make a virtual server of its tool: the path of that, and what the tool is called."""
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            api(base + "/gateways", {"name": "echo", "url": upstream, "transport": "STREAMABLEHTTP"})
        except (OSError, ValueError) as error:
            told = error.read()[:200] if isinstance(error, urllib.error.HTTPError) else error
            if time.monotonic() > deadline_s:
                raise Unfit(f"it takes no upstream: {told}") from error
            time.sleep(1)
        else:
            break
    tools = api(base + "/tools")
    tool = (tools if isinstance(tools, list) else tools["data"])[0]
    server = api(base + "/servers", {"server": {"name": "bench", "associated_tools": [tool["id"]]}})
    return f"/servers/{server['id']}/mcp", tool["name"]


def api(url: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def token(peer: Peer) -> str:
    return contextforge_token() if peer.environment else TOKEN


def contextforge_token() -> str:
    """What its own `create_jwt_token` makes for the administrator."""
    now_s = int(time.time())
    claims = {
        "sub": CONTEXTFORGE["PLATFORM_ADMIN_EMAIL"],
        "iss": "mcpgateway",
        "aud": "mcpgateway-api",
        "iat": now_s,
        "exp": now_s + 3600,
        "jti": "bench",
        "is_admin": True,
        "teams": None,
        "token_use": "session",
    }
    return jwt.encode(claims, CONTEXTFORGE["JWT_SECRET_KEY"], "HS256")


@contextmanager
def our_adapter(folder: Path) -> Iterator[Target]:
    port = free_port()
    words = ["--host", "127.0.0.1", "--port", str(port), "--exec", "--", *STDIO.split()]
    with running([sys.executable, "-m", "gateway.adapter", *words], {}, folder / "adapter.log") as process:
        url = f"http://127.0.0.1:{port}/mcp"
        target = Target(name="Catwalk's adapter", url=url, processes=(process.pid,))
        ready(target, process)
        yield target


@contextmanager
def our_gateway(upstream: int) -> Iterator[Target]:
    with gateway("Catwalk's gateway", upstream, edge=True) as made:
        yield Target(name=made.name, url=made.url, processes=(made.process.pid,))


def load(target: Target, script: Path, connections: int, seconds: int) -> Measured:
    sessions = ", ".join(f'"{opened(target)}"' for _ in range(connections))
    headers = ", ".join(
        f'["{name}"]="{value}"' for name, value in (BASE | {"Authorization": f"Bearer {target.token}"}).items()
    )
    script.write_text(WRK.format(sessions=sessions, headers=headers, tool=target.tool), encoding="utf-8")
    before_s = target.cpu_s()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(script), target.url]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads(printed.split("RESULT ")[1].splitlines()[0])
    return Measured(
        calls_per_s=result["calls"] * 1e6 / result["us"],
        p50_ms=result["p50"] / 1000,
        p99_ms=result["p99"] / 1000,
        errors=result["errors"],
        cpu_us=(target.cpu_s() - before_s) * 1e6 / max(1, result["calls"]),
    )


Figures = dict[str, tuple[Measured, float]]
"""By the name of a target: what was measured, and its memory in MiB."""


def compare(targets: list[Target], folder: Path, options: argparse.Namespace) -> Figures:
    measured: dict[str, list[Measured]] = {target.name: [] for target in targets}
    for _ in range(options.rounds):
        for target in targets:
            try:
                measured[target.name].append(load(target, folder / "load.lua", options.connections, options.seconds))
            except Unfit as unfit:
                print(f"{target.name}: {unfit}", file=sys.stderr)
    by_name = {target.name: target for target in targets}
    return {name: (median(runs), by_name[name].memory_mib()) for name, runs in measured.items() if runs}


def table(title: str, figures: Figures, ours: str, unfit: Mapping[str, str]) -> None:
    print(f"\n| {title} | calls/s | ours is times that | p50 / p99 ms | errors | CPU us per call | of ours | MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (each, memory_mib) in figures.items():
        times = figures[ours][0].calls_per_s / max(each.calls_per_s, 1e-9)
        cheaper = each.cpu_us / max(figures[ours][0].cpu_us, 1e-9)
        latency = f"{each.p50_ms:.2f} / {each.p99_ms:.2f}"
        print(
            f"| {name} | {each.calls_per_s:,.0f} | {times:,.1f} | {latency} | {each.errors} | {each.cpu_us:,.0f} "
            f"| {cheaper:,.1f} | {memory_mib:.0f} |",
            flush=True,
        )
    for name, why in unfit.items():
        print(f"| {name} | {why} | | | | | | |")


def started(
    opened_here: ExitStack, peers: list[Peer], behind: str, folder: Path
) -> tuple[list[Target], dict[str, str]]:
    targets, unfit = list[Target](), dict[str, str]()
    for peer in peers:
        try:
            targets.append(opened_here.enter_context(peer_target(peer, behind, folder)))
        except (Unfit, OSError, KeyError, IndexError) as error:
            unfit[f"{peer.name} {peer.version}"] = str(error) or type(error).__name__
    return targets, unfit


def adapters(folder: Path, options: argparse.Namespace) -> Figures:
    peers = [peer for peer in PEERS if not peer.is_gateway]
    with ExitStack() as opened_here:
        ours = opened_here.enter_context(our_adapter(folder))
        targets, unfit = started(opened_here, peers, STDIO, folder)
        figures = compare([ours, *targets], folder, options)
    table("adapter", figures, ours.name, unfit)
    return figures


def gateways(folder: Path, options: argparse.Namespace) -> Figures:
    peers = [peer for peer in PEERS if peer.is_gateway]
    upstream, front = free_port(), free_port()
    with ExitStack() as opened_here:
        command = [sys.executable, *SERVER_WORDS.split(), "--port", str(upstream)]
        opened_here.enter_context(running(command, {}, folder / "upstream.log"))
        wait_for(upstream)
        ours = opened_here.enter_context(our_gateway(upstream))
        proxy = opened_here.enter_context(nginx("nginx", folder, front, PROXY.format(port=front, upstream=upstream)))
        plain = Target(name="nginx, a plain proxy", url=proxy.url, processes=(proxy.process.pid,))
        targets, unfit = started(opened_here, peers, f"http://127.0.0.1:{upstream}/mcp", folder)
        figures = compare([ours, plain, *targets], folder, options)
    table("gateway", figures, ours.name, unfit)
    return figures


def plot(tables: list[Figures]) -> str:
    """Calls a second, one bar for each target, on a logarithmic scale."""
    bars = [(name, each.calls_per_s) for figures in tables for name, (each, _) in figures.items()]
    width, left, row = 640, 190, 24
    height = row * (len(bars) + 1) + 20
    most = max(value for _, value in bars)
    digits = len(f"{most:.0f}")
    box = f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {box}>']
    parts.append(f'<rect width="{width}" height="{height}" fill="white"/>')
    parts.append('<text x="5" y="14">calls a second (each step to the right is ten times as many)</text>')
    step = (width - left - 70) / digits
    for power in range(digits + 1):
        x = left + power * step
        parts.append(f'<path d="M{x:.0f},22 V{height - 6}" stroke="#ddd"/>')
    for number, (name, value) in enumerate(bars):
        y = 26 + number * row
        length = step * math.log10(max(1, value))
        color = "#1f6feb" if name.startswith("Catwalk") else "#9a6700"
        parts.append(f'<text x="{left - 6}" y="{y + 14}" text-anchor="end">{name}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{max(1, length):.0f}" height="{row - 6}" fill="{color}"/>')
        parts.append(f'<text x="{left + length + 5:.0f}" y="{y + 14}">{value:,.0f}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", choices=["adapters", "gateways"], default="", help="no plot is written then")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = [measure(folder, options) for measure in (adapters, gateways) if options.only in measure.__name__]
    if len(made) > 1:
        PLOT.write_text(plot(made), encoding="utf-8")
    print(f"\nload of the machine at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
