"""Who may use what: tokens, and tool patterns under which a list shows exactly what a call allows."""

import hashlib
import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import ToolPolicy
from gateway.calls import UNREAD, Call, read_call
from gateway.oauth.access import TokenRule, token_access
from gateway.policy import UnreadableList, filter_tools
from tests.gateway.conftest import gateway_to, read_body, reply, serve

pytestmark = pytest.mark.usefixtures("data_path")
TOOLS = [{"name": "read_file", "x": 1.10}, {"name": "write_file"}, {"name": "read_dir"}]


def rule(name: str, token: str, servers: dict[str, list[str]]) -> TokenRule:
    return TokenRule(name=name, sha256=hashlib.sha256(token.encode()).hexdigest(), servers=servers)


ACCESS = token_access(
    [
        rule("reader", "reader-token", {"time": ["read_*"]}),
        rule("owner", "owner-token", {"*": ["*"]}),
        rule("stranger", "stranger-token", {"wiki": ["*"]}),
    ]
)


class Server:
    """Has three tools, and remembers what reached it."""

    def __init__(self, *, events: bool = False) -> None:
        self.events = events
        self.bodies: list[bytes] = []
        self.headers: list[dict[bytes, bytes]] = []

    async def __call__(self, scope, receive, send) -> None:
        body = await read_body(receive)
        self.bodies.append(body)
        self.headers.append(dict(scope["headers"]))
        answer = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": TOOLS, "nextCursor": "x"}}).encode()
        if self.events:
            await reply(send, 200, b": hello\n\ndata: " + answer + b"\n\n", ((b"content-type", b"text/event-stream"),))
        else:
            await reply(send, 200, answer)


