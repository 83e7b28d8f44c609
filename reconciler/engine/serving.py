"""Runs the two listening doors of the engine inside an event loop that belongs to somebody else."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from reconciler.engine.api.router import MachinesApi
from reconciler.engine.proxy.server import ProxyServer

BACKLOG = 2048
GRACE_S = 1
"""How long API answers under way may take when the engine ends; a `wait` is cut off then."""


class _QuietServer(uvicorn.Server):
    """Leaves the signals to the program that the engine runs in."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def serve_api(api: MachinesApi, listener: socket.socket, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
    config = uvicorn.Config(
        api,
        http="httptools",
        ws="none",
        loop="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        log_level="critical",
        proxy_headers=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=GRACE_S,
        backlog=BACKLOG,
    )
    server = _QuietServer(config)
    serving = tasks.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait({serving}, timeout=2 * GRACE_S + 1)
        serving.cancel()


@asynccontextmanager
async def serve_proxy(proxy: ProxyServer, listener: socket.socket) -> AsyncGenerator[None]:
    server = await asyncio.get_running_loop().create_server(proxy.protocol, sock=listener, backlog=BACKLOG)
    try:
        yield
    finally:
        server.close()
        proxy.close()
