"""The way from the client to the engine without a socket: it calls the engine's application.

It takes the place of the client's httpx, whose own work (addresses, cookies, pools) costs more than all of the engine's
and is proven against real sockets elsewhere. Of cookies it knows what the platform asks of a client.

It behaves as a connection does where that matters: an answer can be cut off, a caller can leave while the engine still
works on the call, and a process that is dead sends nothing any more.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlencode

import httpx

from reconciler.engine.serving import ABORT, AsgiApp

Message = dict[str, Any]


class Exchange:
    """One call on its way, and the body of its answer."""

    def __init__(self, method: str, path: str, query: bytes, headers: Mapping[str, str], body: bytes) -> None:
        self.scope: Message = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "extensions": {ABORT: {"close": self.cut}},
        }
        self._body: bytes | None = body
        self._arrived: asyncio.Queue[Message] = asyncio.Queue()
        self.gone = asyncio.Event()
        """Set when the caller has left."""

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self._arrived.put_nowait(message)

    def cut(self) -> None:
        self._arrived.put_nowait({"type": "cut"})

    async def next(self) -> Message:
        message = await self._arrived.get()
        if message["type"] == "cut":
            self.gone.set()
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        return message

    async def body(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self.next()
            more = bool(message.get("more_body"))
            yield message.get("body", b"")


class Wire:
    """To one engine. Calls that were begun go on when their caller has left."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._calls: set[asyncio.Task[None]] = set()
        self.faults: list[BaseException] = []
        """What the engine raised, which it never should."""

    async def _serve(self, exchange: Exchange) -> None:
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - it is looked at after the run.
            self.faults.append(error)
        finally:
            exchange.cut()

    def send(self, method: str, path: str, query: bytes, headers: Mapping[str, str], body: bytes) -> Exchange:
        """Begins a call."""
        exchange = Exchange(method, path, query, headers, body)
        call = asyncio.get_running_loop().create_task(self._serve(exchange))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return exchange

    @property
    def busy(self) -> bool:
        """Whether a call that its caller gave up will still have its effect."""
        return any(not call.done() for call in self._calls)

    async def close(self) -> None:
        """Ends the calls that hang for ever."""
        for call in tuple(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)


@dataclass
class Answer:
    """The part of httpx's response that the client reads."""

    status_code: int
    headers: httpx.Headers
    _exchange: Exchange

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        return self._exchange.body()


class Cookies:
    """Values by path, as a browser keeps them."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, str]] = {}

    def of(self, path: str) -> str:
        found = [pair for prefix, pairs in self._kept.items() if path.startswith(prefix) for pair in pairs.items()]
        return "; ".join(f"{name}={value}" for name, value in found)

    def take(self, headers: httpx.Headers) -> None:
        for line in headers.get_list("set-cookie"):
            pair, *more = [part.strip() for part in line.split(";")]
            options = dict(part.partition("=")[::2] for part in more)
            name, _, value = pair.partition("=")
            self._kept.setdefault(options.get("Path", "/"), {})[name] = value


class Client:
    """What `MachinesAPI` needs of httpx's client."""

    def __init__(self, wire: Wire, headers: Mapping[str, str]) -> None:
        self._wire, self._headers, self._cookies = wire, dict(headers), Cookies()
        self.host = "127.0.0.1"

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> AsyncIterator[Answer]:
        cookie = self._cookies.of(path)
        sent = {**self._headers, **(headers or {}), **({"cookie": cookie} if cookie else {})}
        exchange = self._wire.send(method, path, urlencode(params or {}).encode(), sent, content or b"")
        try:
            start = await exchange.next()
            answer = Answer(start["status"], httpx.Headers(start["headers"]), exchange)
            self._cookies.take(answer.headers)
            yield answer
        finally:
            exchange.gone.set()

    async def aclose(self) -> None:
        """There is nothing to close."""
