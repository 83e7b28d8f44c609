"""A loopback HTTP server that answers what a test scripts, also by breaking off, and a clock that tests own."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import h11
import pytest

from reconciler.core.secret import SecretValue
from reconciler.core.types import Revision
from reconciler.fly.client import MachinesAPI, Timing
from reconciler.fly.fleet import FlyFleet
from reconciler.fly.session import Patience

REVISION = Revision(commit="c" * 40, branch="main", source="test")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def call(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What is sent back."""

    status: int = 200
    body: object = field(default_factory=dict)
    """JSON, or bytes as they are."""
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    """The request was received, and the connection closes without a word."""
    cut: bool = False
    """The connection closes in the middle of the body."""
    mute: bool = False
    """Nothing is sent for as long as the client stays."""

    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def as_reply(script: object) -> Reply:
    """A reply as it stands; a pair is status and body; anything else is the body of a 200."""
    if isinstance(script, Reply):
        return script
    if isinstance(script, tuple):
        status, body = script
        return Reply(status=status, body=body)
    return Reply(body=script)


class ScriptedServer:
    """Answers by route, reply after reply; the last one stays. What is not scripted is Go's plain 404."""

    lost = Reply(lost=True)
    mute = Reply(mute=True)
    reply = Reply

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.url = ""
        self._routes: dict[tuple[str, str], list[object]] = {}

    def on(self, method: str, path: str, *replies: object) -> None:
        self._routes[(method, path)] = list(replies)

    def calls(self, method: str = "", path: str = "") -> list[Seen]:
        return [seen for seen in self.seen if method in {"", seen.method} and path in {"", seen.path}]

    def reply_to(self, seen: Seen) -> Reply:
        script = self._routes.get((seen.method, seen.path))
        if not script:
            return Reply(status=404, body=b"404 page not found", headers={"content-type": "text/plain"})
        reply = script.pop(0) if len(script) > 1 else script[0]
        return as_reply(reply(seen) if callable(reply) else reply)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            connection = h11.Connection(h11.SERVER)
            while seen := await self._read(connection, reader):
                self.seen.append(seen)
                reply = self.reply_to(seen)
                if reply.mute:
                    await reader.read()
                if not await self._write(connection, writer, reply):
                    break
                connection.start_next_cycle()
        except (ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _read(self, connection: h11.Connection, reader: asyncio.StreamReader) -> Seen | None:
        request, body = None, b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                return _seen(request, body)
            else:
                return None

    async def _write(self, connection: h11.Connection, writer: asyncio.StreamWriter, reply: Reply) -> bool:
        if reply.lost or reply.mute:
            return False
        body = reply.encoded()
        defaults = {"content-type": "application/json; charset=utf-8", "fly-request-id": "01REQUEST-iad"}
        headers = defaults | reply.headers | {"content-length": str(len(body))}
        writer.write(connection.send(h11.Response(status_code=reply.status, headers=list(headers.items()))) or b"")
        if reply.cut:
            writer.write(body[: len(body) // 2])
            await writer.drain()
            return False
        writer.write(connection.send(h11.Data(data=body)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        return True


def _seen(request: h11.Request, body: bytes) -> Seen:
    url = urlsplit(request.target.decode())
    return Seen(
        method=request.method.decode(),
        path=url.path,
        query=dict(parse_qsl(url.query)),
        headers={name.decode().lower(): value.decode() for name, value in request.headers},
        body=body,
    )


class OwnedTime:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)

    @property
    def timing(self) -> Timing:
        return Timing(monotonic=self.monotonic, sleep=self.sleep, fraction=lambda: 1.0)


@pytest.fixture
def clock() -> OwnedTime:
    return OwnedTime()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer()
    listening = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield scripted
    finally:
        listening.close()


@pytest.fixture
async def api(server: ScriptedServer, clock: OwnedTime) -> AsyncIterator[MachinesAPI]:
    async with MachinesAPI(base_url=server.url, token=SecretValue("FlyV1 fm2_secret"), timing=clock.timing) as client:
        yield client


@pytest.fixture
def fleet(api: MachinesAPI) -> FlyFleet:
    patience = Patience(launch_s=120, slice_s=10, settle_s=20, prepare_s=20)
    return FlyFleet(api, fleet="acme", organization="acme-org", gateway_network="gateway", patience=patience)


@pytest.fixture
def revision() -> Revision:
    return REVISION
