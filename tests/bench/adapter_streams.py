"""What an idle event stream takes of the adapter: `python -m tests.bench.adapter_streams --streams 5000`.

Opens streams of each era in an adapter of its own, in front of a small server, and prints the resident memory before
and after. A legacy stream has a session of its own, as each client would.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from tests.adapter.support import FAULTY, ROOT, free_port
from tests.conformance.ways import wait_for_health

_AT_ONCE = 50
_FIRST = 50
_HEAD = "Host: 127.0.0.1\r\nAccept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
_META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
_LISTEN = {"notifications": {"toolsListChanged": True}, "_meta": _META}
_CLIENT = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _post(method: str, params: object, extra: str = "") -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    return f"POST /mcp HTTP/1.1\r\n{_HEAD}{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _legacy(port: int) -> Pair:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_post("initialize", _CLIENT))
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n") if ": " in line)
    await reader.readexactly(int(fields["content-length"]))
    writer.write(f"GET /mcp HTTP/1.1\r\n{_HEAD}Mcp-Session-Id: {fields['mcp-session-id']}\r\n\r\n".encode())
    await reader.readuntil(b"keep-alive")
    return reader, writer


async def _modern(port: int) -> Pair:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    extra = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\n"
    writer.write(_post("subscriptions/listen", _LISTEN, extra))
    await reader.readuntil(b"acknowledged")
    return reader, writer


async def _measure(era: str, port: int, pid: int, count: int) -> None:
    limit = asyncio.Semaphore(_AT_ONCE)
    open_one = _legacy if era == "legacy" else _modern

    async def one() -> Pair:
        async with limit:
            return await open_one(port)

    kept = await asyncio.gather(*(one() for _ in range(_FIRST)))
    before = _resident_mib(pid)
    kept += await asyncio.gather(*(one() for _ in range(count)))
    await asyncio.sleep(20)
    after = _resident_mib(pid)
    print(
        f"{era}: {before:.1f} -> {after:.1f} MiB, {(after - before) * 1024 / count:.1f} KiB each, {len(kept)} streams"
    )


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=5_000)
    count = parser.parse_args().streams
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 1_000, most))
    for era in ("legacy", "modern"):
        port = free_port()
        options = ["--host", "127.0.0.1", "--port", str(port), "--max-calls", str(count + 100)]
        command = [sys.executable, "-m", "gateway.adapter", *options, "--exec", "--", sys.executable, FAULTY]
        adapter = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            wait_for_health(f"http://127.0.0.1:{port}/health")
            asyncio.run(_measure(era, port, adapter.pid, count))
        finally:
            adapter.terminate()
            adapter.wait()


if __name__ == "__main__":
    main()
