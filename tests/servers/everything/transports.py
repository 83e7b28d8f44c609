"""Serve over stdio or HTTP, in both eras or as a server that knows only one of them.

A server of one era behaves as those in the field do: a legacy one answers an unknown request with an error, or refuses
the version header; a modern one refuses `initialize` and names the versions that it speaks.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

import anyio
import uvicorn
from mcp import types
from mcp.server.lowlevel import NotificationOptions
from mcp.server.mcpserver import MCPServer
from mcp.server.runner import _serve_modern_stream, serve_loop
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore

LEGACY_VERSIONS = ("2025-03-26", "2025-06-18", "2025-11-25")
MODERN_VERSIONS = ("2026-07-28",)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


async def serve_stdio(server: MCPServer, era: str) -> None:
    lowlevel = server._lowlevel_server
    options = lowlevel.create_initialization_options()
    async with stdio_server() as (read, write):
        if era == "both":
            await lowlevel.run(read, write, options)
            return
        async with lowlevel.lifespan(lowlevel) as state:
            if era == "legacy":
                await serve_loop(lowlevel, read, write, lifespan_state=state, init_options=options)
            else:
                await _serve_modern_stream(lowlevel, read, write, lifespan_state=state, raise_exceptions=False)


class Events(EventStore):
    """The last thousand events of all streams, for clients that come back."""

    def __init__(self) -> None:
        self._events: list[tuple[str, types.JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: types.JSONRPCMessage | None) -> str:
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        number = int(last_event_id)
        stream = self._events[number - 1][0]
        for later, (each, message) in enumerate(self._events[number:], number + 1):
            if each == stream and message is not None:
                await send_callback(EventMessage(message, str(later)))
        return stream


class OneEra:
    """An application that knows the versions of one era only."""

    def __init__(self, app: Application, era: str) -> None:
        self._app = app
        self._era = era

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        version = _version(scope)
        foreign = MODERN_VERSIONS if self._era == "legacy" else LEGACY_VERSIONS
        if scope["type"] == "http" and (version in foreign or (self._era == "modern" and version is None)):
            await self._refuse(send)
        else:
            await self._app(scope, receive, send)

    async def _refuse(self, send: Send) -> None:
        if self._era == "legacy":
            error: dict[str, Any] = {"code": -32600, "message": "Bad Request: Unsupported protocol version"}
        else:
            error = {"code": -32022, "message": "unsupported", "data": {"supported": list(MODERN_VERSIONS)}}
        body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _version(scope: Scope) -> str | None:
    for name, value in scope.get("headers", ()):
        if name == b"mcp-protocol-version":
            return str(value.decode("latin-1"))
    return None


def serve_http(server: MCPServer, era: str, port: int) -> None:
    app: Application = server.streamable_http_app(event_store=Events(), retry_interval=100)
    if era != "both":
        app = OneEra(app, era)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def announce_changes(server: MCPServer) -> None:
    """Have `initialize` say that the lists may change, which the SDK leaves out unless it is told."""
    lowlevel = server._lowlevel_server
    changes = NotificationOptions(True, True, True)
    lowlevel.create_initialization_options = partial(lowlevel.create_initialization_options, changes)


def run(server: MCPServer, *, transport: str, era: str, port: int) -> None:
    announce_changes(server)
    if transport == "stdio":
        anyio.run(serve_stdio, server, era)
    else:
        serve_http(server, era, port)
