"""Clients of both eras in front of a raw modern server: what passes as it is, and what a legacy client gets instead."""

import json
import sys
from collections.abc import Iterator

import anyio
import anyio.lowlevel
import httpx
import pytest

from tests.adapter.conftest import starter
from tests.adapter.support import (
    MODERN_RAW,
    Adapter,
    Json,
    LegacyClient,
    events_of,
    modern_body,
    modern_headers,
    text_of,
)

META = "io.modelcontextprotocol/"
TASKS = {"extensions": {META + "tasks": {}}}


@pytest.fixture(scope="module")
def modern(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    starting = starter(tmp_path_factory.mktemp("modern"))
    adapter = next(starting)(sys.executable, MODERN_RAW, options=("--exec",))
    adapter.wait_for("ready")
    yield adapter
    next(starting, None)


async def post(adapter: Adapter, http: httpx.AsyncClient, body: Json, **changed: str) -> httpx.Response:
    return await http.post(adapter.url, json=body, headers={**modern_headers(body), **changed})


def tool(name: str, capabilities: Json | None = None, **arguments: object) -> Json:
    return modern_body("tools/call", {"name": name, "arguments": arguments}, capabilities=capabilities)


async def test_a_request_passes_as_it_is(modern: Adapter, http: httpx.AsyncClient):
    meta = {"traceparent": "00-1-2-01", "vendor/x": {"y": 1}, META + "logLevel": "debug"}
    body = modern_body("tools/call", {"name": "meta", "arguments": {}, "_meta": meta}, capabilities=TASKS)
    seen = json.loads(text_of((await post(modern, http, body)).json()))
    assert seen == body["params"]["_meta"]


async def test_a_task_is_started_read_and_cancelled(modern: Adapter, http: httpx.AsyncClient):
    started = (await post(modern, http, tool("task", TASKS))).json()["result"]
    assert (started["resultType"], started["taskId"], started["ttlMs"]) == ("task", "t1", 60000)
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        body = modern_body(method, {"taskId": "t1"}, capabilities=TASKS)
        answered = await post(modern, http, body, **{"mcp-name": "t1"})
        assert answered.json()["result"]["status"] == "completed"
        mismatch = await post(modern, http, body, **{"mcp-name": "t2"})
        assert (mismatch.status_code, mismatch.json()["error"]["code"]) == (400, -32020)


async def test_an_error_of_the_server_gets_the_status_of_its_code(modern: Adapter, http: httpx.AsyncClient):
    undeclared = await post(modern, http, tool("task"))
    assert (undeclared.status_code, undeclared.json()["error"]["code"]) == (400, -32021)
    missing = await post(modern, http, modern_body("resources/read", {"uri": "file:///none"}))
    assert (missing.status_code, missing.json()["error"]["data"]) == (400, {"uri": "file:///none"})
    unknown = await post(modern, http, modern_body("vendor/none"))
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, -32601)


RIGHT = {"region": "Grüße", "count": 42, "deep": {"flag": True}}
HEADERS = {"mcp-param-region": "=?base64?R3LDvMOfZQ==?=", "mcp-param-count": "42", "mcp-param-flag": "true"}


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        pytest.param(RIGHT, {}, id="all agree"),
        pytest.param(RIGHT, {"mcp-param-count": "42.0"}, id="a number written otherwise"),
        pytest.param(RIGHT, {"mcp-param-unknown": "x"}, id="a header that nobody asked for"),
        pytest.param({**RIGHT, "region": None}, {"mcp-param-region": None}, id="null is absent"),
        pytest.param({"region": "us west 1"}, {**dict.fromkeys(HEADERS), "mcp-param-region": "us west 1"}, id="plain"),
    ],
)
async def test_headers_that_repeat_arguments_are_accepted(modern: Adapter, http: httpx.AsyncClient, arguments, changed):
    given = {key: value for key, value in {**HEADERS, **changed}.items() if value is not None}
    answered = await post(modern, http, tool("echo", **arguments), **given)
    assert json.loads(text_of(answered.json())) == arguments


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        pytest.param(RIGHT, {"mcp-param-region": "Other"}, id="another value"),
        pytest.param(RIGHT, {"mcp-param-region": None}, id="missing"),
        pytest.param(RIGHT, {"mcp-param-region": "=?base64?!!?="}, id="bad base64"),
        pytest.param(RIGHT, {"mcp-param-region": "=?BASE64?R3LDvMOfZQ==?="}, id="marker in capitals is text"),
        pytest.param(RIGHT, {"mcp-param-count": "43"}, id="another number"),
        pytest.param(RIGHT, {"mcp-param-flag": "True"}, id="another spelling of true"),
        pytest.param({**RIGHT, "region": None}, {}, id="a header for null"),
        pytest.param({"count": 42}, {"mcp-param-flag": None}, id="a header without its argument"),
    ],
)
async def test_headers_that_do_not_repeat_arguments_are_refused(
    modern: Adapter, http: httpx.AsyncClient, arguments, changed
):
    given = {key: value for key, value in {**HEADERS, **changed}.items() if value is not None}
    refused = await post(modern, http, tool("echo", **arguments), **given)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, -32020)


async def test_a_duplicated_header_is_refused(modern: Adapter, http: httpx.AsyncClient):
    body = tool("echo", count=1)
    headers = [*modern_headers(body).items(), ("mcp-param-count", "1"), ("mcp-param-count", "1")]
    assert (await http.post(modern.url, json=body, headers=headers)).json()["error"]["code"] == -32020


