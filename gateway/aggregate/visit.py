"""One request of a client to the aggregate, and the ways to answer it."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.aggregate.callers import View
from gateway.aggregate.events import COMMENT, STREAM_HEADERS, event_of
from gateway.client import Client
from gateway.headers import is_client_header
from gateway.problems import UPSTREAM_FAULT_CODE
from gateway.protocol.errors import Refusal, modern_status
from gateway.protocol.headers import NAME_HEADER
from gateway.protocol.scan import json_object
from gateway.relay.wire import Headers

_NAME = NAME_HEADER.encode("ascii")
_TRACED = frozenset({b"traceparent", b"tracestate", b"baggage"})
_IDENTIFYING = frozenset({b"host", b"origin", b"authorization"})


@dataclass(slots=True)
class Told:
    """What turned out of a request."""

    is_modern: bool = False
    by_server: bool = False
    """Whether a server's own address tells the observers of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """See the module. Header names are lower case."""

    client: Client
    view: View
    http_method: str
    raw_headers: Headers
    outlet: "Outlet"
    first: Mapping[bytes, bytes]
    """The first value of each header."""
    told: Told = field(default_factory=Told)

    @property
    def is_modern(self) -> bool:
        """Whether the client is one without sessions."""
        return self.told.is_modern

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """The headers as text, duplicates included."""
        return [(name.decode("latin-1"), value.decode("latin-1").strip(" \t")) for name, value in self.raw_headers]

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        value = self.first.get(name.encode("ascii"))
        return value.decode("latin-1").strip(" \t") if value is not None else None

    @property
    def identity(self) -> Headers:
        """What every request to a server inherits: who asks, from where, and the trace it belongs to."""
        return identity_of(self.raw_headers)

    def passed_headers(self, name: str | None) -> Headers:
        """The headers of a modern request that goes to one server, with the name that this server knows."""
        return passed_headers(self.raw_headers, name)

    async def refuse(self, refusal: Refusal, raw_id: str | None) -> None:
        """Answer with an error: a legacy client gets it with status 200, where it is about a request it could read."""
        status = refusal.status if self.is_modern or refusal.http_status is not None or raw_id is None else 200
        await self.outlet.finish(refusal.body(raw_id).decode("utf-8"), status=status)

    async def answer(self, raw_id: str, result: str) -> None:
        """Answer with a result, given as JSON text."""
        await self.outlet.finish(f'{{"jsonrpc":"2.0","id":{raw_id},"result":{result}}}')

    async def accepted(self) -> None:
        """A notification or a response was taken."""
        await self.client.start(202, ((b"content-length", b"0"),))
        await self.client.write(b"", more=False)


def identity_of(headers: Headers) -> Headers:
    """Of a request's headers what every request to a server inherits."""
    return [header for header in headers if header[0] in _IDENTIFYING or header[0] in _TRACED]


def passed_headers(headers: Headers, name: str | None) -> Headers:
    """Of a stateless request's headers those that go to one server, with the name that this server knows."""
    kept = [
        header
        for header in headers
        if header[0] in _IDENTIFYING or (header[0] != _NAME and is_client_header(header[0]))
    ]
    return kept if name is None else [*kept, (_NAME, name.encode("ascii"))]


class Outlet:
    """The answer to one request: plain JSON, unless something has to be said before it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = asyncio.Lock()
        self._is_over = False
        self.is_stream = False

    async def say(self, message: str) -> None:
        """Send a message beside the answer; the answer becomes an event stream. After its end nobody hears it."""
        async with self._lock:
            if not self._is_over:
                await self._begin()
                await self._client.write(event_of(message), more=True)

    async def comment(self) -> None:
        """A sign of life on a stream."""
        async with self._lock:
            await self._begin()
            await self._client.write(COMMENT, more=True)

    async def finish(self, message: str, *, status: int = 200, headers: Headers = ()) -> None:
        """Send the answer itself."""
        async with self._lock:
            self._is_over = True
            if self.is_stream:
                await self._client.write(event_of(message), more=False)
                return
            body = message.encode("utf-8")
            framing = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
            await self._client.start(status, [*framing, *headers])
            await self._client.write(body, more=False)

    async def end(self) -> None:
        """End a stream without an answer."""
        async with self._lock:
            await self._begin()
            self._is_over = True
            await self._client.write(b"", more=False)

    async def _begin(self) -> None:
        if not self.is_stream:
            self.is_stream = True
            await self._client.start(200, STREAM_HEADERS)


def fault(server: str, cause: str) -> Refusal:
    """The error for a call whose server could not be asked."""
    return Refusal(
        code=UPSTREAM_FAULT_CODE,
        message=f"The server cannot be used: {server}: {cause}",
        data={"server": server},
        http_status=502,
    )


def error_status(text: str, *, is_modern: bool) -> int:
    """The HTTP status that goes with an answer of a server that was read as a whole."""
    if not is_modern or '"error"' not in text:
        return 200
    code = json_object(json_object(json.loads(text)).get("error")).get("code")
    return modern_status(code) if isinstance(code, int) else 200
