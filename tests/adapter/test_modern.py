"""Modern clients in front of a legacy server: header checks, shapes, progress, cancellation."""

import json
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from mcp import Client

from tests.adapter.support import Adapter, LegacyClient, events_of, modern_body, modern_headers, poll, text_of


async def call(faulty: Adapter, http: httpx.AsyncClient, body: dict[str, Any], **changed: str | None) -> httpx.Response:
    headers = {**modern_headers(body), **{key.replace("_", "-"): value for key, value in changed.items()}}
    given = {key: value for key, value in headers.items() if value is not None}
    return await http.post(faulty.url, json=body, headers=given)


async def test_discover_is_answered_from_the_handshake(faulty: Adapter, http: httpx.AsyncClient):
    response = await call(faulty, http, modern_body("server/discover"))
    result = response.json()["result"]
    assert result["supportedVersions"] == ["2026-07-28"]
    assert result["resultType"] == "complete"
    assert (result["ttlMs"], result["cacheScope"]) == (0, "private")
    assert result["capabilities"] == {"tools": {"listChanged": True}, "resources": {"subscribe": True}, "logging": {}}
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "faulty"
    assert "mcp-session-id" not in response.headers


async def test_results_get_the_modern_shape(faulty: Adapter, http: httpx.AsyncClient):
    listed = (await call(faulty, http, modern_body("tools/list"))).json()["result"]
    assert (listed["resultType"], listed["ttlMs"], listed["cacheScope"]) == ("complete", 0, "private")
    called = await call(faulty, http, modern_body("tools/call", {"name": "echo", "arguments": {"text": "hi"}}))
    assert called.headers["content-type"] == "application/json"
    assert text_of(called.json()) == "hi"
    assert called.json()["result"]["resultType"] == "complete"
    assert "ttlMs" not in called.json()["result"]


async def test_a_missing_resource_gets_the_modern_code(faulty: Adapter, http: httpx.AsyncClient):
    response = await call(faulty, http, modern_body("resources/read", {"uri": "file:///none"}))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == -32602
    assert response.json()["error"]["data"] == {"uri": "file:///none"}


ECHO = {"name": "echo", "arguments": {"text": "hi"}}


@pytest.mark.parametrize(
    ("body", "changed", "status", "code"),
    [
        pytest.param(modern_body("tools/call", ECHO), {"mcp_name": "other"}, 400, -32020, id="other name"),
        pytest.param(modern_body("tools/call", ECHO), {"mcp_name": None}, 400, -32020, id="no name"),
        pytest.param(modern_body("tools/call", ECHO), {"mcp_name": "=?base64?!?="}, 400, -32020, id="bad base64"),
        pytest.param(modern_body("tools/list"), {"mcp_method": "tools/call"}, 400, -32020, id="other method"),
        pytest.param(modern_body("tools/list"), {"mcp_method": None}, 400, -32020, id="no method"),
        pytest.param(modern_body("tools/list"), {"mcp_protocol_version": None}, 400, -32020, id="no version header"),
        pytest.param(
            modern_body("tools/list"), {"mcp_protocol_version": "1900-01-01"}, 400, -32020, id="other version"
        ),
        pytest.param(
            modern_body("tools/list", {"_meta": {"io.modelcontextprotocol/protocolVersion": "1900-01-01"}}),
            {"mcp_protocol_version": "1900-01-01"},
            400,
            -32022,
            id="unserved version",
        ),
        pytest.param({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}, {}, 400, -32602, id="no meta"),
        pytest.param(modern_body("ping"), {}, 404, -32601, id="removed method"),
        pytest.param(modern_body("prompts/list"), {}, 404, -32601, id="capability not offered"),
        pytest.param(modern_body("tasks/get", {"taskId": "1"}), {"mcp_name": "1"}, 404, -32601, id="no tasks here"),
        pytest.param(
            modern_body("tools/list", {"_meta": {"io.modelcontextprotocol/logLevel": "loud"}}),
            {},
            400,
            -32602,
            id="unknown log level",
        ),
        pytest.param(modern_body("tools/list"), {"origin": "http://evil.example.com"}, 403, -32600, id="origin"),
        pytest.param(modern_body("tools/list"), {"accept": "application/json"}, 406, -32600, id="accept"),
    ],
)
async def test_a_bad_request_gets_the_exact_code(faulty: Adapter, http: httpx.AsyncClient, body, changed, status, code):
    response = await call(faulty, http, body, **changed)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_a_batch_of_a_modern_client_is_refused(faulty: Adapter, http: httpx.AsyncClient):
    body = modern_body("tools/list")
    response = await http.post(faulty.url, json=[body], headers=modern_headers(body))
    assert (response.status_code, response.json()["error"]["code"]) == (400, -32600)


