"""Legacy clients in front of a server that misbehaves: nothing lost, nothing mixed up, nothing hanging."""

import json
import sys

import anyio
import httpx
import pytest

from tests.adapter.support import BOTH, FAULTY, Adapter, LegacyClient, Start, events_of, poll, text_of


async def test_a_session_is_opened_used_and_closed(legacy: LegacyClient):
    response = await legacy.call(1, "echo", text="hi")
    assert response.headers["content-type"] == "application/json"
    assert text_of(response.json()) == "hi"
    closed = await legacy.http.delete(legacy.adapter.url, headers=legacy.headers)
    assert closed.status_code == 200
    assert (await legacy.call(2, "echo", text="hi")).status_code == 404


async def test_every_answer_names_the_machine(legacy: LegacyClient):
    assert (await legacy.call(1, "echo", text="hi")).headers["catwalk-machine"] == "machine-1"
    refused = await legacy.http.put(legacy.adapter.url, headers=legacy.headers)
    assert refused.headers["catwalk-machine"] == "machine-1"


@pytest.mark.parametrize(
    ("requested", "granted"),
    [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ],
)
@pytest.mark.parametrize("capabilities", [{}, {"roots": {}}], ids=["shared", "isolated"])
async def test_the_version_is_negotiated(
    faulty: Adapter, http: httpx.AsyncClient, requested: str, granted: str, capabilities: dict[str, object]
):
    client = await LegacyClient(faulty, http).initialize(requested, capabilities)
    assert client.welcome["result"]["protocolVersion"] == granted
    assert client.welcome["result"]["serverInfo"]["name"] == "faulty"


async def test_two_requests_with_one_id_get_their_own_answers(legacy: LegacyClient):
    slow: list[httpx.Response] = []

    async def hold() -> None:
        slow.append(await legacy.call(1, "hold", name="a"))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold)
            await legacy.until_held("a")
            assert text_of((await legacy.call(1, "echo", text="fast")).json()) == "fast"
            await legacy.call(1, "release", name="a")
    assert text_of(slow[0].json()) == "held a"
    assert slow[0].json()["id"] == 1


async def test_forty_clients_with_one_id_get_their_own_answers(faulty: Adapter, http: httpx.AsyncClient):
    got: dict[int, str] = {}

    async def one(number: int) -> None:
        client = await LegacyClient(faulty, http).initialize()
        for _ in range(5):
            got[number] = text_of((await client.call("same", "echo", text=f"mine {number}")).json())
            assert got[number] == f"mine {number}"

    with anyio.fail_after(50):
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(one, number)
    assert len(got) == 40


@pytest.mark.parametrize("request_id", [1, -7, 2**60, "text", 'with "quotes" and ü', ""], ids=repr)
async def test_an_id_comes_back_as_it_was(legacy: LegacyClient, request_id: object):
    assert (await legacy.call(request_id, "echo", text="hi")).json()["id"] == request_id


async def test_progress_reaches_its_own_exchange_with_the_token_of_its_client(legacy: LegacyClient):
    streams: dict[str, list[dict[str, object]]] = {}

    async def one(token: str) -> None:
        response = await legacy.call(1, "progress", meta={"progressToken": token}, count=16)
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        streams[token] = events_of(response)

    async with anyio.create_task_group() as tasks:
        for token in ("a", "b"):
            tasks.start_soon(one, token)
    for token, events in streams.items():
        notices, answer = events[:-1], events[-1]
        assert [notice["params"]["progress"] for notice in notices] == list(range(1, 17))
        assert {notice["params"]["progressToken"] for notice in notices} == {token}
        assert answer["id"] == 1


async def test_lines_that_are_no_json_are_skipped(legacy: LegacyClient):
    assert text_of((await legacy.call(1, "noise")).json()) == "quiet again"
    poll(lambda: len(legacy.adapter.events("stdout-noise")) == 3, legacy.adapter.text)


async def test_a_large_result_passes_as_json(legacy: LegacyClient):
    response = await legacy.call(1, "big", bytes=4 * 1024 * 1024)
    assert response.headers["content-type"] == "application/json"
    assert len(text_of(response.json())) == 4 * 1024 * 1024


async def test_numbers_pass_unchanged(legacy: LegacyClient):
    response = await legacy.call(1, "number")
    assert '"exact": 1.10, "large": 1e400' in response.text


