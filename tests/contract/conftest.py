"""The Fly room against the embedded engine, with a wire in between that tests can listen to and cut.

The wire forwards every request as it is and keeps a copy of both directions. A fault decides, per request, whether the
request or only its answer is lost, or another status is answered although the engine did what it was asked.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TypeVar

import anyio
import h11
import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from reconciler.core.actions import Action, Outcome
from reconciler.core.plan import plan
from reconciler.core.resolve import resolve
from reconciler.core.secret import SecretValue
from reconciler.core.types import (
    DesiredServer,
    PackageReference,
    Registry,
    Revision,
    SecretDeclaration,
    ServerSpec,
    Snapshot,
)
from reconciler.engine.engine import Engine, run_engine
from reconciler.engine.settings import EngineSettings, RateLimits
from reconciler.fly.client import MachinesAPI, Timing
from reconciler.fly.fleet import FlyFleet
from reconciler.fly.logs import FlyLogs
from reconciler.fly.probe import DataPath, MCPProber
from reconciler.fly.session import Patience
from tests.contract.openapi import OPENAPI, Document
from tests.contract.targets import LIVE, NO_TLS, Place, Target, engine_place, opened

TOKEN = "fm2_contract-token"  # The token of a throw-away engine.
IMAGE = "registry.fly.io/catwalk-runner:0.1.0"
REVISION = Revision(commit="c" * 40, branch="main", source="test")
HURRY = 5
"""By how much the client's own time is faster than ours."""
PATIENCE = Patience(launch_s=30 * HURRY, slice_s=2, settle_s=20 * HURRY, prepare_s=10 * HURRY)
PLAINTEXT = "canary-plaintext-of-a-secret"


Found = TypeVar("Found")


class Cut(Enum):
    """What happens to one exchange."""

    BEFORE = "the request is lost"
    ANSWER = "the request arrives and its answer is lost"
    TIMEOUT = "the request arrives and 408 is answered"
    FAULT = "the request arrives and 502 is answered"


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request as it went over the wire, and what came back from the engine."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    answer: bytes = b""
    status: int = 0
    """0 where the client got no answer."""

    @property
    def sets_secrets(self) -> bool:
        return self.method == "POST" and self.path.partition("?")[0].endswith("/secrets")


@dataclass(frozen=True, kw_only=True)
class Instead:
    """An answer that is given without asking the engine."""

    status: int
    body: bytes = b""


Fault = Callable[[Exchange], Cut | Instead | None]
Judge = Callable[[httpx.Response], Awaitable[None]]


async def approve(response: httpx.Response) -> None:
    """The judge where there is no document."""