async def test_a_name_may_come_in_base64(faulty: Adapter, http: httpx.AsyncClient):
    response = await call(faulty, http, modern_body("tools/call", ECHO), mcp_name="=?base64?ZWNobw==?=")
    assert text_of(response.json()) == "hi"


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
async def test_other_verbs_are_refused(faulty: Adapter, http: httpx.AsyncClient, verb: str):
    response = await http.request(verb, faulty.url, headers={"mcp-protocol-version": "2026-07-28"})
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_two_requests_with_one_id_get_their_own_answers(faulty: Adapter, http: httpx.AsyncClient):
    held: list[httpx.Response] = []
    legacy = await LegacyClient(faulty, http).initialize()

    async def hold() -> None:
        held.append(await call(faulty, http, modern_body("tools/call", {"name": "hold", "arguments": {"name": "m"}})))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold)
        await legacy.until_held("m")
        assert text_of((await call(faulty, http, modern_body("tools/call", ECHO))).json()) == "hi"
        await legacy.call(1, "release", name="m")
    assert text_of(held[0].json()) == "held m"


async def test_progress_travels_on_the_stream_of_its_request(faulty: Adapter, http: httpx.AsyncClient):
    params = {"name": "progress", "arguments": {"count": 16}, "_meta": {"progressToken": "mine"}}
    events = events_of(await call(faulty, http, modern_body("tools/call", params)))
    assert [event["params"]["progress"] for event in events[:-1]] == list(range(1, 17))
    assert {event["params"]["progressToken"] for event in events[:-1]} == {"mine"}
    assert events[-1]["result"]["resultType"] == "complete"


async def test_a_disconnect_cancels_the_call(faulty: Adapter, http: httpx.AsyncClient):
    legacy = await LegacyClient(faulty, http).initialize()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, faulty, http, modern_body("tools/call", {"name": "hold", "arguments": {"name": "left"}}))
        await legacy.until_held("left")
        tasks.cancel_scope.cancel()
    with anyio.fail_after(10):
        while "the client disconnected" not in text_of((await legacy.call(1, "cancelled")).json()):
            await anyio.lowlevel.checkpoint()


async def test_a_question_that_the_client_did_not_declare_is_refused(faulty: Adapter, http: httpx.AsyncClient):
    arguments = {"method": "elicitation/create", "params": {}}
    body = modern_body("tools/call", {"name": "ask", "arguments": arguments})
    with anyio.fail_after(10):
        assert "-32601" in text_of((await call(faulty, http, body)).json())


async def test_a_crash_fails_the_call_and_the_next_one_works(fresh: Adapter, http: httpx.AsyncClient):
    crashed = await call(fresh, http, modern_body("tools/call", {"name": "crash", "arguments": {}}))
    assert crashed.json()["error"]["code"] == -33001
    assert text_of((await call(fresh, http, modern_body("tools/call", ECHO))).json()) == "hi"
    assert poll(lambda: fresh.events("server-ended"), fresh.text)


@pytest.mark.parametrize("mode", ["legacy", "auto", "2026-07-28"])
async def test_the_official_client_works_in_every_mode(faulty: Adapter, mode: str):
    progress: list[float] = []

    async def note(done: float, total: float | None, message: str | None) -> None:
        progress.append(done)

    with anyio.fail_after(20):
        async with Client(faulty.url, mode=mode) as client:
            assert "echo" in {tool.name for tool in (await client.list_tools()).tools}
            result = await client.call_tool("echo", {"text": "hi"})
            assert json.loads(result.content[0].model_dump_json())["text"] == "hi"
            await client.call_tool("progress", {"count": 16}, progress_callback=note)
    assert progress == list(range(1, 17))