def call(tool: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": "a-1", "method": "tools/call", "params": {"name": tool}}).encode()


LIST = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
async def client():
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no token"),
        pytest.param(bearer("wrong"), id="an unknown token"),
        pytest.param({"authorization": "Basic cmVhZGVyOg=="}, id="another scheme"),
    ],
)
async def test_without_a_known_token_nothing_is_told(client, headers):
    server = Server()
    async with serve(server) as port, gateway_to(port, access=ACCESS) as gateway:
        for name in ("time", "nosuch"):
            response = await client.post(f"{gateway.url}/servers/{name}/mcp", content=LIST, headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert response.json()["code"] == "unauthenticated"
    assert server.bodies == []


async def test_a_server_of_others_looks_like_one_that_does_not_exist(client):
    async with serve(Server()) as port, gateway_to(port, access=ACCESS) as gateway:
        hidden = await client.post(gateway.mcp, content=LIST, headers=bearer("stranger-token"))
        absent = await client.post(f"{gateway.url}/servers/wiki/mcp", content=LIST, headers=bearer("stranger-token"))
    assert hidden.status_code == absent.status_code == 404
    assert hidden.json()["code"] == absent.json()["code"] == "unknown-server"


@pytest.mark.parametrize("events", [False, True], ids=["json", "events"])
async def test_a_list_shows_exactly_what_a_call_allows(client, events):
    server = Server(events=events)
    async with serve(server) as port, gateway_to(port, access=ACCESS) as gateway:
        for _ in range(2):
            response = await client.post(gateway.mcp, content=LIST, headers=bearer("reader-token"))
        owners = await client.post(gateway.mcp, content=LIST, headers=bearer("owner-token"))
        assert '{"name": "read_file", "x": 1.1}' in response.text
        assert '"nextCursor": "x"' in response.text
        shown = {tool["name"] for tool in TOOLS if f'"{tool["name"]}"' in response.text}
        allowed = set()
        for tool in TOOLS:
            server.bodies.clear()
            answer = await client.post(gateway.mcp, content=call(tool["name"]), headers=bearer("reader-token"))
            allowed |= {tool["name"]} if server.bodies else set()
            if not server.bodies:
                assert answer.json() == {
                    "jsonrpc": "2.0",
                    "id": "a-1",
                    "error": {"code": -32602, "message": f"Unknown tool: {tool['name']}"},
                }
    assert shown == allowed == {"read_file", "read_dir"}
    assert "write_file" in owners.text


async def test_the_token_never_reaches_the_server(client):
    server = Server()
    async with serve(server) as port, gateway_to(port, access=ACCESS) as gateway:
        for _ in range(3):
            assert (await client.post(gateway.mcp, content=LIST, headers=bearer("owner-token"))).status_code == 200
    assert all(b"authorization" not in headers for headers in server.headers)


async def test_the_server_can_tell_callers_apart_but_not_who_they_are(client):
    server = Server()
    async with serve(server) as port, gateway_to(port, access=ACCESS) as gateway:
        for token in ("owner-token", "reader-token", "owner-token"):
            claim = {**bearer(token), "catwalk-principal": "somebody-else"}
            assert (await client.post(gateway.mcp, content=call("read_file"), headers=claim)).is_success
    first, second, third = (headers[b"catwalk-principal"] for headers in server.headers)
    assert first == third != second
    assert not {first, second} & {b"owner", b"reader", b"somebody-else"}


async def test_an_answer_to_a_waiting_call_is_steered_to_its_machine(client):
    server = Server()
    params = {"name": "read_file", "inputResponses": {}, "requestState": "cw1.148e2d.opaque"}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    async with serve(server) as port, gateway_to(port) as gateway:
        for version in ("2026-07-28", "2026-07-28", "2025-11-25"):
            await client.post(gateway.mcp, content=body, headers={"mcp-protocol-version": version})
    modern, again, legacy = server.headers
    assert modern[b"fly-prefer-instance-id"] == again[b"fly-prefer-instance-id"] == b"148e2d"
    assert b"fly-prefer-instance-id" not in legacy


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="no JSON"),
        pytest.param(b'[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"write_file"}}]', id="batch"),
        pytest.param(call("read_file").replace(b'"params"', b'"params": {"name": "write_file"}, "params"'), id="twice"),
        pytest.param(call("read_file").replace(b'{"name"', b'{"Name": "write_file", "name"'), id="other case"),
        pytest.param(call("read_file").replace(b'"method"', b'"Method": "x", "method"'), id="other case of the method"),
    ],
)
async def test_a_policy_refuses_what_two_readers_could_read_differently(client, body):
    server = Server()
    async with serve(server) as port, gateway_to(port, access=ACCESS) as gateway:
        assert (await client.post(gateway.mcp, content=call("read_file"), headers=bearer("reader-token"))).is_success
        response = await client.post(gateway.mcp, content=body, headers=bearer("reader-token"))
    assert response.status_code == 400
    assert len(server.bodies) == 1


async def test_a_large_body_is_judged_too(client):
    body = call("write_file")[:-1] + b',"pad":"' + b"x" * 300_000 + b'"}'
    server = Server()
    async with serve(server) as port, gateway_to(port, access=ACCESS) as gateway:
        response = await client.post(gateway.mcp, content=body, headers=bearer("reader-token"))
    assert response.json()["error"]["message"] == "Unknown tool: write_file"
    assert server.bodies == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"jsonrpc":"2.0","id":1,"result":{"tools":{}}}', b"\xff"])
def test_a_list_that_cannot_be_read_is_not_passed_on(body):
    with pytest.raises(UnreadableList):
        filter_tools(ToolPolicy(("*",)), body, is_event_stream=False)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (call("a"), Call("tools/call", "a", True)),
        (b'{"method":"resources/read","params":{"uri":"u","name":"n"}}', Call("resources/read", "u", True)),
        (b'{"method":"tools/list"}', Call("tools/list", "", True)),
        (b'{"id":1,"result":{}}', Call("", "", True)),
        (b'{"method":1,"params":[]}', Call("", "", True)),
        (b'{"method":"a","method":"b"}', Call("b", "", False)),
        (b"[]", UNREAD),
        (b"", UNREAD),
        (b"[" * 100_000, UNREAD),
    ],
)
def test_the_call_in_a_body(body, expected):
    assert read_call(body) == expected


@given(st.binary() | st.text().map(str.encode))
def test_no_body_breaks_the_reader(body):
    assert isinstance(read_call(body), Call)
