"""Whatever a client or a server says, the common address answers, and never with a fault of its own."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.aggregate.endpoint import AggregateEndpoint
from gateway.aggregate.settings import AggregateSettings
from gateway.routing import RouteTable
from gateway.settings import GatewaySettings
from tests.gateway.aggregates import ACCEPT, META, MODERN
from tests.gateway.conftest import SESSION_KEY, read_body, reply, upstream_at

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
METHODS = [
    "initialize",
    "ping",
    "tools/list",
    "tools/call",
    "prompts/get",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "completion/complete",
    "logging/setLevel",
    "server/discover",
    "notifications/cancelled",
    "notifications/initialized",
    "x",
]
NAMES = st.sampled_from(
    [
        "alpha__x",
        "beta__",
        "alpha__y__abcdefgh",
        "ghost__x",
        "",
        "alpha+note://1",
        "note://1",
        "alpha__\ud800",
        "\ud800",
    ]
)
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES | JSON,
        "uri": NAMES | JSON,
        "cursor": JSON,
        "ref": st.fixed_dictionaries({"type": st.sampled_from(["ref/prompt", "ref/resource"]), "name": NAMES | JSON})
        | JSON,
        "requestState": JSON,
        "requestId": JSON,
        "level": JSON,
        "capabilities": JSON,
        "protocolVersion": JSON,
        "clientInfo": JSON,
        "_meta": st.just(META) | JSON,
    },
)
MESSAGES = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0")},
    optional={
        "id": st.integers() | st.text(max_size=5) | JSON,
        "method": st.sampled_from(METHODS),
        "params": PARAMS | JSON,
    }
    | {"result": JSON, "error": JSON},
)


class Answers:
    """An ASGI client side in memory: what was answered."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.is_whole = False

    async def __call__(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]
            self.is_whole = not message["more_body"]


async def post(app: AggregateEndpoint, body: bytes, headers: Mapping[str, str]) -> Answers:
    pieces = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if pieces:
            return pieces.pop()
        await asyncio.Event().wait()
        raise AssertionError

    answers = Answers()
    raw = [(name.encode(), value.encode()) for name, value in {"host": "127.0.0.1", **ACCEPT, **headers}.items()]
    scope = {"type": "http", "method": "POST", "raw_path": b"/mcp", "headers": raw}
    async with asyncio.timeout(10):
        await app(scope, receive, answers)
    return answers


def endpoint_before(servers: Any) -> AggregateEndpoint:  # noqa: ANN401 - any ASGI application
    routes = RouteTable([upstream_at(1, "alpha"), upstream_at(2, "beta")])
    quick = AggregateSettings(list_timeout_s=1)
    return AggregateEndpoint(GatewaySettings(session_key=SESSION_KEY, aggregate=quick), routes, servers)


async def echo(_, receive, send) -> None:
    """A server that has nothing."""
    await read_body(receive)
    await reply(send, 200, b'{"jsonrpc":"2.0","id":1,"result":{}}')


async def initialized(app: AggregateEndpoint) -> str:
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
    return (await post(app, json.dumps(message).encode(), {})).headers[b"mcp-session-id"].decode()


def judge(answers: Answers) -> None:
    assert answers.is_whole
    assert answers.status in {200, 202, 400, 404, 502}, answers.body
    if answers.body and answers.headers[b"content-type"] == b"application/json":
        json.loads(answers.body)


@settings(max_examples=200, deadline=None)
@given(MESSAGES | JSON, st.booleans())
def test_every_message_gets_an_answer(message, has_session):
    async def run() -> None:
        app = endpoint_before(echo)
        headers = {"mcp-session-id": await initialized(app)} if has_session else modern_headers(message)
        judge(await post(app, json.dumps(message).encode("utf-8", "surrogatepass"), headers))

    asyncio.run(run())


def modern_headers(message: object) -> dict[str, str]:
    method = message.get("method") if isinstance(message, dict) else None
    return {"mcp-protocol-version": MODERN, "mcp-method": str(method or "x")}


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_every_body_gets_an_answer(body):
    judge(asyncio.run(post(endpoint_before(echo), body, {})))


STREAMS = st.binary(max_size=100) | JSON.map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n")


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([200, 202, 400, 404, 500]),
    st.sampled_from([b"application/json", b"text/event-stream", b"text/plain"]),
    st.lists(STREAMS | JSON.map(lambda value: json.dumps(value).encode()), max_size=4),
    st.sampled_from(["tools/list", "tools/call", "resources/read"]),
)
def test_whatever_a_server_answers_is_passed_on_or_explained(status, kind, pieces, method):
    async def server(_, receive, send) -> None:
        await read_body(receive)
        head = [(b"content-type", kind), (b"mcp-session-id", b"abc")]
        await send({"type": "http.response.start", "status": status, "headers": head})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    name = "note://1" if method == "resources/read" else "alpha__x"
    member = "uri" if method == "resources/read" else "name"
    params = {member: name, "_meta": META}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()

    async def run() -> None:
        with structlog.testing.capture_logs() as logs:
            headers = {"mcp-protocol-version": MODERN, "mcp-method": method, "mcp-name": name}
            modern = await post(endpoint_before(server), body, headers)
            app = endpoint_before(server)
            legacy = await post(app, body, {"mcp-session-id": await initialized(app)})
        assert modern.is_whole
        assert legacy.is_whole
        assert not [line for line in logs if line["event"] == "unhandled_fault"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "\ud800"}),
        ("tools/call", {"name": "alpha__\ud800"}),
        ("prompts/get", {"name": "alpha__x", "arguments": {"who": "\ud800"}}),
        ("resources/read", {"uri": "\ud800"}),
        ("resources/subscribe", {"uri": "alpha+\ud800"}),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "\ud800"}}),
        ("initialize", {"clientInfo": {"name": "\ud800", "version": "1"}, "capabilities": {"\ud800": {}}}),
        ("\ud800", {}),
    ],
)
def test_half_a_character_is_no_fault(method, params):
    """JSON can say what UTF-8 cannot."""

    async def run() -> None:
        app = endpoint_before(echo)
        message = {"jsonrpc": "2.0", "id": "\ud800", "method": method, "params": params}
        judge(await post(app, json.dumps(message).encode(), {"mcp-session-id": await initialized(app)}))

    asyncio.run(run())
