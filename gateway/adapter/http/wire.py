"""The ASGI pieces that every handler uses: a request with its headers, bounded bodies, replies, event streams."""

import os
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import cast

from gateway.adapter.child import DEFAULT_MESSAGE_BYTES
from gateway.adapter.http.watched import CONNECTION, ClientConnection
from gateway.protocol.affinity import PRINCIPAL_HEADER

Scope = MutableMapping[str, object]
Event = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Streaming = Callable[[], Awaitable[None]]
"""What is left to do when a stream has been opened: serve it to its end. It goes up to the edge of the application,
so that no handler stays in memory for as long as the stream is open.
"""

JSON_TYPE = (b"content-type", b"application/json")
EVENT_STREAM_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
KEEP_ALIVE_COMMENT = b": keep-alive\n\n"


def _machine_header() -> tuple[tuple[bytes, bytes], ...]:
    machine = os.environ.get("FLY_MACHINE_ID", "")
    return ((b"catwalk-machine", machine.encode("latin-1", "replace")),) if machine else ()


MACHINE_HEADER = _machine_header()
"""Names the machine in every answer of the MCP endpoint, so that the gateway can pin a session to it."""


class BodyTooLarge(Exception):
    """The body is larger than a message may be."""


class ClientDisconnected(Exception):
    """The client left before its request was complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One HTTP request and the way to answer it. `raw_headers` are those of ASGI, whose names are in lower case.

    They are read when they are asked for, because most are never, and an open stream holds its exchange for hours.
    """

    method: str
    path: str
    raw_headers: Sequence[tuple[bytes, bytes]]
    receive: Receive
    send: Send
    max_body_bytes: int = DEFAULT_MESSAGE_BYTES
    connection: ClientConnection | None = None

    @property
    def principal(self) -> str:
        """Who calls, as the gateway says; empty where nobody is told apart."""
        return self.header(PRINCIPAL_HEADER) or ""

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Every header as (lower-case name, value), duplicates included."""
        return [(name.decode("latin-1"), _text(value)) for name, value in self.raw_headers]

    def header(self, name: str) -> str | None:
        """The first value of a header, None when absent."""
        wanted = name.encode("latin-1")
        for each, value in self.raw_headers:
            if each == wanted:
                return _text(value)
        return None


def exchange_of(scope: Scope, receive: Receive, send: Send, max_body_bytes: int) -> Exchange:
    """Read an ASGI HTTP scope."""
    return Exchange(
        method=cast(str, scope["method"]),
        path=cast(str, scope["path"]),
        raw_headers=cast(Sequence[tuple[bytes, bytes]], scope["headers"]),
        receive=receive,
        send=send,
        max_body_bytes=max_body_bytes,
        connection=cast(ClientConnection | None, scope.get(CONNECTION)),
    )


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip(" \t")


async def read_body(exchange: Exchange) -> bytes:
    """The whole body. Raises BodyTooLarge, ClientDisconnected."""
    parts: list[bytes] = []
    size = 0
    while True:
        event = await exchange.receive()
        if event["type"] == "http.disconnect":
            raise ClientDisconnected
        part = cast(bytes, event.get("body", b""))
        size += len(part)
        if size > exchange.max_body_bytes:
            raise BodyTooLarge
        parts.append(part)
        if not event.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def start(exchange: Exchange, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Send the head of a response; every response names the machine."""
    all_headers = [*headers, *MACHINE_HEADER]
    await exchange.send({"type": "http.response.start", "status": status, "headers": all_headers})


async def write(exchange: Exchange, body: bytes, *, more: bool) -> None:
    """Send a piece of the body."""
    await exchange.send({"type": "http.response.body", "body": body, "more_body": more})


async def respond(
    exchange: Exchange, status: int, body: bytes = b"", *, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Send a complete response; a body is JSON."""
    length = (b"content-length", str(len(body)).encode())
    content_type = (JSON_TYPE,) if body else ()
    await start(exchange, status, [*content_type, *headers, length])
    await write(exchange, body, more=False)


def event_of(message: bytes, event_id: str | None = None) -> bytes:
    """One server-sent event. A message is one line, so one data field carries it."""
    if b"\n" in message or b"\r" in message:
        message = message.replace(b"\r", b" ").replace(b"\n", b" ")
    name = b"" if event_id is None else f"id: {event_id}\n".encode()
    return name + b"data: " + message + b"\n\n"


def priming_event(event_id: str, retry_ms: int) -> bytes:
    """An event without a message: it gives a client an id to come back with, and how soon (SEP-1699)."""
    return f"id: {event_id}\nretry: {retry_ms}\ndata: \n\n".encode()
