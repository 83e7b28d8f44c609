"""MCP with a server that itself speaks Streamable HTTP on a port of this machine, seen as one channel of messages.

Source: the transport pages of the revisions 2025-11-25 and 2026-07-28. Every message is a POST; what comes back on its
answer is told to belong to it, which stdio cannot. A legacy server's session is opened by `initialize`, its own
messages come on a GET stream, and a stream that breaks off is taken up again where it has event ids. Towards a modern
server the headers are written from the body, and closing an answer is the cancellation.
"""

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup

from gateway.adapter.child import CannotWrite
from gateway.adapter.connection import Connection
from gateway.adapter.events import EventParser, EventTooLarge
from gateway.adapter.httpclient import HttpAnswer, HttpClient, HttpFault
from gateway.protocol.errors import INTERNAL_ERROR
from gateway.protocol.headers import NAME_SOURCES, SESSION_HEADER, VERSION_HEADER, encode_header_value
from gateway.protocol.messages import InvalidMessage, Message, MessageKind, decode_line, read_message
from gateway.protocol.parameters import ParameterHeader, write_parameter_headers
from gateway.protocol.revisions import META_VERSION, NEWEST_MODERN
from gateway.protocol.scan import MalformedJson, json_object

_BOTH = (("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream"))
_STREAM = (("Accept", "text/event-stream"),)
_RETRY_S = 1.0
_MAX_RETRIES = 30
_MAX_ATTEMPTS = 3
_LINGER_S = 1.0
_NOTICE_S = 10.0
_END_S = 2.0
_NOT_FOUND = 404
_INITIALIZED = '{"jsonrpc":"2.0","method":"notifications/initialized"}'
_REDIRECTS = (307, 308)


class HttpHost(Protocol):
    """The process behind a channel."""

    client: HttpClient
    path: str
    max_message_bytes: int
    last_error_lines: deque[str]

    @property
    def pid(self) -> int:
        """Its id."""
        ...

    def wanted_headers(self, tool: object) -> Sequence[ParameterHeader]:
        """The headers that a tool wants of its callers."""
        ...

    async def release(self, channel: "HttpChannel", *, force: bool) -> None:
        """A channel is no longer used."""
        ...


