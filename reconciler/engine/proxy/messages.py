"""HTTP/1.1 messages read from a stream: a head, the pieces of its body as they come, and its end.

The parser is llhttp (through httptools), which refuses what smuggling needs: conflicting lengths, bare carriage
returns, obsolete folding. Reading stops while nobody takes what was read, so a slow receiver slows its sender down.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum

import httptools

READ_SIZE = 65_536
HEAD_LIMIT = 65_536
"""Bytes read before a head is complete. llhttp itself has no limit."""

Headers = list[tuple[bytes, bytes]]


class BadMessage(Exception):
    """What came is no HTTP/1.1, or more of a head than is taken."""


class StreamEnded(Exception):
    """The other side closed before its message was complete, or before it began one."""


class End(Enum):
    """The end of one message."""

    OF_MESSAGE = 0


@dataclass(slots=True, kw_only=True)
class Head:
    """The start of a message. One type for both directions keeps the hot path short."""

    headers: Headers
    """Names in lower case, in the order of their coming."""
    keep_alive: bool
    method: bytes = b""
    target: bytes = b""
    status: int = 0
    reason: bytes = b""
    version: str = "1.1"

    def first(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    def has(self, name: bytes) -> bool:
        return self.first(name) is not None


Part = Head | bytes | End


class MessageReader:
    """Shared by both directions: feeds a parser and queues what it finds."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._parts: deque[Part] = deque()
        self._headers: Headers = []
        self._target = b""
        self._reason = b""
        self._head_size = 0
        self._parser = self._new_parser()

    def _new_parser(self) -> "httptools.HttpRequestParser | httptools.HttpResponseParser":
        raise NotImplementedError

    def _head(self) -> Head:
        raise NotImplementedError

    # Called by the parser.

    def on_message_begin(self) -> None:
        self._headers = []
        self._target = self._reason = b""

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._head_size = -1
        self._parts.append(self._head())

    def on_body(self, piece: bytes) -> None:
        self._parts.append(piece)

    def on_message_complete(self) -> None:
        self._head_size = 0
        self._parts.append(End.OF_MESSAGE)

    # Called by the proxy.

    def ready(self) -> list[Part]:
        """What was parsed already, up to the end of the present message."""
        found: list[Part] = []
        while self._parts:
            found.append(self._parts.popleft())
            if found[-1] is End.OF_MESSAGE:
                break
        return found

    def complete(self) -> bool:
        """Whether the end of a message has been read."""
        return End.OF_MESSAGE in self._parts

    async def parts(self) -> list[Part]:
        """The next parts of the message, at least one, without waiting for more than has come.

        Raises:
            BadMessage: it cannot be parsed.
            StreamEnded: the other side closed.
        """
        while not self._parts:
            await self._feed()
        return self.ready()

    async def head(self) -> Head:
        """The start of the next message; see `parts` for what it raises."""
        while not self._parts:
            await self._feed()
        part = self._parts.popleft()
        assert isinstance(part, Head), "a message begins with its head"
        return part

    async def _feed(self) -> None:
        try:
            chunk = await self._stream.read(READ_SIZE)
        except ConnectionError as error:
            raise StreamEnded from error
        if not chunk:
            self._at_end()
            return
        if self._head_size >= 0:
            self._head_size += len(chunk)
        if self._head_size > HEAD_LIMIT:
            # A head may share its last chunk with a body, so the true limit lies up to one read higher.
            raise BadMessage(f"a head larger than {HEAD_LIMIT} bytes")
        try:
            self._parser.feed_data(chunk)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise BadMessage(str(error)) from error

    def _at_end(self) -> None:
        raise StreamEnded


class RequestReader(MessageReader):
    def _new_parser(self) -> "httptools.HttpRequestParser":
        return httptools.HttpRequestParser(self)

    def _head(self) -> Head:
        parser = self._parser
        assert isinstance(parser, httptools.HttpRequestParser)
        return Head(
            headers=self._headers,
            keep_alive=parser.should_keep_alive(),
            method=parser.get_method(),
            target=self._target,
            version=parser.get_http_version(),
        )


class ResponseReader(MessageReader):
    """Reads answers. One without a length and without chunks ends with its connection."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        super().__init__(stream)
        self._until_close = False

    def _new_parser(self) -> "httptools.HttpResponseParser":
        return httptools.HttpResponseParser(self)

    def _head(self) -> Head:
        parser = self._parser
        assert isinstance(parser, httptools.HttpResponseParser)
        head = Head(
            headers=self._headers,
            keep_alive=parser.should_keep_alive(),
            status=parser.get_status_code(),
            reason=self._reason,
            version=parser.get_http_version(),
        )
        sized = head.has(b"content-length") or head.has(b"transfer-encoding")
        self._until_close = not sized and head.status >= 200
        return head

    def _at_end(self) -> None:
        if not self._until_close:
            raise StreamEnded
        self._until_close = False
        self._parts.append(End.OF_MESSAGE)
