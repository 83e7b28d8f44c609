"""The common address below ASGI: the same calls by both ways, and nobody sees a difference."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import pytest

from gateway.access import Limits
from gateway.aggregate.endpoint import AggregateEndpoint
from gateway.oauth.access import AccessRules, BearerAccess, TokenRule, token_access
from gateway.oauth.resource import Resources
from gateway.observation import EndedCall
from tests.gateway.aggregates import ACCEPT, META, MODERN, Aggregate, LegacyClient, aggregate_of, legacy_client, modern
from tests.gateway.conftest import read_body, reply, serve

JSON = (b"content-type", b"application/json")
STREAM = (b"content-type", b"text/event-stream")
EVENTS = [
    {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}},
    {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "shared://notes"}},
    {"jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {}},
]


class Machine:
    """A server of both eras whose answer depends on what is called."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self.sessions = 0
        self.notices: list[dict[str, Any]] = []
        self.called, self.cancelled = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope, receive, send) -> None:
        body = await read_body(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        message = json.loads(body) if body else {}
        if scope["method"] != "POST":
            await reply(send, 405)
            return
        if "id" not in message:
            self.notices.append(message)
            self.cancelled.set()
            await reply(send, 202)
            return
        if message["method"] == "initialize":
            await self._start(send, message)
            return
        self.seen.append((headers, body))
        if message["params"].get("name") == "held":
            self.cancelled.clear()
            self.called.set()
            await self.cancelled.wait()
        await self._answer(send, message)

    async def _start(self, send, message) -> None:
        self.sessions += 1
        info = {"name": self.name, "version": "1"}
        result = {"protocolVersion": "2025-11-25", "capabilities": {"resources": {}}, "serverInfo": info}
        answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        session = (b"mcp-session-id", b"%b-%d" % (self.name.encode(), self.sessions))
        await reply(send, 200, answer, (JSON, session, (b"catwalk-machine", b"m1"), (b"catwalk-sessions", b"isolated")))

    async def _answer(self, send, message) -> None:
        params = message["params"]
        asked = params.get("name", params.get("uri", ""))
        result = self.result(message["method"], asked)
        answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}, ensure_ascii=False).encode()
        machine = (b"catwalk-machine", b"m1")
        match asked:
            case "stream" | "short":
                await self._stream(send, answer, in_pieces=asked == "stream")
            case "pieces":
                await self._pieces(send, answer)
            case "lost":
                await reply(send, 404, b'{"lost":true}', (JSON, machine))
            case "fault":
                await reply(send, 503, b"the machine does not start", ((b"content-type", b"text/plain"),))
            case "compressed":
                await reply(send, 200, answer, (JSON, machine, (b"content-encoding", b"gzip")))
            case "renewed":
                await reply(send, 200, answer, (JSON, machine, (b"mcp-session-id", b"another")))
            case _:
                await reply(send, 200, answer, (JSON, machine))

    def result(self, method: str, asked: str) -> dict[str, object]:
        common = {"resultType": "complete"}
        if method == "resources/list":
            uris = [f"{self.name}://own", "shared://notes"]
            return {**common, "resources": [{"uri": uri, "name": uri} for uri in uris]}
        if method == "resources/templates/list":
            return {**common, "resourceTemplates": []}
        if method == "resources/read":
            return {**common, "contents": [{"uri": asked, "text": f"of {self.name}"}]}
        if asked == "state":
            return {"resultType": "input_required", "requestState": f"state of {self.name}", "inputRequests": {}}
        return {**common, "content": [{"type": "text", "text": f"{self.name} {asked} é"}]}

    async def _stream(self, send, answer: bytes, *, in_pieces: bool) -> None:
        events = [json.dumps(each).encode() for each in EVENTS]
        data = b"".join(b"id: p1-%d\ndata: %b\n\n" % (number, each) for number, each in enumerate([*events, answer]))
        if not in_pieces:
            await reply(send, 200, data, (STREAM, (b"catwalk-machine", b"m1")))
            return
        await send({"type": "http.response.start", "status": 200, "headers": [STREAM]})
        for start in range(0, len(data), 50):
            await send({"type": "http.response.body", "body": data[start : start + 50], "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pieces(self, send, answer: bytes) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [JSON]})
        for start in range(0, len(answer), 20):
            await send({"type": "http.response.body", "body": answer[start : start + 20], "more_body": True})
            await asyncio.sleep(0.001)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@dataclass
class Seen:
    """An observer."""

    ended: list[EndedCall] = field(default_factory=list)
    streams: int = 0
    happenings: list[tuple[str, str]] = field(default_factory=list)

    def call_ended(self, call: EndedCall) -> None:
        self.ended.append(call._replace(seconds=0.0))

    def stream_changed(self, _: str, change: int) -> None:
        self.streams += change

    def happened(self, event, server: str) -> None:
        self.happenings.append((event.value, server))

    def refused(self, code: str) -> None:
        self.happenings.append((code, ""))


@dataclass
class Side:
    """One of the two ways through, with machines of its own."""

    gateway: Aggregate
    machines: dict[str, Machine]
    observer: Seen
    client: httpx.AsyncClient
    session: LegacyClient

    def told(self) -> tuple[object, ...]:
        """What servers and observers have learned since the last time."""
        seen = [(name, headers, body) for name, each in self.machines.items() for headers, body in each.seen]
        told = (seen, list(self.observer.ended), list(self.observer.happenings), self.observer.streams)
        for machine in self.machines.values():
            machine.seen.clear()
        self.observer.ended.clear()
        self.observer.happenings.clear()
        return told


RULES = [
    TokenRule(
        name="ada",
        sha256="a665a45920422f9d417e4867efdc4fb8a04a1f3fff1fa07e998e86f7f7a27ae3",
        servers={"alpha": ["*"], "beta": ["*"], "gamma": ["allowed"]},
    )
]
TOKEN = {"authorization": "Bearer 123"}
NAMES = ("alpha", "beta", "gamma")


@asynccontextmanager
async def side(*, edge: bool, names: tuple[str, ...] = NAMES, **settings: object) -> AsyncIterator[Side]:
    machines, observer = {name: Machine(name) for name in names}, Seen()
    async with AsyncExitStack() as running:
        ports = {name: await running.enter_async_context(serve(each)) for name, each in machines.items()}
        values = {"access": token_access(RULES), "observers": (observer,), **settings}
        gateway = await running.enter_async_context(aggregate_of(ports, edge=edge, **values))
        client = await running.enter_async_context(httpx.AsyncClient(timeout=20, headers=TOKEN))
        session = await legacy_client(gateway.mcp, client)
        made = Side(gateway=gateway, machines=machines, observer=observer, client=client, session=session)
        await _warm(made)
        yield made


async def _warm(made: Side) -> None:
    """Let lists and sessions be known, and a connection to each machine be idle."""
    await made.client.post(made.gateway.mcp, **modern("resources/list"))
    await made.session.post("resources/list")
    for uri in ("alpha://own", "beta://own"):
        await made.client.post(made.gateway.mcp, **modern("resources/read", name=uri, uri=uri))
    for name in made.machines:
        await made.session.post("tools/call", name=f"{name}__allowed", arguments={})
    made.told()


def _still() -> float:
    """A clock that stands, so that nothing runs out while the cases are tried."""
    return 5.0


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """For the gateways that all cases share."""
    return "asyncio"


@pytest.fixture(scope="module")
async def both(anyio_backend) -> AsyncIterator[tuple[Side, Side]]:
    async with side(edge=True, monotonic=_still) as below, side(edge=False, monotonic=_still) as above:
        yield below, above


@pytest.fixture
def by_asgi(monkeypatch) -> list[int]:
    """The ports to whose common address the ASGI application carried a call."""
    seen: list[int] = []
    carry = AggregateEndpoint.__call__

    async def counted(self, scope, receive, send):
        seen.append(scope["server"][1])
        await carry(self, scope, receive, send)

    monkeypatch.setattr(AggregateEndpoint, "__call__", counted)
    return seen


Request = dict[str, Any]
"""What a case sends: `method`, `params`, perhaps `headers` in place of the usual ones, perhaps a whole `body`."""


def call(name: str, method: str = "tools/call", **more: object) -> Request:
    return {"method": method, "params": {"name": name, "arguments": {"text": "é"}}, **more}


def read(uri: object) -> Request:
    return {"method": "resources/read", "params": {"uri": uri}}


CARRIED = {
    "a tool": call("alpha__now"),
    "another server's tool": call("beta__now"),
    "a prompt": call("alpha__greet", "prompts/get"),
    "a tool that a pattern allows": call("gamma__allowed"),
    "a stream in pieces": call("alpha__stream"),
    "a stream at once": call("alpha__short"),
    "an answer in pieces": call("alpha__pieces"),
    "a compressed answer": call("alpha__compressed"),
    "a session id that nobody asked for": call("beta__renewed"),
    "a name twice": {"method": "tools/call", "params": {"name": "alpha__now", "arguments": {"name": "other"}}},
    "two names of servers": {
        "method": "tools/call",
        "params": {"name": "alpha__now", "arguments": {"x": {"name": "beta__now"}}},
    },
    "an id that is text": call("alpha__now", id="é"),
    "a name with spaces": call("alpha__now and then"),
}
ONLY_MODERN = {
    "a call that waits for its client": call("alpha__state"),
    "not found": call("alpha__lost"),
    "an error of the proxy": call("alpha__fault"),
}
ONLY_LEGACY = {
    "a resource": read("alpha://own"),
    "a resource of two": read("shared://notes"),
    "a resource in another's name": read("beta+shared://notes"),
}
LEFT = {
    "an unknown server": call("omega__now"),
    "no server": call("now"),
    "a denied tool": call("gamma__denied"),
    "a shortened name": call("alpha__" + "x" * 47 + "__abcdefgh"),
    "a tool and its name again": {
        "method": "tools/call",
        "params": {"name": "alpha__now", "arguments": {"name": "alpha__now"}},
    },
    "an unlisted resource": read("nobody://knows"),
    "no text as a uri": read(7),
    "a list": {"method": "tools/list", "params": {}},
    "a ping": {"method": "ping", "params": {}},
    "no such method": {"method": "tools/destroy", "params": {"name": "alpha__now"}},
    "another version of JSON-RPC": call("alpha__now", jsonrpc="1.0"),
    "an id that is none": call("alpha__now", id=1.5),
    "NaN": call("alpha__now", arguments=float("nan")),
    "a notification": call("alpha__now", id=None),
}


def request_of(case: Request, made: Side, era: str) -> dict[str, Any]:
    """The arguments for `httpx`."""
    params = dict(case["params"])
    if "arguments" in case:
        params["arguments"] = case["arguments"]
    headers = {**ACCEPT, **case.get("headers", {})}
    if era == MODERN:
        params["_meta"] = META
        headers |= {"mcp-protocol-version": MODERN, "mcp-method": case["method"]}
        named = params.get("name", params.get("uri"))
        headers |= {"mcp-name": str(named)} if named is not None else {}
    else:
        headers |= made.session.headers
    message = {"jsonrpc": case.get("jsonrpc", "2.0"), "id": case.get("id", 1), "method": case["method"]}
    if message["id"] is None:
        del message["id"]
    return {"content": json.dumps({**message, "params": params}), "headers": headers}


def essence(answer: httpx.Response) -> tuple[object, ...]:
    """All of an answer that its client can make something of."""
    passing = {"date", "server", "content-length", "transfer-encoding", "connection"}
    return answer.status_code, {k: v for k, v in answer.headers.items() if k not in passing}, answer.content


async def answered(made: Side, case: Request, era: str, by_asgi: list[int]) -> tuple[object, ...]:
    """The answer to a case, asked when a connection to its machine is idle."""
    await made.client.post(made.gateway.mcp, **request_of(call("alpha__allowed"), made, era))
    made.told()
    by_asgi.clear()
    return essence(await made.client.post(made.gateway.mcp, **request_of(case, made, era)))


async def compared(both: tuple[Side, Side], case: Request, era: str, by_asgi: list[int]) -> list[bool]:
    """Whether ASGI took part, on each side."""
    answers, told, taken = [], [], []
    for made in both:
        answers.append(await answered(made, case, era, by_asgi))
        taken.append(bool(by_asgi))
        told.append(made.told())
    below, above = answers
    assert without_seals(below) == without_seals(above)
    assert told[0] == told[1]
    return taken


def without_seals(answer: tuple[object, ...]) -> tuple[object, ...]:
    status, headers, content = answer
    assert isinstance(content, bytes)
    try:
        message = json.loads(content)
    except ValueError:
        return answer
    state = message.get("result", {}).pop("requestState", None)
    assert state is None or state.startswith("cws1.") or len(state) > 40
    return status, headers, message


def cases(*tables: dict[str, Request]) -> list[Any]:
    return [pytest.param(case, id=name) for table in tables for name, case in table.items()]


@pytest.mark.parametrize("case", cases(CARRIED, ONLY_MODERN))
async def test_a_call_without_a_session_is_the_same_below_asgi(both, by_asgi, case):
    assert await compared(both, case, MODERN, by_asgi) == [False, True]


@pytest.mark.parametrize("case", cases(CARRIED, ONLY_LEGACY))
async def test_a_call_in_a_session_is_the_same_below_asgi(both, by_asgi, case):
    assert await compared(both, case, "legacy", by_asgi) == [False, True]


@pytest.mark.parametrize("era", ["legacy", MODERN])
@pytest.mark.parametrize("case", cases(LEFT))
async def test_what_has_to_be_looked_at_is_asgis(both, by_asgi, case, era):
    assert await compared(both, case, era, by_asgi) == [True, True]


@pytest.mark.parametrize("name", ["lost", "fault"])
async def test_a_session_that_a_server_has_lost_is_started_again_by_asgi(both, by_asgi, name):
    below, above = [await answered(made, call(f"alpha__{name}"), "legacy", by_asgi) for made in both]
    assert below == above
    assert [made.told()[3] for made in both] == [0, 0]


@pytest.mark.parametrize("uri", ["alpha://own", "shared://notes", "beta+shared://notes"])
async def test_a_read_without_a_session_is_carried_where_it_is_not_kept(both, by_asgi, uri):
    assert await compared(both, read(uri), MODERN, by_asgi) == [False, True]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"origin": "http://localhost"}, id="a page"),
        pytest.param({"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}, id="a trace"),
        pytest.param({"accept": "application/json"}, id="accepts no stream"),
        pytest.param({"content-type": "text/plain"}, id="no JSON"),
        pytest.param({"authorization": "Bearer unknown"}, id="a stranger"),
        pytest.param({"host": "evil.example"}, id="another host"),
        pytest.param({"mcp-name": "beta__now"}, id="another name in the head"),
        pytest.param({"mcp-method": "prompts/get"}, id="another method in the head"),
        pytest.param({"mcp-protocol-version": "2026-01-01"}, id="another version in the head"),
    ],
)
async def test_a_head_that_is_not_usual_is_asgis(both, by_asgi, headers):
    answers = []
    for made in both:
        asked = request_of(call("alpha__now"), made, MODERN)
        asked["headers"] |= headers
        answers.append(essence(await made.client.post(made.gateway.mcp, **asked)))
    assert answers[0] == answers[1]
    assert by_asgi == [made.gateway.port for made in both]


async def test_limits_count_a_carried_call_once(by_asgi):
    (ada,) = RULES
    limits = {"ada": Limits(requests_per_minute=60, burst=20, concurrent=1)}
    rules = AccessRules(tokens={ada.name: ada.sha256}, access={ada.name: ada.servers}, limits=limits)
    access = BearerAccess(rules, Resources("", ()), ())
    async with side(edge=True, access=access, monotonic=_still) as made:
        by_asgi.clear()
        asked = request_of(call("alpha__now"), made, MODERN)
        statuses = [(await made.client.post(made.gateway.mcp, **asked)).status_code for _ in range(21)]
    refused = statuses.count(429)
    assert statuses == [200] * (21 - refused) + [429] * refused
    assert len(by_asgi) == refused > 0


async def test_a_cancelled_call_is_known_at_its_server(both):
    below, _ = both
    machine = below.machines["alpha"]
    async with asyncio.TaskGroup() as group:
        held = group.create_task(
            below.client.post(below.gateway.mcp, **request_of(call("alpha__held"), below, "legacy"))
        )
        with anyio.fail_after(10):
            await machine.called.wait()
            await below.session.send(
                {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
            )
        assert (await held).status_code == 200
    assert machine.notices[-1]["params"] == {"requestId": 1}
