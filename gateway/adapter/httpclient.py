"""HTTP/1.1 to a server on this machine: pooled connections, bodies in pieces, bounded heads. Nothing is ever repeated.

An idle connection is used again only for a short time, because servers close theirs after a few seconds and a request
that meets the close would be lost.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
import h11

_CONNECT_S = 5.0
_MAX_IDLE_S = 2.0
_MAX_IDLE = 16
_CHUNK_BYTES = 64 * 1024
_MAX_HEAD_BYTES = 64 * 1024

Headers = Sequence[tuple[str, str]]


class HttpFault(Exception):
    """There is no usable answer: no connection, a broken one, or something that is not HTTP."""


class _Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self.idle_since_s = 0.0

    async def send(self, *events: h11.Event) -> None:
        for event in events:
            data = self.machine.send(event)
            if data:
                self.writer.write(data)
        await self.writer.drain()

    async def next_event(self) -> h11.Event:
        while True:
            event = self.machine.next_event()
            if event is h11.NEED_DATA:
                self.machine.receive_data(await self.reader.read(_CHUNK_BYTES))
            elif isinstance(event, h11.Event):
                return event
            else:
                raise HttpFault("the server sent more than its answer")

    def is_reusable(self) -> bool:
        return self.machine.our_state is h11.DONE and self.machine.their_state is h11.DONE

    def close(self) -> None:
        self.writer.close()


class HttpAnswer:
    """The head of an answer, and its body in pieces."""

    def __init__(self, wire: _Wire, head: h11.Response) -> None:
        self._wire = wire
        self.status = head.status_code
        self._headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        return next((value for each, value in self._headers if each == name), None)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises HttpFault when it breaks off."""
        try:
            while True:
                event = await self._wire.next_event()
                if isinstance(event, h11.Data):
                    yield bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    return
                else:
                    raise HttpFault("the answer breaks off")
        except (OSError, h11.RemoteProtocolError) as error:
            raise HttpFault(f"the answer breaks off: {error}") from error


class HttpClient:
    """Requests to one port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Wire] = []

    @asynccontextmanager
    async def request(self, method: str, path: str, headers: Headers, body: bytes = b"") -> AsyncGenerator[HttpAnswer]:
        """Send a request; the answer is read inside the block. Raises HttpFault."""
        wire = self._take() or await self._connect()
        try:
            yield await self._exchange(wire, method, path, (headers, body))
        except BaseException:
            wire.close()
            raise
        if wire.is_reusable() and len(self._idle) < _MAX_IDLE:
            wire.machine.start_next_cycle()
            wire.idle_since_s = time.monotonic()
            self._idle.append(wire)
        else:
            wire.close()

    async def _exchange(self, wire: _Wire, method: str, path: str, content: tuple[Headers, bytes]) -> HttpAnswer:
        headers, body = content
        head = [("Host", f"127.0.0.1:{self._port}"), *headers, ("Content-Length", str(len(body)))]
        try:
            await wire.send(
                h11.Request(method=method, target=path, headers=head), h11.Data(data=body), h11.EndOfMessage()
            )
            while True:
                event = await wire.next_event()
                if isinstance(event, h11.Response):
                    return HttpAnswer(wire, event)
                if not isinstance(event, h11.InformationalResponse):
                    raise HttpFault("the server closed the connection without an answer")
        except (OSError, h11.ProtocolError) as error:
            raise HttpFault(f"no answer: {error}") from error

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> _Wire | None:
        while self._idle:
            wire = self._idle.pop()
            if time.monotonic() - wire.idle_since_s < _MAX_IDLE_S and not wire.reader.at_eof():
                return wire
            wire.close()
        return None

    async def _connect(self) -> _Wire:
        try:
            with anyio.fail_after(_CONNECT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except (OSError, TimeoutError) as error:
            raise HttpFault(f"no connection to port {self._port}: {error}") from error
        return _Wire(reader, writer)


async def is_listening(port: int) -> bool:
    """Whether something accepts connections on a port of this machine."""
    try:
        with anyio.fail_after(_CONNECT_S):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
