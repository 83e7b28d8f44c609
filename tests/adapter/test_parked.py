"""A modern client that is asked something by a legacy server: what it gets, and what it must bring back."""

import json
import sys
from typing import Any

import anyio
import httpx
import pytest

from tests.adapter.support import FAULTY, Adapter, Json, Start, modern_body, modern_headers, text_of

FORM = {"message": "Really?", "requestedSchema": {"type": "object"}}
CAN_BE_ASKED = {"elicitation": {}, "roots": {"listChanged": True}}
YES = {"action": "accept", "content": {"ok": 1.50}}


class Asked:
    """A call that was answered with a question."""

    def __init__(self, adapter: Adapter, http: httpx.AsyncClient, principal: str = "") -> None:
        self.adapter = adapter
        self.http = http
        self.principal = principal
        self.tool: Json = {"name": "ask", "arguments": {"method": "elicitation/create", "params": FORM}}
        self.capabilities: Json = CAN_BE_ASKED

    async def post(self, tool: Json, principal: str | None = None, **more: object) -> httpx.Response:
        body = modern_body("tools/call", {**tool, **more}, capabilities=self.capabilities)
        who = self.principal if principal is None else principal
        headers = {**modern_headers(body), **({"catwalk-principal": who} if who else {})}
        return await self.http.post(self.adapter.url, json=body, headers=headers)

    async def ask(self) -> Json:
        result: Json = (await self.post(self.tool)).json()["result"]
        return result

    async def retry(self, asked: Json, answers: object, **changed: object) -> httpx.Response:
        given: Json = {"tool": self.tool, "state": asked["requestState"], "principal": None, **changed}
        more = {"requestState": given["state"], "inputResponses": answers}
        return await self.post(given["tool"], given["principal"], **more)


@pytest.fixture
def call(faulty: Adapter, http: httpx.AsyncClient) -> Asked:
    return Asked(faulty, http)


async def test_a_question_ends_the_exchange_and_the_answer_goes_on_with_it(call: Asked):
    asked = await call.ask()
    assert asked["resultType"] == "input_required"
    assert list(asked["inputRequests"].values()) == [{"method": "elicitation/create", "params": FORM}]
    [key] = asked["inputRequests"]
    answered = await call.retry(asked, {key: YES, "not asked": 1})
    assert answered.status_code == 200
    assert json.loads(text_of(answered.json())) == YES
    assert answered.json()["result"]["resultType"] == "complete"


async def test_a_missing_answer_is_asked_for_again(call: Asked):
    asked = await call.ask()
    again = (await call.retry(asked, {})).json()["result"]
    assert again["resultType"] == "input_required"
    assert again["inputRequests"] == asked["inputRequests"]
    [key] = again["inputRequests"]
    assert json.loads(text_of((await call.retry(again, {key: {"action": "decline"}})).json())) == {"action": "decline"}


async def test_a_malformed_answer_is_refused_and_a_better_one_is_taken(call: Asked):
    asked = await call.ask()
    [key] = asked["inputRequests"]
    refused = await call.retry(asked, {key: "yes"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, -32602)
    assert json.loads(text_of((await call.retry(asked, {key: YES})).json())) == YES


OTHER = {"name": "ask", "arguments": {"method": "elicitation/create", "params": {"message": "Other?"}}}


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"state": "cw1.-.AAAAAAAAAAAAAAAAAAAAAA.99999999999." + "A" * 43}, id="forged"),
        pytest.param({"state": "nonsense"}, id="not ours"),
        pytest.param({"state": 7}, id="no text"),
        pytest.param({"principal": "mallory"}, id="another principal"),
        pytest.param({"tool": OTHER}, id="other arguments"),
    ],
)
async def test_a_state_is_good_for_its_own_request_and_principal_only(
    faulty: Adapter, http: httpx.AsyncClient, changed: dict[str, Any]
):
    call = Asked(faulty, http, principal="alice")
    asked = await call.ask()
    [key] = asked["inputRequests"]
    refused = await call.retry(asked, {key: YES}, **changed)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, -32602)
    assert refused.json()["error"]["data"] == {"reason": "invalid_request_state"}
    assert json.loads(text_of((await call.retry(asked, {key: YES})).json())) == YES


async def test_a_state_is_good_once(call: Asked):
    asked = await call.ask()
    [key] = asked["inputRequests"]
    assert (await call.retry(asked, {key: YES})).status_code == 200
    assert (await call.retry(asked, {key: YES})).json()["error"]["data"] == {"reason": "invalid_request_state"}


async def test_what_a_call_asks_at_once_comes_at_once_whoever_else_was_left_waiting(call: Asked):
    call.principal = "dora"
    await call.ask()
    await call.ask()
    call.tool = {"name": "ask_twice", "arguments": {"method": "elicitation/create", "params": FORM}}
    with anyio.fail_after(2):
        asked = await call.ask()
    assert len(asked["inputRequests"]) == 2
    answered = await call.retry(asked, dict.fromkeys(asked["inputRequests"], YES))
    assert json.loads(text_of(answered.json())) == [YES, YES]


async def test_a_state_names_its_machine_for_the_gateway(call: Asked):
    assert (await call.ask())["requestState"].startswith("cw1.machine-1.")