async def test_a_crash_fails_the_call_in_flight_and_the_next_call_works(fresh: Adapter, http: httpx.AsyncClient):
    legacy = await LegacyClient(fresh, http).initialize()
    before = text_of((await legacy.call(1, "pid")).json())
    with anyio.fail_after(5):
        failed = (await legacy.call(2, "crash")).json()
    assert failed["id"] == 2
    assert "ended with status 3" in failed["error"]["message"]
    after = text_of((await legacy.call(3, "pid")).json())
    assert after != before
    ended = poll(lambda: legacy.adapter.events("server-ended"), legacy.adapter.text)
    assert ended[0]["last_line"] == "crashing on command"


async def test_a_session_of_its_own_survives_a_crash(askable: LegacyClient):
    assert "error" in (await askable.call(1, "crash")).json()
    assert text_of((await askable.call(2, "echo", text="hi")).json()) == "hi"


async def test_a_question_of_the_server_reaches_its_client_and_the_answer_comes_back(askable: LegacyClient):
    question = {"method": "elicitation/create", "params": {"message": "Really?", "requestedSchema": {"type": "object"}}}
    body = askable.call_body(5, "ask", question)
    with anyio.fail_after(20):
        async with askable.http.stream("POST", askable.adapter.url, json=body, headers=askable.headers) as response:
            seen = []
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                seen.append(json.loads(line[6:]))
                if seen[-1].get("method") == "elicitation/create":
                    answer = {"jsonrpc": "2.0", "id": seen[-1]["id"], "result": {"action": "accept"}}
                    assert (await askable.post(answer)).status_code == 202
    assert seen[0]["params"]["message"] == "Really?"
    assert text_of(seen[-1]) == '{"action": "accept"}'
    assert seen[-1]["id"] == 5


async def test_a_question_is_refused_where_nobody_can_answer_it(legacy: LegacyClient):
    with anyio.fail_after(10):
        response = await legacy.call(1, "ask", method="sampling/createMessage", params={})
    assert "-32601" in text_of(response.json())


async def test_an_answer_to_no_question_is_refused(askable: LegacyClient):
    assert (await askable.post({"jsonrpc": "2.0", "id": 99, "result": {}})).status_code == 400


async def test_a_cancellation_reaches_the_server_for_the_right_call(legacy: LegacyClient):
    responses: list[httpx.Response] = []

    async def hold() -> None:
        responses.append(await legacy.call("slow", "hold", name="never"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold)
        await legacy.until_held("never")
        params = {"requestId": "slow", "reason": "enough"}
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        assert (await legacy.post(cancelled)).status_code == 202
        assert text_of((await legacy.call(3, "cancelled")).json()) == '["enough"]'
    assert responses[0].json()["error"]["code"] == -33002


async def test_a_change_notice_arrives_on_the_stream_of_the_session(legacy: LegacyClient):
    headers = {**legacy.headers, "accept": "text/event-stream"}
    with anyio.fail_after(10):
        async with legacy.http.stream("GET", legacy.adapter.url, headers=headers) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            second = await legacy.http.get(legacy.adapter.url, headers=headers)
            assert second.status_code == 409
            await legacy.call(1, "change")
            async for line in stream.aiter_lines():
                if line.startswith("data: {"):
                    assert json.loads(line[6:])["method"] == "notifications/tools/list_changed"
                    break


async def test_deleting_a_session_ends_its_stream(legacy: LegacyClient):
    headers = {**legacy.headers, "accept": "text/event-stream"}
    with anyio.fail_after(10):
        async with legacy.http.stream("GET", legacy.adapter.url, headers=headers) as stream:
            await legacy.http.delete(legacy.adapter.url, headers=legacy.headers)
            assert [line async for line in stream.aiter_lines() if line.startswith("data: {")] == []


async def test_a_resource_notice_goes_only_to_the_sessions_that_subscribed(faulty: Adapter, http: httpx.AsyncClient):
    first, second = [await LegacyClient(faulty, http).initialize() for _ in range(2)]
    await first.post({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "file:///a"}})
    await first.call(2, "resource_changed", uri="file:///a/b")
    await first.call(3, "change")
    with anyio.fail_after(10):
        assert await _first_on_stream(first) == "notifications/resources/updated"
        assert await _first_on_stream(second) == "notifications/tools/list_changed"


