"""A running adapter as a value, and raw requests of both eras to it."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import httpx

ROOT = Path(__file__).resolve().parents[2]
FAULTY = str(Path(__file__).parent / "servers" / "faulty.py")
MODERN_RAW = str(Path(__file__).parent / "servers" / "modern.py")
EVERYTHING = str(ROOT / "tests" / "servers" / "everything")
BOTH = "application/json, text/event-stream"
MODERN = "2026-07-28"
Found = TypeVar("Found")
Json = dict[str, Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def poll(probe: Callable[[], Found | None], explain: Callable[[], str], timeout_s: float = 30) -> Found:
    """Ask until there is an answer; bounded."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = probe()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(explain())


@dataclass
class Adapter:
    """A running adapter and what it wrote."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def health(self) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=5)

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def events(self, name: str) -> list[Json]:
        lines = [line for line in self.text().splitlines() if line.startswith('{"catwalk"')]
        return [event for event in map(json.loads, lines) if event["catwalk"] == name]

    def wait_for(self, *states: str, timeout_s: float = 30) -> Json:
        """Poll until `/health` says one of the states; gives its body."""

        def reached() -> Json | None:
            try:
                body = self.health().json()
            except httpx.TransportError:
                assert self.process.poll() is None, self.text()
                return None
            return body if body["state"] in states else None

        return poll(reached, self.text, timeout_s)

    def ends(self, timeout_s: float = 20) -> int:
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.ends()


Start = Callable[..., Adapter]


class LegacyClient:
    """Raw legacy requests, so that ids and headers are the test's own."""

    def __init__(self, adapter: Adapter, http: httpx.AsyncClient) -> None:
        self.adapter = adapter
        self.http = http
        self.headers = {"accept": BOTH, "content-type": "application/json"}
        self.welcome: Json = {}
        self.scope = ""

    async def initialize(self, revision: str = "2025-11-25", capabilities: Json | None = None) -> "LegacyClient":
        params = {
            "protocolVersion": revision,
            "capabilities": capabilities or {},
            "clientInfo": {"name": "test", "version": "1"},
        }
        response = await self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        self.welcome = response.json()
        self.headers["mcp-session-id"] = response.headers["mcp-session-id"]
        self.scope = response.headers["catwalk-sessions"]
        self.headers["mcp-protocol-version"] = self.welcome["result"]["protocolVersion"]
        accepted = await self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert accepted.status_code == 202
        return self

    async def post(self, message: object, **headers: str) -> httpx.Response:
        return await self.http.post(self.adapter.url, json=message, headers={**self.headers, **headers})

    def call_body(self, request_id: object, name: str, arguments: Json, meta: Json | None = None) -> Json:
        params: Json = {"name": name, "arguments": arguments}
        if meta:
            params["_meta"] = meta
        return {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}

    async def call(
        self, request_id: object, tool: str, meta: Json | None = None, **arguments: object
    ) -> httpx.Response:
        return await self.post(self.call_body(request_id, tool, arguments, meta))

    async def until_held(self, name: str) -> None:
        """Wait until the server works on the call `hold` of that name."""
        with anyio.fail_after(20):
            while name not in text_of((await self.call("probe", "holding")).json()):
                await anyio.lowlevel.checkpoint()


def text_of(message: Json) -> str:
    return str(message["result"]["content"][0]["text"])


def events_of(response: httpx.Response) -> list[Json]:
    """The messages of a whole event stream."""
    return [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]


def modern_body(
    method: str, params: Json | None = None, request_id: object = 1, capabilities: Json | None = None
) -> Json:
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": capabilities or {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    }
    given = dict(params or {})
    given["_meta"] = {**meta, **given.get("_meta", {})}
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": given}


def modern_headers(body: Json) -> dict[str, str]:
    headers = {
        "accept": BOTH,
        "content-type": "application/json",
        "mcp-protocol-version": MODERN,
        "mcp-method": body["method"],
    }
    name = body["params"].get("name") or body["params"].get("uri")
    return {**headers, "mcp-name": name} if name else headers