class HttpChannel:
    """See the module. Exchanges run in `tasks`."""

    def __init__(self, connection: Connection, host: HttpHost, tasks: TaskGroup) -> None:
        self._connection = connection
        self._host = host
        self._tasks = tasks
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._background: set[anyio.CancelScope] = set()
        self._session_id: str | None = None
        self._version: str | None = None
        self._hello: Message | None = None
        self._renewing = anyio.Lock()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._introduced = asyncio.Event()
        self._introduced.set()
        self._over = False
        self.last_error_lines = host.last_error_lines

    @property
    def pid(self) -> int:
        """See `Channel`."""
        return self._host.pid

    def write(self, message: bytes) -> None:
        """See `Channel`."""
        if self._over:
            raise CannotWrite("the server has ended")
        parsed = read_message(decode_line(message))
        if parsed.kind is MessageKind.REQUEST and isinstance(parsed.id_value, int):
            self._scopes[parsed.id_value] = anyio.CancelScope()
            self._tasks.start_soon(self._request, parsed, parsed.id_value)
        elif parsed.method == "notifications/cancelled":
            self._cancel(parsed)
        else:
            if parsed.method == "notifications/initialized":
                self._introduced.clear()
            self._tasks.start_soon(self._notice, parsed)

    def pause_reading(self) -> None:
        """See `Channel`."""
        self._may_read.clear()

    def resume_reading(self) -> None:
        """See `Channel`."""
        self._may_read.set()

    async def end(self, *, force: bool = False) -> None:
        """See `Channel`."""
        with anyio.CancelScope(shield=True):
            if self._session_id is not None and not self._over and not force:
                with anyio.move_on_after(_END_S):
                    await self._delete()
            self.stop()
            await self._host.release(self, force=force)

    def stop(self) -> None:
        """Give up everything that runs."""
        self._over = True
        for scope in [*self._scopes.values(), *self._background]:
            scope.cancel()

    def ended(self, status: int) -> None:
        """The process is gone."""
        self.stop()
        self._connection.ended(status)

    def _cancel(self, message: Message) -> None:
        """Towards a modern server, closing the answer; towards a legacy one, the notice, and nothing waits any more."""
        wanted = message.params.get("requestId")
        scope = self._scopes.get(wanted) if isinstance(wanted, int) else None
        if self._version is not None:
            self._tasks.start_soon(self._notice, message)
        if scope is not None:
            scope.cancel()

    async def _request(self, message: Message, own_id: int) -> None:
        detail = "the server closed its answer too early"
        with self._scopes[own_id]:
            try:
                await self._introduced.wait()
                await self._exchange(message, own_id)
            except HttpFault as fault:
                detail = str(fault)
            except EventTooLarge:
                detail = "the server's answer is larger than a message may be"
        self._scopes.pop(own_id, None)
        if not self._over:
            self._connection.fail(own_id, detail)

    async def _notice(self, message: Message) -> None:
        """Send what has no answer."""
        scope = anyio.CancelScope(deadline=anyio.current_time() + _NOTICE_S)
        self._background.add(scope)
        introduces = message.method == "notifications/initialized"
        try:
            with scope:
                async with self._post(message) as answer:
                    await _drain(answer)
                if introduces and self._session_id is not None:
                    self._tasks.start_soon(self._listen)
        except HttpFault:
            return  # Its process has gone, which is noticed elsewhere, or it refuses notices, which is its right.
        finally:
            self._background.discard(scope)
            if introduces:
                self._introduced.set()

    async def _exchange(self, message: Message, own_id: int) -> None:
        """Send a request, again where it was refused unread: sent to an old path, or to a session that is gone."""
        left: tuple[str | None, float] = (None, 0.0)
        for _ in range(_MAX_ATTEMPTS):
            session_id = self._session_id
            async with self._post(message) as answer:
                moved = answer.status in _REDIRECTS and self._follow(answer.header("location"))
                forgotten = answer.status == _NOT_FOUND and session_id is not None
                if moved or forgotten:
                    await _drain(answer)
                else:
                    left = await self._take_answer(answer, message, own_id)
            if forgotten:
                await self._renew(session_id)
            elif not moved:
                break
        await self._take_up(own_id, *left)

    async def _renew(self, session_id: str | None) -> None:
        """Open another session in place of one that the server has forgotten."""
        async with self._renewing:
            if self._session_id != session_id or self._hello is None:
                return
            self._session_id = None
            async with self._post(self._hello) as answer:
                renewed = answer.header(SESSION_HEADER)
                await _drain(answer)
            self._session_id = renewed
            async with self._post(read_message(_INITIALIZED)) as answer:
                await _drain(answer)
            self._connection.renewed()

    async def _take_answer(self, answer: HttpAnswer, message: Message, own_id: int) -> tuple[str | None, float]:
        """Pass an answer on; returns as `_events`."""
        if message.method == "initialize":
            self._session_id = answer.header(SESSION_HEADER)
            self._hello = message
        if _is_stream(answer):
            return await self._events(answer, own_id)
        self._take_body(await self._body(answer), own_id, answer.status)
        return None, 0.0

    async def _take_up(self, own_id: int, last_event: str | None, retry_s: float) -> None:
        """Go on with a stream that ended before its answer, as long as the server offers that."""
        for _ in range(_MAX_RETRIES):
            if last_event is None or self._connection.sink_of(own_id) is None:
                return
            await anyio.sleep(retry_s)
            async with self._get(last_event) as answer:
                if not _is_stream(answer):
                    return
                last_event, retry_s = await self._events(answer, own_id, last_event)

    async def _listen(self) -> None:
        """The stream of what belongs to no request, for as long as the session lives and the server offers one."""
        scope = anyio.CancelScope()
        self._background.add(scope)
        left: tuple[str | None, float] | None = (None, _RETRY_S)
        with scope:
            while left is not None and not self._over:
                left = await self._listen_once(left[0])
                await anyio.sleep(max(left[1] if left else 0, _RETRY_S / 10))
        self._background.discard(scope)

    async def _listen_once(self, last_event: str | None) -> tuple[str | None, float] | None:
        """One stream until it ends; returns as `_events`, None when there are no such streams."""
        session_id = self._session_id
        try:
            async with self._get(last_event) as answer:
                if _is_stream(answer):
                    return await self._events(answer, None, last_event)
                if answer.status != _NOT_FOUND:
                    return None
            await self._renew(session_id)
        except (HttpFault, EventTooLarge):
            return None, _RETRY_S
        return None, 0.0

    async def _events(
        self, answer: HttpAnswer, own_id: int | None, last: str | None = None
    ) -> tuple[str | None, float]:
        """Pass the messages of a stream on; returns the last event id, and when to come back for more."""
        parser = EventParser(self._host.max_message_bytes)
        retry_s = _RETRY_S
        with anyio.CancelScope() as scope:
            async for piece in answer.pieces():
                for event in parser.feed(piece):
                    last = event.event_id or last
                    retry_s = retry_s if event.retry_ms is None else event.retry_ms / 1000
                    if event.data:
                        self._take(event.data, own_id)
                if own_id is not None and self._connection.sink_of(own_id) is None:
                    scope.deadline = anyio.current_time() + _LINGER_S
                await self._may_read.wait()
        return last, retry_s

    async def _body(self, answer: HttpAnswer) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for piece in answer.pieces():
            size += len(piece)
            if size > self._host.max_message_bytes:
                raise EventTooLarge
            parts.append(piece)
            await self._may_read.wait()
        return b"".join(parts)

    def _take(self, data: bytes, own_id: int | None) -> None:
        if self._version is None and b'"protocolVersion"' in data:
            self._note_version(data)
        self._connection.line_received(data, own_id)

    def _take_body(self, body: bytes, own_id: int, status: int) -> None:
        """An answer that is one message. An error without an id is about the request that it answers."""
        try:
            members = json_object(json.loads(body))
        except ValueError:
            members = {"error": {"code": INTERNAL_ERROR, "message": f"the server answered with status {status}"}}
        if "error" in members and members.get("id") is None:
            body = json.dumps({**members, "jsonrpc": "2.0", "id": own_id}).encode()
        self._take(body, own_id)

    def _note_version(self, data: bytes) -> None:
        try:
            message = read_message(decode_line(data))
        except (MalformedJson, InvalidMessage):
            return
        result = json_object(message.members["result"].value if "result" in message.members else None)
        version = result.get("protocolVersion")
        if isinstance(version, str):
            self._version = version

    def _follow(self, location: str | None) -> bool:
        """Servers that are mounted under a path send their callers to it with a slash more, or less."""
        path = urlsplit(location or "").path
        if not path or path == self._host.path:
            return False
        self._host.path = path
        return True

    def _post(self, message: Message) -> AbstractAsyncContextManager[HttpAnswer]:
        headers = [*_BOTH, *self._headers(message)]
        return self._host.client.request("POST", self._host.path, headers, message.text.encode())

    def _get(self, last_event: str | None) -> AbstractAsyncContextManager[HttpAnswer]:
        resumed = [("Last-Event-ID", last_event)] if last_event is not None else []
        return self._host.client.request("GET", self._host.path, [*_STREAM, *self._session_headers(), *resumed])

    async def _delete(self) -> None:
        try:
            async with self._host.client.request("DELETE", self._host.path, self._session_headers()) as answer:
                await _drain(answer)
        except HttpFault:
            return

    def _headers(self, message: Message) -> list[tuple[str, str]]:
        if META_VERSION not in message.meta:
            return self._session_headers()
        headers = [("MCP-Protocol-Version", NEWEST_MODERN), ("Mcp-Method", message.method)]
        name = message.params.get(NAME_SOURCES.get(message.method, ""))
        if isinstance(name, str):
            headers.append(("Mcp-Name", encode_header_value(name)))
        if message.method == "tools/call":
            headers += write_parameter_headers(self._host.wanted_headers(name), message.params.get("arguments"))
        return headers

    def _session_headers(self) -> list[tuple[str, str]]:
        given = ((SESSION_HEADER, self._session_id), (VERSION_HEADER, self._version))
        return [(name, value) for name, value in given if value is not None]


def _is_stream(answer: HttpAnswer) -> bool:
    return (answer.header("content-type") or "").partition(";")[0].strip().lower() == "text/event-stream"


async def _drain(answer: HttpAnswer) -> None:
    async for _ in answer.pieces():
        pass