async def _first_on_stream(client: LegacyClient) -> str:
    headers = {**client.headers, "accept": "text/event-stream"}
    async with client.http.stream("GET", client.adapter.url, headers=headers) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: {"):
                return str(json.loads(line[6:])["method"])
    raise AssertionError("the stream ended")


async def test_a_log_line_goes_to_the_call_that_caused_it(askable: LegacyClient):
    events = events_of(await askable.call(1, "log", text="hello"))
    assert events[0]["params"]["data"] == "hello"
    assert events[1]["id"] == 1


async def test_a_batch_is_served_only_to_its_own_revision(faulty: Adapter, http: httpx.AsyncClient):
    old = await LegacyClient(faulty, http).initialize("2025-03-26")
    batch = [old.call_body(1, "echo", {"text": "a"}), old.call_body(2, "echo", {"text": "b"})]
    answers = {event["id"]: text_of(event) for event in events_of(await old.post(batch))}
    assert answers == {1: "a", 2: "b"}
    new = await LegacyClient(faulty, http).initialize("2025-11-25")
    assert (await new.post(batch)).status_code == 400


@pytest.mark.parametrize(
    ("changed", "body", "status", "code"),
    [
        pytest.param({"mcp-session-id": "unknown"}, None, 404, -32600, id="unknown session"),
        pytest.param({"mcp-session-id": None}, None, 400, -32600, id="no session"),
        pytest.param({"accept": "application/json"}, None, 406, -32600, id="accept lacks event-stream"),
        pytest.param({"content-type": "text/plain"}, None, 400, -32600, id="not json by its type"),
        pytest.param({"origin": "http://evil.example.com"}, None, 403, -32600, id="foreign origin"),
        pytest.param({"mcp-protocol-version": "1900-01-01"}, None, 400, -32602, id="unknown version"),
        pytest.param({}, b"{not json", 400, -32700, id="not json"),
        pytest.param({}, b'{"jsonrpc":"2.0"}', 400, -32600, id="no message"),
        pytest.param({}, b'{"jsonrpc":"2.0","id":null,"method":"ping"}', 400, -32600, id="null id"),
        pytest.param({}, b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":NaN}}', 400, -32700, id="nan"),
        pytest.param({}, b"\xff\xfe", 400, -32700, id="not utf-8"),
        pytest.param({}, b'{"a":' * 100_000, 400, -32700, id="too deep"),
    ],
)
async def test_a_bad_request_is_refused(
    legacy: LegacyClient, changed: dict[str, str | None], body: bytes | None, status: int, code: int
):
    headers = {key: value for key, value in {**legacy.headers, **changed}.items() if value is not None}
    content = body or b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    response = await legacy.http.post(legacy.adapter.url, content=content, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_a_body_above_the_limit_is_refused(legacy: LegacyClient):
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"' + b"x" * (16 * 1024 * 1024) + b'"}}'
    response = await legacy.http.post(legacy.adapter.url, content=body, headers=legacy.headers)
    assert response.status_code == 413


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "OPTIONS"])
async def test_other_verbs_are_refused(legacy: LegacyClient, verb: str):
    assert (await legacy.http.request(verb, legacy.adapter.url, headers=legacy.headers)).status_code == 405


async def test_a_page_on_the_same_machine_may_call(legacy: LegacyClient):
    response = await legacy.post(legacy.call_body(1, "echo", {"text": "hi"}), origin="http://localhost:6274")
    assert response.status_code == 200


async def test_a_get_without_accept_for_streams_is_refused(legacy: LegacyClient):
    headers = {**legacy.headers, "accept": "application/json"}
    assert (await legacy.http.get(legacy.adapter.url, headers=headers)).status_code == 406


async def test_sessions_beyond_the_limit_are_refused_with_a_time_to_try_again(start: Start, http: httpx.AsyncClient):
    adapter = start(sys.executable, FAULTY, options=("--exec", "--max-children", "1"))
    adapter.wait_for("ready")
    client = LegacyClient(adapter, http)
    await client.initialize(capabilities={"roots": {}})
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": {"roots": {}},
        "clientInfo": {"name": "x", "version": "1"},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    refused = await http.post(adapter.url, json=body, headers={"accept": BOTH, "content-type": "application/json"})
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
