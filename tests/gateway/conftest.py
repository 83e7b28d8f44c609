"""Real sockets for the gateway's tests: uvicorn with the gateway, uvicorn or a raw script as the upstream."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio
import pytest
import uvicorn
from litestar.types import ControllerRouterHandler

from gateway.app import Readiness, create_app
from gateway.relay import RelayLimits
from gateway.routing import RouteTable, Upstream
from gateway.settings import GatewaySettings

SESSION_KEY = b"k" * 32
_data_path = ["edge"]
"""By which of its two ways the gateway under test carries calls: below ASGI where possible, or always by ASGI."""
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
AsgiApp = Callable[..., Awaitable[None]]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that nobody announces, for ten seconds at most."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - what is waited for (uvicorn, a pool's sweep) sets no event.
            await asyncio.sleep(0.005)


@asynccontextmanager
async def serve(
    app: AsgiApp,
    *,
    lifespan: Literal["on", "off"] = "off",
    http: type[asyncio.Protocol] | str = "httptools",
    keep_alive_s: float = 5,
) -> AsyncIterator[int]:
    """Run an ASGI application on a free loopback port; yields the port."""
    async with serve_stoppably(app, lifespan=lifespan, http=http, keep_alive_s=keep_alive_s) as (port, _):
        yield port


@asynccontextmanager
async def serve_stoppably(
    app: AsgiApp, *, lifespan: str, http: type[asyncio.Protocol] | str, keep_alive_s: float
) -> AsyncIterator[tuple[int, Callable[[], None]]]:
    """As `serve`; also yields what asks the server to stop, as SIGTERM does."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_config=None,
        access_log=False,
        ws="none",
        lifespan=lifespan,
        http=http,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=keep_alive_s,
    )
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        await until(lambda: server.started)

        def stop() -> None:
            server.should_exit = True

        try:
            yield server.servers[0].sockets[0].getsockname()[1], stop
        finally:
            stop()


@dataclass
class ScriptedServer:
    """A TCP server that does what the test says with each connection."""

    port: int
    connections: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a script was ended by the other side."""


@asynccontextmanager
async def scripted(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedServer]:
    state = ScriptedServer(port=0)
    tasks: set[asyncio.Task[None]] = set()

    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        tasks.add(asyncio.current_task())
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            state.closed.set()
        finally:
            writer.close()

    server = await asyncio.start_server(on_connect, "127.0.0.1", 0, ssl=tls)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head and the body of one request with a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return head, await reader.readexactly(length)


def upstream_at(port: int, server: str = "time") -> Upstream:
    return Upstream(
        server=server, app=f"acme-{server}", host="127.0.0.1", port=port, authority=f"acme-{server}.flycast"
    )


@dataclass
class RunningGateway:
    port: int
    routes: RouteTable
    stop: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def mcp(self) -> str:
        return f"{self.url}/servers/time/mcp"


@asynccontextmanager
async def gateway_to(
    port: int,
    *,
    relay: RelayLimits | None = None,
    handlers: Sequence[ControllerRouterHandler] = (),
    ready: bool = True,
    keep_alive_s: float = 5,
    **settings: object,
) -> AsyncIterator[RunningGateway]:
    """A gateway with one server, `time`, at that port."""
    routes = RouteTable([upstream_at(port)])
    app = create_app(
        GatewaySettings(session_key=SESSION_KEY, relay=relay or RelayLimits(), **settings),
        routes,
        lambda: Readiness(is_ready=ready, detail="" if ready else "no pass is done yet"),
        route_handlers=handlers,
    )
    http = app.http_protocol if _data_path[-1] == "edge" else "httptools"
    async with serve_stoppably(app, lifespan="on", http=http, keep_alive_s=keep_alive_s) as (own_port, stop):
        yield RunningGateway(port=own_port, routes=routes, stop=stop)


@pytest.fixture(params=["edge", "asgi"])
def data_path(request) -> Iterator[None]:
    """Runs a test once for each way through the gateway."""
    _data_path.append(request.param)
    yield
    _data_path.pop()


@pytest.fixture
def limits() -> RelayLimits:
    return RelayLimits(connect_timeout_s=5, head_timeout_s=5, send_timeout_s=5)


async def read_body(receive: Callable[[], Awaitable[dict[str, Any]]]) -> bytes:
    """The whole request body of an ASGI request."""
    pieces: list[bytes] = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)


async def reply(
    send: Callable[[dict[str, Any]], Awaitable[None]],
    status: int,
    body: bytes = b"",
    headers: tuple[tuple[bytes, bytes], ...] = ((b"content-type", b"application/json"),),
) -> None:
    """A complete ASGI response."""
    framing = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, framing]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


@pytest.fixture
def unused_port() -> int:
    """A loopback port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
