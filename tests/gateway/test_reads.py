"""Reads from memory: as long as the server allows, to whom it allows, and only where a server would have answered."""

import asyncio
import json
from contextlib import AsyncExitStack

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import Grant, ToolPolicy
from gateway.reads import ReadMemory
from tests.gateway.conftest import gateway_to, read_body, reply, serve

pytestmark = pytest.mark.usefixtures("data_path")
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
ACCEPT = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


class Server:
    """Lists one tool, with the hints that the test says, and counts how often it is asked."""

    def __init__(self, **hints: object) -> None:
        self.hints = hints
        self.asked = 0

    async def __call__(self, _, receive, send) -> None:
        body = await read_body(receive)
        if b"subscriptions/listen" in body:
            kind = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": kind})
            notice = b'data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n'
            await send({"type": "http.response.body", "body": notice, "more_body": True})
            await asyncio.sleep(0.1)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        self.asked += 1
        result = {"resultType": "complete", "tools": [{"name": f"tool-{self.asked}"}], **self.hints}
        await reply(send, 200, json.dumps({"jsonrpc": "2.0", "id": json.loads(body)["id"], "result": result}).encode())


def read(method: str = "tools/list", number: object = 1, **params: object) -> dict[str, object]:
    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, "_meta": META}}
    headers = {**ACCEPT, "mcp-protocol-version": "2026-07-28", "mcp-method": method}
    if "uri" in params:
        headers["mcp-name"] = str(params["uri"])
    return {"content": json.dumps(body, separators=(",", ":")).encode(), "headers": headers}


@pytest.fixture
async def client():
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


async def test_a_public_list_is_asked_for_once_within_its_time(client):
    server, clock = Server(ttlMs=60_000, cacheScope="public"), [100.0]
    async with serve(server) as port, gateway_to(port, monotonic=lambda: clock[0]) as gateway:
        for number in range(5):
            answer = (await client.post(gateway.mcp, **read(number=f"id-{number}"))).json()
            assert answer["id"] == f"id-{number}"
            assert answer["result"]["tools"] == [{"name": "tool-1"}]
        clock[0] += 20
        assert (await client.post(gateway.mcp, **read())).json()["result"]["ttlMs"] == 40_000
        assert server.asked == 1
        clock[0] += 41
        assert (await client.post(gateway.mcp, **read())).json()["result"]["tools"] == [{"name": "tool-2"}]
    assert server.asked == 2


async def test_requests_of_a_client_are_judged_once_also_where_another_has_read_before(client, monkeypatch):
    answers: list[bytes | None] = []
    find_again = ReadMemory.find_again

    def told(memory, caller, opening, body):
        answers.append(find_again(memory, caller, opening, body))
        return answers[-1]

    monkeypatch.setattr(ReadMemory, "find_again", told)
    async with serve(Server(ttlMs=60_000, cacheScope="public")) as port, gateway_to(port) as gateway:
        for accept in ("application/json, text/event-stream", *["text/event-stream, application/json"] * 2):
            asked = read()
            asked["headers"] |= {"accept": accept}
            assert (await client.post(gateway.mcp, **asked)).json()["result"]["tools"] == [{"name": "tool-1"}]
    # The ASGI path judges each request, and never asks whether it has seen one like it.
    assert not answers or answers[-1] is not None


async def test_a_read_wakes_no_machine(client):
    async with AsyncExitStack() as awake:
        port = await awake.enter_async_context(serve(Server(ttlMs=60_000, cacheScope="public")))
        async with gateway_to(port) as gateway:
            await client.post(gateway.mcp, **read())
            await awake.aclose()
            assert (await client.post(gateway.mcp, **read())).json()["result"]["tools"] == [{"name": "tool-1"}]
            assert (await client.post(gateway.mcp, **read("prompts/list"))).status_code == 502


@pytest.mark.parametrize(
    "hints",
    [
        pytest.param({}, id="none"),
        pytest.param({"ttlMs": 0, "cacheScope": "public"}, id="no time"),
        pytest.param({"ttlMs": -5, "cacheScope": "public"}, id="negative"),
        pytest.param({"ttlMs": True, "cacheScope": "public"}, id="no number"),
        pytest.param({"ttlMs": 60_000}, id="no scope"),
        pytest.param({"ttlMs": 60_000, "cacheScope": "everybody"}, id="unknown scope"),
        pytest.param({"ttlMs": 60_000, "cacheScope": "private"}, id="private, and nobody is known"),
        pytest.param({"ttlMs": 60_000, "cacheScope": "public", "resultType": "input_required"}, id="not complete"),
    ],
)
async def test_nothing_is_kept_that_may_not_be(client, hints):
    server = Server(**hints)
    async with serve(server) as port, gateway_to(port) as gateway:
        for _ in range(3):
            assert (await client.post(gateway.mcp, **read())).status_code == 200
    assert server.asked == 3