@dataclass
class Wire:
    """A loopback hop in front of the engine."""

    engine_url: str
    url: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    fault: Fault = lambda _: None
    rewrite: Callable[[Exchange, bytes], bytes] = lambda _, content: content
    """What becomes of the content of each answer on its way."""
    cuts: list[Exchange] = field(default_factory=list)
    judge: Judge = approve
    complaints: list[str] = field(default_factory=list)
    """What the judge did not like about the engine's answers."""

    def cut_once(self, method: str, ending: str, name: str) -> None:
        """Cuts, in the named way, the first request of that method whose path ends so."""
        self.instead(method, ending, Cut[name])

    def instead(self, method: str, ending: str, how: Cut | Instead, *, times: int = 1) -> None:
        """Does the same to the first few requests of that method whose path ends so."""

        def fault(exchange: Exchange) -> Cut | Instead | None:
            fits = exchange.method == method and exchange.path.partition("?")[0].endswith(ending)
            if len(self.cuts) >= times or not fits:
                return None
            self.cuts.append(exchange)
            return how

        self.fault = fault

    def sent(self, method: str, ending: str) -> list[Exchange]:
        found = [exchange for exchange in self.exchanges if exchange.method == method]
        return [exchange for exchange in found if exchange.path.partition("?")[0].endswith(ending)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            hooks = {"response": [self._judge]}
            async with httpx.AsyncClient(
                base_url=self.engine_url, timeout=90, trust_env=False, event_hooks=hooks, verify=NO_TLS
            ) as engine:
                await self._serve(engine, reader, writer)
        except (ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _judge(self, response: httpx.Response) -> None:
        """Complaints are kept for the end of the test: here nobody would hear them."""
        await response.aread()
        try:
            await self.judge(response)
        except AssertionError as complaint:
            self.complaints.append(str(complaint))

    async def _serve(
        self, engine: httpx.AsyncClient, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        connection = h11.Connection(h11.SERVER)
        while exchange := await _read(connection, reader):
            cut = self.fault(exchange)
            answer = None if cut is Cut.BEFORE else await self._answer(engine, exchange, cut)
            self._keep(exchange, answer)
            if answer is None or cut is Cut.ANSWER:
                return
            await _write(connection, writer, answer, cut)
            connection.start_next_cycle()

    def _keep(self, exchange: Exchange, answer: httpx.Response | None) -> None:
        seen = {} if answer is None else {"answer": answer.content, "status": answer.status_code}
        self.exchanges.append(replace(exchange, **seen))

    async def _answer(self, engine: httpx.AsyncClient, exchange: Exchange, cut: Cut | Instead | None) -> httpx.Response:
        if isinstance(cut, Instead):
            return httpx.Response(cut.status, content=cut.body)
        engine.cookies.clear()  # The cookies are the client's: the wire keeps none.
        answer = await engine.request(
            exchange.method, exchange.path, headers=_forwarded(exchange.headers), content=exchange.body
        )
        content = self.rewrite(exchange, answer.content)
        return httpx.Response(answer.status_code, headers=_passed_on(answer.headers), content=content)


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> Exchange | None:
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
            headers = {name.decode().lower(): value.decode() for name, value in request.headers}
            return Exchange(method=request.method.decode(), path=request.target.decode(), headers=headers, body=body)
        else:
            return None


def _forwarded(headers: dict[str, str]) -> dict[str, str]:
    dropped = {"host", "content-length", "transfer-encoding", "connection", "accept-encoding"}
    return {name: value for name, value in headers.items() if name not in dropped}


def _passed_on(headers: httpx.Headers) -> list[tuple[str, str]]:
    hop = {"content-length", "transfer-encoding", "connection", "content-encoding"}
    return [(name, value) for name, value in headers.multi_items() if name not in hop]


async def _write(
    connection: h11.Connection, writer: asyncio.StreamWriter, answer: httpx.Response, cut: Cut | Instead | None
) -> None:
    cut_status = {Cut.TIMEOUT: 408, Cut.FAULT: 502}.get(cut) if isinstance(cut, Cut) else None
    status = cut_status or answer.status_code
    content = b'{"error":"cut by the test"}' if cut_status else answer.content
    headers = [*_passed_on(answer.headers), ("content-length", str(len(content)))]
    for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=content), h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
    await writer.drain()


@dataclass(frozen=True, kw_only=True)
class Stage:
    """An engine, the wire to it, and the fleet that speaks over the wire."""

    engine: Engine
    wire: Wire
    api: MachinesAPI
    fleet: FlyFleet
    prober: MCPProber
    logs: FlyLogs
    revision: Revision = REVISION
    plaintext: str = PLAINTEXT

    def another_fleet(self, patience: Patience = PATIENCE) -> FlyFleet:
        """The same fleet after a crash: nothing is remembered."""
        return FlyFleet(self.api, fleet="acme", organization="acme-org", patience=patience)

    def server(self, name: str = "time", *arguments: str, secrets: str = "", **changes: object) -> DesiredServer:
        """A server as it is declared; `secrets` is the digest of the one that it has."""
        declared = (SecretDeclaration(name="TOKEN", file="catwalk.yaml", inline=True),) if secrets else ()
        package = PackageReference(registry=Registry.PYPI, name="mcp-server-time", version="2026.10.19")
        given = {"package": package, "arguments": arguments, "secrets": declared} | changes
        spec = ServerSpec(fleet="acme", name=name, **given)  # type: ignore[arg-type]  # Tests name what they change.
        return resolve(spec, runner_image=IMAGE, secret_digests={"TOKEN": secrets} if secrets else {})

    async def actions(self, *servers: DesiredServer) -> tuple[Action, ...]:
        """What the planner would do now to have exactly these servers."""
        snapshot = Snapshot(
            fleet="acme",
            revision=self.revision,
            desired=servers,
            observation=await self.fleet.observe(),
            owned_apps=frozenset({"acme-time"}),
        )
        return plan(snapshot).actions

    async def apply(self, action: Action, fleet: FlyFleet | None = None) -> Outcome:
        secrets = {"TOKEN": SecretValue(self.plaintext)}
        return await (fleet or self.fleet).apply(action, secrets=secrets, revision=self.revision)

    async def converge(self, *servers: DesiredServer) -> list[Outcome]:
        """One pass: what the planner asks for, in order, until something fails."""
        outcomes = []
        for action in await self.actions(*servers):
            outcomes.append(await self.apply(action))
            if outcomes[-1].problem:
                break
        return outcomes

    async def eventually(self, look: Callable[[], Awaitable[Found]]) -> Found:
        """The first answer of `look` that is not empty; processes take their time."""
        with anyio.fail_after(30):
            while not (found := await look()):  # noqa: ASYNC110  # The engine is looked at from outside, as on Fly.
                await anyio.sleep(0.05)
        return found

    async def machines(self) -> list[dict[str, object]]:
        """What the engine itself says exists in the app, past the wire and past the room under test."""
        answer = await self.past_the_wire("GET", "/machines")
        return json.loads(answer.content) if answer.is_success else []

    async def past_the_wire(self, method: str, path: str, body: object = None) -> httpx.Response:
        """A call about the app that somebody else makes."""
        headers = {"Authorization": f"FlyV1 {TOKEN}"}
        async with httpx.AsyncClient(
            base_url=self.engine.api_url, headers=headers, trust_env=False, verify=NO_TLS
        ) as client:
            return await client.request(method, f"/v1/apps/acme-time{path}", json=body)


@pytest.fixture
def engine_settings(tmp_path: Path) -> EngineSettings:
    """Modules that need another engine override this."""
    runner = Path(__file__).with_name("runner.py")
    return EngineSettings(
        state_dir=tmp_path / "engine",
        token=TOKEN,
        organization="acme-org",
        region="iad",
        images={"catwalk-runner": (sys.executable, str(runner), "{port}")},
        base_environment={"PATH": os.environ["PATH"]},
    )


@pytest.fixture
async def engine(engine_settings: EngineSettings) -> AsyncIterator[Engine]:
    async with run_engine(engine_settings) as running:
        yield running


@dataclass
class HurriedTime:
    """Time as a client takes it that has less of it than we: its pauses are shorter, and it believes in their length.

    Most of them keep it below rate limits that these engines do not have.
    """

    ahead_s: float = 0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds / HURRY)
        self.ahead_s += seconds - seconds / HURRY


@pytest.fixture
def timing() -> Timing:
    """The time of the client. Modules whose engine counts calls override this."""
    hurried = HurriedTime()
    return Timing(monotonic=hurried.monotonic, sleep=hurried.sleep)


@pytest.fixture
async def stage(engine: Engine, judge: Judge, timing: Timing) -> AsyncIterator[Stage]:
    wire = Wire(engine_url=engine.api_url, judge=judge)
    listening = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with (
        MachinesAPI(base_url=wire.url, token=SecretValue(TOKEN), timing=timing) as api,
        MCPProber(DataPath(host="127.0.0.1", port=engine.proxy_port)) as prober,
    ):
        logs = FlyLogs(api, machines_api=api, redact=lambda text: text.replace(PLAINTEXT, "********"))
        fleet = FlyFleet(api, fleet="acme", organization="acme-org", patience=PATIENCE)
        yield Stage(engine=engine, wire=wire, api=api, fleet=fleet, prober=prober, logs=logs)
    listening.close()
    assert wire.complaints == []


@pytest.fixture(scope="session")
def document() -> Document | None:
    """The official OpenAPI document, where it is present."""
    return Document() if OPENAPI.is_file() else None


@pytest.fixture
def judge(document: Document | None) -> Judge:
    """Holds every answer to the document."""

    async def judged(response: httpx.Response) -> None:
        await response.aread()
        assert response.headers["fly-request-id"]
        if document is not None:
            document.judge(response)

    return judged


PLACES = [
    "engine",
    *([pytest.param("fly", marks=[pytest.mark.enable_socket, pytest.mark.timeout(600)])] if LIVE.wanted else []),
]


@pytest.fixture(scope="session")
def common_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One engine for every case that has an app of its own, in a thread of its own: as at Fly, others are there too."""
    place = engine_place(tmp_path_factory.mktemp("contract") / "engine")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(place) as found:
        yield found


@pytest.fixture(params=PLACES)
async def target(request: pytest.FixtureRequest, judge: Judge) -> AsyncIterator[Target]:
    """An app at the embedded engine, and also at Fly where CATWALK_FLY_LIVE=1 asks for it."""
    place = request.getfixturevalue("common_engine") if request.param == "engine" else _fly()
    async with opened(place, judge) as found:
        yield found


@pytest.fixture(params=PLACES)
async def limited_target(request: pytest.FixtureRequest, tmp_path: Path, judge: Judge) -> AsyncIterator[Target]:
    """As `target`, with the rate limits that the engine leaves out elsewhere."""
    engine = engine_place(tmp_path / "engine", RateLimits()) if request.param == "engine" else nullcontext(_fly())
    async with engine as place, opened(place, judge) as found:
        yield found


def _fly() -> Place:
    """The real API, or the reason why it cannot be asked."""
    if LIVE.place is None:
        pytest.skip(LIVE.why_not)
    return LIVE.place
