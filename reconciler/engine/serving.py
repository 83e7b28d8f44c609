"""Runs the two listening doors of the engine inside an event loop that belongs to somebody else."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from reconciler.engine.proxy.server import ProxyServer

Message = dict[str, Any]
AsgiApp = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
BACKLOG = 2048
GRACE_S = 1
"""How long API answers under way may take when the engine ends; a `wait` is cut off then."""

ABORT = "catwalk.abort"
"""The ASGI extension whose `close` ends a connection without an answer."""


class _AbortableProtocol(HttpToolsProtocol):
    """Lets an application drop the connection, which ASGI knows no word for: an injected fault needs it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"close": self.transport.abort}}


class _QuietServer(uvicorn.Server):
    """Leaves the signals to the program that the engine runs in."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def serve_api(api: AsgiApp, listener: socket.socket, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
    config = uvicorn.Config(
        api,
        http=_AbortableProtocol,
        ws="none",
        loop="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        log_level="critical",
        proxy_headers=False,
        server_header=False,
        # Answers tell the time of the engine's own clock, which a simulation may set.
        date_header=False,
        timeout_graceful_shutdown=GRACE_S,
        backlog=BACKLOG,
    )
    # The server's task begins later than the block, by as long as a large fleet takes to be picked up again: whoever
    # calls meanwhile must wait in the backlog, not be refused.
    listener.listen(BACKLOG)
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