@pytest.mark.parametrize(
    ("method", "first", "second"),
    [
        pytest.param("tools/list", {}, {"cursor": "x"}, id="another page"),
        pytest.param("resources/read", {"uri": "a:1"}, {"uri": "a:2"}, id="another resource"),
        pytest.param("resources/read", {"uri": "a:1"}, {"uri": "a:1", "requestState": "s"}, id="a retry"),
    ],
)
async def test_another_question_gets_its_own_answer(client, method, first, second):
    server = Server(ttlMs=60_000, cacheScope="public")
    async with serve(server) as port, gateway_to(port) as gateway:
        await client.post(gateway.mcp, **read(method, **first))
        await client.post(gateway.mcp, **read(method, **second))
        await client.post(gateway.mcp, **read(method, **first))
    assert server.asked == 2


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"mcp-method": "prompts/list"}, id="the method differs"),
        pytest.param({"mcp-protocol-version": "2027-01-01"}, id="the version differs"),
        pytest.param({"accept": "application/json"}, id="no streams accepted"),
        pytest.param({"content-type": "text/plain"}, id="no JSON"),
    ],
)
async def test_a_request_that_is_not_in_order_is_for_the_server_to_judge(client, change):
    server = Server(ttlMs=60_000, cacheScope="public")
    async with serve(server) as port, gateway_to(port) as gateway:
        for _ in range(3):
            await client.post(gateway.mcp, **read())
        request = read()
        await client.post(gateway.mcp, content=request["content"], headers={**request["headers"], **change})
    assert server.asked == 2


class Named:
    """Everybody is who they say they are; bob may use less."""

    generation = 0

    def admit(self, authorization, server, *, aggregate=False):  # noqa: ARG002 - the names are the protocol's
        name = (authorization or b"nobody").decode()
        return Grant(principal=name, tools=ToolPolicy(("tool-?",)) if name == "bob" else None)


@pytest.mark.parametrize(("scope", "asked"), [("private", 3), ("public", 2)])
async def test_what_is_private_stays_with_its_principal_and_a_policy_has_its_own_lists(client, scope, asked):
    server = Server(ttlMs=60_000, cacheScope=scope)
    async with serve(server) as port, gateway_to(port, access=Named()) as gateway:
        for _ in range(3):
            for name in ("alice", "carol", "bob"):
                client.headers["authorization"] = name
                assert (await client.post(gateway.mcp, **read())).status_code == 200
    assert server.asked == asked


async def test_a_notice_of_change_makes_old_what_was_read(client):
    server = Server(ttlMs=60_000, cacheScope="public")
    listen = read("subscriptions/listen", notifications={"toolsListChanged": True})
    async with serve(server) as port, gateway_to(port) as gateway:
        await client.post(gateway.mcp, **read())
        await client.post(gateway.mcp, **listen)
        await client.post(gateway.mcp, **read())
    assert server.asked == 2


async def test_a_legacy_client_is_never_answered_from_memory(client):
    server = Server(ttlMs=60_000, cacheScope="public")
    async with serve(server) as port, gateway_to(port) as gateway:
        for _ in range(3):
            body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
            await client.post(gateway.mcp, content=body, headers={**ACCEPT, "mcp-protocol-version": "2025-11-25"})
    assert server.asked == 3


@given(st.binary())
def test_no_answer_breaks_the_memory(body):
    memory = ReadMemory(lambda: 0.0)
    assert memory.find_again(("alice", (0, 0)), b"opening", body) is None


PAGE = {"origin": "https://app.example.com"}


async def test_a_page_of_an_allowed_origin_may_use_the_gateway(client):
    async with serve(Server()) as port, gateway_to(port, allowed_origins=("https://app.example.com",)) as gateway:
        asked = {"access-control-request-method": "POST"}
        asked["access-control-request-headers"] = "authorization, mcp-session-id, mcp-param-region, x-other"
        preflight = await client.options(gateway.mcp, headers={**PAGE, **asked})
        answers = [await client.post(gateway.mcp, **read())]
        for _ in range(3):
            request = read()
            answers.append(
                await client.post(gateway.mcp, content=request["content"], headers=request["headers"] | PAGE)
            )
        refused = await client.post(f"{gateway.url}/servers/nosuch/mcp", content=b"{}", headers=PAGE)
        foreign = await client.options(gateway.mcp, headers={"origin": "https://evil.example.com", **asked})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == "authorization, mcp-session-id, mcp-param-region"
    assert "access-control-allow-origin" not in answers[0].headers
    for answer in (preflight, *answers[1:], refused):
        assert answer.headers["access-control-allow-origin"] == PAGE["origin"]
        assert "mcp-session-id" in answer.headers["access-control-expose-headers"]
        assert answer.headers["vary"] == "origin"
    assert foreign.status_code == 403
    assert "access-control-allow-origin" not in foreign.headers