async def test_a_listen_stream_carries_the_id_of_its_client(modern: Adapter, http: httpx.AsyncClient):
    body = modern_body("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, request_id="mine")
    seen: list[Json] = []
    with anyio.fail_after(10):
        async with http.stream("POST", modern.url, json=body, headers=modern_headers(body)) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                seen.append(json.loads(line[6:]))
                if len(seen) == 1:
                    await post(modern, http, tool("change"))
                else:
                    break
    assert [each["method"].rpartition("/")[2] for each in seen] == ["acknowledged", "list_changed"]
    assert {each["params"]["_meta"][META + "subscriptionId"] for each in seen} == {"mine"}
    with anyio.fail_after(10):
        while "notifications/cancelled" not in text_of((await post(modern, http, tool("heard"))).json()):
            await anyio.lowlevel.checkpoint()


async def test_log_lines_go_to_nobody_where_they_could_belong_to_two(modern: Adapter, http: httpx.AsyncClient):
    level = {"_meta": {META + "logLevel": "debug"}}

    async def call(name: str, arguments: Json, principal: str) -> list[Json]:
        body = modern_body("tools/call", {"name": name, "arguments": arguments, **level})
        response = await post(modern, http, body, **{"catwalk-principal": principal})
        return events_of(response) or [response.json()]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, "hold", {"name": "alice"}, "alice")
        while "tools/call" not in text_of((await post(modern, http, tool("heard"))).json()):
            await anyio.lowlevel.checkpoint()
        alone = await call("log", {"text": "secret of bob"}, "bob")
        await call("release", {"name": "alice"}, "alice")
    assert [each.get("method") for each in alone] == [None]
    told = await call("log", {"text": "hello"}, "bob")
    assert told[0]["params"]["data"] == "hello"


async def test_a_legacy_client_is_welcomed_with_what_was_discovered(modern: Adapter, http: httpx.AsyncClient):
    client = await LegacyClient(modern, http).initialize("2025-06-18")
    result = client.welcome["result"]
    assert (result["protocolVersion"], result["serverInfo"]["name"]) == ("2025-06-18", "modern")
    assert result["instructions"] == "Be modern."
    assert "extensions" not in result["capabilities"]
    assert "logging" in result["capabilities"]


async def test_a_legacy_client_gets_results_of_its_era(modern: Adapter, http: httpx.AsyncClient):
    client = await LegacyClient(modern, http).initialize()
    listed = (await client.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).json()["result"]
    assert set(listed) == {"tools", "_meta"} or set(listed) == {"tools"}
    assert not any("outputSchema" in each for each in listed["tools"])
    called = (await client.call(2, "array")).json()["result"]
    assert "structuredContent" not in called
    assert "resultType" not in called
    assert called["content"][0]["text"] == "[1]"


async def test_what_a_legacy_client_said_once_travels_with_every_request(modern: Adapter, http: httpx.AsyncClient):
    capabilities = {"roots": {"listChanged": True}, "elicitation": {}, "tasks": {}}
    client = await LegacyClient(modern, http).initialize(capabilities=capabilities)
    await client.post({"jsonrpc": "2.0", "id": 1, "method": "logging/setLevel", "params": {"level": "error"}})
    meta = json.loads(text_of((await client.call(2, "meta", meta={"vendor/x": 1})).json()))
    assert meta[META + "protocolVersion"] == "2026-07-28"
    assert meta[META + "clientCapabilities"] == {"roots": {}, "elicitation": {}}
    assert meta[META + "clientInfo"] == {"name": "test", "version": "1"}
    assert (meta[META + "logLevel"], meta["vendor/x"]) == ("error", 1)


async def test_a_state_without_questions_is_brought_back_at_once(modern: Adapter, http: httpx.AsyncClient):
    client = await LegacyClient(modern, http).initialize()
    with anyio.fail_after(10):
        assert text_of((await client.call(1, "state_only")).json()) == "came back"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param({"result": {"action": "accept"}}, '{"page": {"action": "accept"}}', id="accepted"),
        pytest.param({"error": {"code": -1, "message": "no"}}, None, id="refused with an error"),
    ],
)
async def test_a_legacy_client_is_asked_beside_its_call(
    modern: Adapter, http: httpx.AsyncClient, answer: Json, expected: str | None
):
    client = await LegacyClient(modern, http).initialize(capabilities={"elicitation": {"url": {}}})
    seen: list[Json] = []
    with anyio.fail_after(10):
        body = client.call_body(7, "open_page", {})
        async with http.stream("POST", modern.url, json=body, headers=client.headers) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                seen.append(json.loads(line[6:]))
                if seen[-1].get("method") == "elicitation/create":
                    reply = {"jsonrpc": "2.0", "id": seen[-1]["id"], **answer}
                    assert (await client.post(reply)).status_code == 202
    assert seen[0]["params"]["elicitationId"]
    assert seen[-1]["id"] == 7
    if expected is None:
        assert seen[-1]["error"] == {"code": -1, "message": "no"}
    else:
        assert text_of(seen[-1]) == expected


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("ping", {}, None),
        ("logging/setLevel", {"level": "loud"}, -32602),
        ("tasks/list", {}, -32601),
        ("server/discover", {}, -32601),
        ("resources/subscribe", {}, -32602),
        ("resources/subscribe", {"uri": "file:///a"}, None),
    ],
)
async def test_what_only_the_legacy_era_knows_is_answered_here(
    modern: Adapter, http: httpx.AsyncClient, method: str, params: Json, code: int | None
):
    client = await LegacyClient(modern, http).initialize()
    with anyio.fail_after(10):
        answered = (await client.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})).json()
    assert answered.get("error", {}).get("code") == code
    assert answered.get("result", {}) == {}
