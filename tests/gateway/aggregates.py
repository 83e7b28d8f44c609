"""A gateway with several servers, for tests of the common address."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import CallToolResult, ElicitRequest, ElicitRequestFormParams, InputRequiredResult, TextContent
from pydantic import BaseModel

from gateway.app import Readiness, create_app
from gateway.routing import RouteTable
from gateway.settings import GatewaySettings
from tests.gateway.conftest import SESSION_KEY, AsgiApp, serve, upstream_at

MODERN = "2026-07-28"
ERAS = ["legacy", MODERN]
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}
ACCEPT = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


@dataclass
class Aggregate:
    port: int
    routes: RouteTable

    @property
    def mcp(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"


@asynccontextmanager
async def aggregate_of(
    upstreams: Mapping[str, int], *, edge: bool = True, **settings: object
) -> AsyncIterator[Aggregate]:
    """A gateway whose servers are at these ports; without `edge` it carries everything by ASGI."""
    routes = RouteTable([upstream_at(port, name) for name, port in upstreams.items()])
    values = {"session_key": SESSION_KEY, **settings}
    app = create_app(GatewaySettings(**values), routes, lambda: Readiness(is_ready=True))
    async with serve(app, lifespan="on", http=app.http_protocol if edge else "httptools") as port:
        yield Aggregate(port=port, routes=routes)


def http_app(server: MCPServer, *, json_response: bool = False) -> AsgiApp:
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    return server.streamable_http_app(transport_security=security, json_response=json_response)


@asynccontextmanager
async def aggregate_of_servers(
    servers: Mapping[str, MCPServer], *, dead: Mapping[str, int] = {}, **settings: object
) -> AsyncIterator[Aggregate]:
    """The same over official servers, each with an HTTP address of its own."""
    async with AsyncExitStack() as running:
        ports = {
            name: await running.enter_async_context(serve(http_app(each), lifespan="on"))
            for name, each in servers.items()
        }
        yield await running.enter_async_context(aggregate_of({**ports, **dead}, **settings))


@asynccontextmanager
async def aggregate_of_apps(apps: Mapping[str, AsgiApp], **settings: object) -> AsyncIterator[Aggregate]:
    """The same over ASGI applications that stand for machines."""
    async with AsyncExitStack() as running:
        ports = {name: await running.enter_async_context(serve(each)) for name, each in apps.items()}
        yield await running.enter_async_context(aggregate_of(ports, **settings))


class Confirmation(BaseModel):
    ok: bool


def talker(name: str, *, delay: asyncio.Event | None = None) -> MCPServer:
    """A server whose tools, prompts and resources say its name."""
    server = MCPServer(name, log_level="ERROR")
    _add_resources(server, name)

    @server.tool()
    def whoami() -> str:
        """Says who it is."""
        return name

    @server.tool()
    async def ask(ctx: Context) -> str | InputRequiredResult:
        """Asks its user."""
        if ctx.protocol_version != MODERN:
            return f"{name}: {(await ctx.elicit(f'{name} asks', Confirmation)).action}"
        if ctx.input_responses:
            return f"{name}: {ctx.input_responses['user'].action}"
        params = ElicitRequestFormParams(message=f"{name} asks", requested_schema=Confirmation.model_json_schema())
        question = {"user": ElicitRequest(params=params)}
        return InputRequiredResult(input_requests=question, request_state=f"state of {name}")

    @server.tool()
    async def count(to: int, ctx: Context) -> str:
        """Reports as it goes."""
        for step in range(to):
            await ctx.report_progress(step + 1, to)
        return f"{name} counted"

    @server.tool()
    async def wait() -> str:
        """Waits until it is let go."""
        assert delay is not None
        await delay.wait()
        return f"{name} waited"

    return server


def _add_resources(server: MCPServer, name: str) -> None:
    @server.prompt()
    def greet(who: str) -> str:
        """Greets."""
        return f"{name} greets {who}"

    @server.resource(f"{name}://own")
    def own() -> str:
        return f"own of {name}"

    @server.resource("shared://notes")
    def notes() -> str:
        return f"notes of {name}"

    @server.resource(name + "://{item}/data")
    def data(item: str) -> str:
        return f"{item} of {name}"


def text_of(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


def modern(method: str, number: object = 1, *, name: str | None = None, **params: object) -> dict[str, Any]:
    """A request of a stateless client, as arguments of `httpx`."""
    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, "_meta": META}}
    headers = {**ACCEPT, "mcp-protocol-version": MODERN, "mcp-method": method}
    if name is not None:
        headers["mcp-name"] = name
    return {"content": json.dumps(body), "headers": headers}


class LegacyClient:
    """A client with a session that sends what a test says."""

    def __init__(self, url: str, client: httpx.AsyncClient, session: str, headers: Mapping[str, str]) -> None:
        self.url = url
        self.client = client
        self.headers = {**ACCEPT, "mcp-protocol-version": "2025-11-25", "mcp-session-id": session, **headers}

    async def post(self, method: str, number: object = 1, **params: object) -> httpx.Response:
        body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        return await self.client.post(self.url, content=json.dumps(body), headers=self.headers)

    async def send(self, message: object) -> httpx.Response:
        return await self.client.post(self.url, content=json.dumps(message), headers=self.headers)


async def legacy_client(
    url: str,
    client: httpx.AsyncClient,
    *,
    version: str = "2025-11-25",
    capabilities: object = None,
    headers: Mapping[str, str] = {},
) -> LegacyClient:
    params = {
        "protocolVersion": version,
        "capabilities": capabilities or {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    answer = await client.post(url, content=json.dumps(body), headers={**ACCEPT, **headers})
    assert answer.status_code == 200, answer.text
    started = LegacyClient(url, client, answer.headers["mcp-session-id"], headers)
    await started.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    return started


def message_of(answer: httpx.Response) -> dict[str, Any]:
    """The response in an answer of either form."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
        return json.loads(data[-1])
    return answer.json()