async def test_roots_and_models_are_asked_for_only_where_they_were_declared(call: Asked):
    call.tool = {"name": "ask", "arguments": {"method": "sampling/createMessage", "params": {}}}
    assert "-32601" in text_of((await call.post(call.tool)).json())
    call.tool = {"name": "ask", "arguments": {"method": "roots/list", "params": {}}}
    asked = await call.ask()
    [key] = asked["inputRequests"]
    assert json.loads(text_of((await call.retry(asked, {key: {"roots": []}})).json())) == {"roots": []}


async def test_pages_are_opened_only_by_clients_that_can(call: Asked):
    page = {"mode": "url", "elicitationId": "e", "url": "https://example.com", "message": "Look"}
    call.tool = {"name": "ask", "arguments": {"method": "elicitation/create", "params": page}}
    assert "-32602" in text_of((await call.post(call.tool)).json())
    call.capabilities = {"elicitation": {"form": {}, "url": {}}}
    asked = await call.ask()
    [question] = asked["inputRequests"].values()
    assert "elicitationId" not in question["params"]
    assert question["params"]["url"] == "https://example.com"
    [key] = asked["inputRequests"]
    await call.retry(asked, {key: {"action": "accept"}})


async def test_the_old_error_that_wants_a_page_becomes_a_question(call: Asked):
    call.capabilities = {"elicitation": {"url": {}}}
    call.tool = {"name": "needs_page", "arguments": {}}
    asked = await call.ask()
    [(key, question)] = asked["inputRequests"].items()
    assert question["params"]["url"] == "https://example.com/page"
    assert text_of((await call.retry(asked, {key: {"action": "accept"}})).json()) == "the page was seen"


async def test_the_old_error_that_wants_a_page_is_a_missing_capability_for_others(call: Asked):
    call.capabilities = {}
    refused = await call.post({"name": "needs_page", "arguments": {}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, -32021)
    assert text_of((await call.post({"name": "needs_page", "arguments": {}})).json()) == "the page was seen"


async def test_each_principal_has_a_process_of_its_own(faulty: Adapter, http: httpx.AsyncClient):
    pids = {}
    for principal in ("alice", "bob", "alice"):
        call = Asked(faulty, http, principal)
        pids.setdefault(principal, set()).add(text_of((await call.post({"name": "pid", "arguments": {}})).json()))
    assert [len(each) for each in pids.values()] == [1, 1]
    assert pids["alice"] != pids["bob"]


async def test_questions_of_two_principals_are_never_exchanged(faulty: Adapter, http: httpx.AsyncClient):
    heard: dict[str, list[str]] = {"alice": [], "bob": []}

    async def one(principal: str) -> None:
        call = Asked(faulty, http, principal)
        params = {"message": f"for {principal}", "requestedSchema": {"type": "object"}}
        call.tool = {"name": "ask", "arguments": {"method": "elicitation/create", "params": params}}
        for number in range(8):
            asked = await call.ask()
            [(key, question)] = asked["inputRequests"].items()
            heard[principal].append(question["params"]["message"])
            answer = {"action": "accept", "content": {"who": principal, "number": number}}
            assert json.loads(text_of((await call.retry(asked, {key: answer})).json())) == answer

    with anyio.fail_after(40):
        async with anyio.create_task_group() as tasks:
            for principal in heard:
                tasks.start_soon(one, principal)
    assert heard == {who: [f"for {who}"] * 8 for who in heard}


async def test_a_server_learns_exactly_what_the_client_declared(faulty: Adapter, http: httpx.AsyncClient):
    call = Asked(faulty, http, "carol")
    call.capabilities = {"elicitation": {"form": {}}, "roots": {"listChanged": True}, "extensions": {"x": {}}}
    known = text_of((await call.post({"name": "capabilities", "arguments": {}})).json())
    assert json.loads(known) == {"elicitation": {"form": {}}, "roots": {}}


async def test_a_server_that_ends_while_its_question_is_open_fails_the_retry(start: Start, http: httpx.AsyncClient):
    adapter = start(sys.executable, FAULTY, options=("--exec",))
    adapter.wait_for("ready")
    call = Asked(adapter, http)
    asked = await call.ask()
    assert (await call.post({"name": "crash", "arguments": {}})).json()["error"]["code"] == -33001
    [key] = asked["inputRequests"]
    assert (await call.retry(asked, {key: YES})).json()["error"]["code"] == -33001
    assert text_of((await call.post({"name": "echo", "arguments": {"text": "hi"}})).json()) == "hi"


async def test_a_shared_server_asks_nobody(start: Start, http: httpx.AsyncClient):
    adapter = start(sys.executable, FAULTY, options=("--exec", "--sessions", "shared"))
    adapter.wait_for("ready")
    call = Asked(adapter, http)
    with anyio.fail_after(10):
        assert "-32601" in text_of((await call.post(call.tool)).json())


async def test_too_many_processes_are_refused_with_a_time_to_try_again(start: Start, http: httpx.AsyncClient):
    options = ("--exec", "--max-children-per-principal", "1")
    adapter = start(sys.executable, FAULTY, options=options)
    adapter.wait_for("ready")
    call = Asked(adapter, http, "alice")
    assert (await call.post({"name": "pid", "arguments": {}})).status_code == 200
    call.capabilities = {"elicitation": {"url": {}}}
    refused = await call.post({"name": "pid", "arguments": {}})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert (await Asked(adapter, http, "bob").post({"name": "pid", "arguments": {}})).status_code == 200
