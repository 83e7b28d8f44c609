"""The common address over plain HTTP: refusals, access, paging, partial failure, sessions, and what observers see."""

import asyncio
import hashlib
import json

import anyio
import httpx
import pytest

from gateway.aggregate.settings import AggregateSettings, Running
from gateway.audit import AuditLog
from gateway.oauth.access import TokenRule, token_access
from gateway.observation import EndedCall
from tests.gateway.aggregates import (
    ACCEPT,
    aggregate_of,
    aggregate_of_apps,
    aggregate_of_servers,
    legacy_client,
    message_of,
    modern,
    talker,
)
from tests.gateway.conftest import read_body, reply, serve, until, upstream_at


class Lister:
    """A server of both eras that lists tools page by page, and tells what it was asked."""

    def __init__(self, *pages: list[str], **hints: object) -> None:
        self.pages = pages
        self.hints = hints
        self.asked: list[dict[str, object]] = []
        self.headers: list[dict[str, str]] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def __call__(self, scope, receive, send) -> None:
        if scope["method"] != "POST":
            await reply(send, 405 if scope["method"] == "GET" else 200)
            return
        message = json.loads(await read_body(receive))
        self.asked.append(message)
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        if "id" not in message:
            await reply(send, 202)
            return
        await self.answers.wait()
        result = self.result(message)
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        session = ((b"mcp-session-id", b"abc"),) if message["method"] == "initialize" else ()
        await reply(send, 200, body, ((b"content-type", b"application/json"), *session))

    def result(self, message) -> dict[str, object]:
        if message["method"] == "initialize":
            info = {"name": "lister", "version": "1"}
            version = message["params"]["protocolVersion"]
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
        if message["method"] == "tools/list":
            page = int(message["params"].get("cursor", "0"))
            more = {"nextCursor": str(page + 1)} if page + 1 < len(self.pages) else {}
            tools = [{"name": name, "inputSchema": {"type": "object"}} for name in self.pages[page]]
            return {"resultType": "complete", "tools": tools, **more, **self.hints}
        return {"resultType": "complete", "content": [{"type": "text", "text": message["params"].get("name", "")}]}

    def methods(self) -> list[object]:
        return [message["method"] for message in self.asked]


@pytest.fixture
async def client():
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


class Calls:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.ended: list[EndedCall] = []
        self.refusals: list[str] = []

    def call_ended(self, call: EndedCall) -> None:
        self.ended.append(call)

    def stream_changed(self, server: str, change: int) -> None: ...

    def happened(self, event, server: str) -> None: ...

    def refused(self, code: str) -> None:
        self.refusals.append(code)


def names_of(result: dict[str, object]) -> list[str]:
    return [tool["name"] for tool in result["tools"]]


# Names and routing


async def test_a_name_that_is_too_long_is_short_and_still_called(client):
    long_name = "read_" + "a_very_long_name_" * 6
    lister = Lister([long_name, "short"])
    async with serve(lister) as port, aggregate_of({"alpha": port}) as gateway:
        names = names_of((await client.post(gateway.mcp, **modern("tools/list"))).json()["result"])
        assert names[1] == "alpha__short"
        assert len(names[0]) == 64
        answer = (await client.post(gateway.mcp, **modern("tools/call", name=names[0]))).json()
        assert "error" in answer, "the body lacks a name"
    async with serve(lister) as port, aggregate_of({"alpha": port}) as gateway:
        asked = modern_call(names[0])
        answer = (await client.post(gateway.mcp, **asked)).json()
        assert answer["result"]["content"][0]["text"] == long_name
        assert lister.headers[-1]["mcp-name"] == long_name
        unknown = (await client.post(gateway.mcp, **modern_call(names[0][:-1] + "a"))).json()
        assert unknown["error"]["code"] == -32602


def modern_call(tool: str, number: object = 1, **arguments: object) -> dict[str, object]:
    asked = modern("tools/call", number, name=tool, arguments=arguments)
    body = json.loads(asked["content"])
    body["params"]["name"] = tool
    return {**asked, "content": json.dumps(body)}


async def test_headers_are_judged_in_the_names_that_the_client_uses(client):
    lister = Lister(["now"])
    async with serve(lister) as port, aggregate_of({"time": port}) as gateway:
        asked = modern_call("time__now", zone="UTC")
        asked["headers"]["mcp-param-zone"] = "UTC"
        assert (await client.post(gateway.mcp, **asked)).status_code == 200
        assert lister.headers[-1]["mcp-name"] == "now"
        assert lister.headers[-1]["mcp-param-zone"] == "UTC"
        asked["headers"]["mcp-name"] = "now"
        refused = await client.post(gateway.mcp, **asked)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, -32020)


async def test_equal_ids_of_two_clients_and_two_servers_get_their_own_answers(client):
    async with aggregate_of_apps({"alpha": Lister(["x"]), "beta": Lister(["y"])}) as gateway:
        names = [name for _ in range(10) for name in ("alpha__x", "beta__y")]
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(client.post(gateway.mcp, **modern_call(name, 1))) for name in names]
        texts = [call.result().json()["result"]["content"][0]["text"] for call in calls]
        assert texts == ["x", "y"] * 10


# Paging and caching


async def test_pages_of_servers_are_one_list(client):
    servers = {"alpha": Lister(["a"], ["b"], ["c"]), "beta": Lister(["d"])}
    async with aggregate_of_apps({"alpha": servers["alpha"], "beta": servers["beta"]}) as gateway:
        result = (await client.post(gateway.mcp, **modern("tools/list"))).json()["result"]
    assert names_of(result) == ["alpha__a", "alpha__b", "alpha__c", "beta__d"]
    assert "nextCursor" not in result


async def test_a_list_too_long_for_one_answer_goes_on_where_its_cursor_says(client):
    servers = {"alpha": Lister(*([f"a{n}"] for n in range(45))), "beta": Lister(["d"])}
    seen: list[str] = []
    async with aggregate_of_apps({"alpha": servers["alpha"], "beta": servers["beta"]}) as gateway:
        cursor: dict[str, object] = {}
        while True:
            result = (await client.post(gateway.mcp, **modern("tools/list", **cursor))).json()["result"]
            seen += names_of(result)
            if "nextCursor" not in result:
                break
            cursor = {"cursor": result["nextCursor"]}
    assert seen == [f"alpha__a{n}" for n in range(45)] + ["beta__d"]


@pytest.mark.parametrize("cursor", ["", "forged", 7, "é"], ids=["empty", "forged", "a number", "no ASCII"])
async def test_a_cursor_that_nobody_gave_is_refused(client, cursor):
    async with serve(Lister(["a"])) as port, aggregate_of({"alpha": port}) as gateway:
        answer = await client.post(gateway.mcp, **modern("tools/list", cursor=cursor))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32602)
        session = await legacy_client(gateway.mcp, client)
        legacy = await session.post("tools/list", cursor=cursor)
        assert (legacy.status_code, legacy.json()["error"]["code"]) == (200, -32602)


async def test_a_cursor_is_good_for_its_list_and_its_principal_alone(client):
    access = token_access([rule("ada", "one", {"*": ["*"]}), rule("bob", "two", {"*": ["*"]})])
    async with aggregate_of_apps({"alpha": Lister(*([f"a{n}"] for n in range(25)))}, access=access) as gateway:
        listed = await client.post(gateway.mcp, **signed(modern("tools/list"), "one"))
        cursor = listed.json()["result"]["nextCursor"]
        for method, token, status in (
            ("tools/list", "one", 200),
            ("tools/list", "two", 400),
            ("prompts/list", "one", 400),
        ):
            answer = await client.post(gateway.mcp, **signed(modern(method, cursor=cursor), token))
            assert answer.status_code == status


async def test_a_list_may_be_kept_as_long_as_its_strictest_part(client):
    long, short = Lister(["a"], ttlMs=9000, cacheScope="public"), Lister(["b"], ttlMs=5000, cacheScope="private")
    async with aggregate_of_apps({"alpha": long, "beta": short}, monotonic=lambda: 5.0) as gateway:
        result = (await client.post(gateway.mcp, **modern("tools/list"))).json()["result"]
        assert (result["ttlMs"], result["cacheScope"]) == (5000, "private")
        await client.post(gateway.mcp, **modern("tools/list", 2))
        assert (long.methods(), short.methods()) == (["tools/list"], ["tools/list"] * 2)
    async with aggregate_of_apps({"alpha": long}) as gateway:
        result = (await client.post(gateway.mcp, **modern("tools/list"))).json()["result"]
        assert result["cacheScope"] == "public"


# Access


def rule(name: str, token: str, servers: dict[str, list[str]]) -> TokenRule:
    return TokenRule(name=name, sha256=hashlib.sha256(token.encode()).hexdigest(), servers=servers)


def signed(asked: dict[str, object], token: str) -> dict[str, object]:
    return {**asked, "headers": {**asked["headers"], "authorization": f"Bearer {token}"}}


ACCESS = token_access([rule("ada", "one", {"alpha": ["*"], "beta": ["read_*"]}), rule("bob", "two", {})])


async def test_a_list_shows_what_a_call_allows_in_both_eras(client):
    servers = [Lister(["x"]), Lister(["read_it", "write_it"]), Lister(["secret"])]
    async with serve(servers[0]) as first, serve(servers[1]) as second, serve(servers[2]) as third:
        ports = {"alpha": first, "beta": second, "gamma": third}
        async with aggregate_of(ports, access=ACCESS) as gateway:
            listed = (await client.post(gateway.mcp, **signed(modern("tools/list"), "one"))).json()["result"]
            assert names_of(listed) == ["alpha__x", "beta__read_it"]
            headers = {"authorization": "Bearer one"}
            session = await legacy_client(gateway.mcp, client, headers=headers)
            assert names_of((await session.post("tools/list")).json()["result"]) == ["alpha__x", "beta__read_it"]
            for tool, is_allowed in (
                ("alpha__x", True),
                ("beta__read_it", True),
                ("beta__write_it", False),
                ("gamma__secret", False),
                ("ghost__secret", False),
            ):
                called = (await client.post(gateway.mcp, **signed(modern_call(tool), "one"))).json()
                again = (await session.post("tools/call", name=tool)).json()
                for answer in (called, again):
                    assert ("result" in answer) is is_allowed
                    assert is_allowed or answer["error"]["code"] == -32602
            assert servers[2].asked == []


async def test_a_caller_without_servers_sees_nothing_and_a_stranger_is_refused(client):
    async with serve(Lister(["x"])) as port, aggregate_of({"alpha": port}, access=ACCESS) as gateway:
        listed = (await client.post(gateway.mcp, **signed(modern("tools/list"), "two"))).json()["result"]
        assert listed["tools"] == []
        for asked in (modern("tools/list"), signed(modern("tools/list"), "three")):
            refused = await client.post(gateway.mcp, **asked)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_a_session_is_its_principal_s_alone(client):
    access = token_access([rule("ada", "one", {"*": ["*"]}), rule("bob", "two", {"*": ["*"]})])
    async with serve(Lister(["x"])) as port, aggregate_of({"alpha": port}, access=access) as gateway:
        session = await legacy_client(gateway.mcp, client, headers={"authorization": "Bearer one"})
        assert (await session.post("ping")).json()["result"] == {}
        session.headers["authorization"] = "Bearer two"
        assert (await session.post("ping")).status_code == 404


# Refusals


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example.com"}, 421),
        ({"origin": "http://evil.example.com"}, 403),
        ({"accept": "application/json"}, 406),
        ({"content-type": "text/plain"}, 400),
    ],
)
async def test_requests_that_no_server_would_take_are_refused(client, headers, status):
    async with serve(Lister(["x"])) as port, aggregate_of({"alpha": port}) as gateway:
        asked = modern("tools/list")
        answer = await client.post(gateway.mcp, content=asked["content"], headers={**asked["headers"], **headers})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", -32700), (b'{"id":1}', -32600), (b"[]", -32600), (b"\xff", -32700), (b"null", -32700)],
)
async def test_bodies_that_are_no_message_are_refused(client, body, code):
    async with aggregate_of({}) as gateway:
        answer = await client.post(gateway.mcp, content=body, headers=ACCEPT)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


async def test_the_address_has_one_spelling_and_three_verbs(client):
    async with aggregate_of({}) as gateway:
        assert (await client.put(gateway.mcp)).status_code == 405
        assert (await client.get(gateway.mcp)).status_code == 405
        assert (await client.post(gateway.mcp + "/", **modern("tools/list"))).status_code == 404


async def test_a_body_over_the_limit_is_refused(client):
    async with aggregate_of({}, max_body_bytes=1000) as gateway:
        answer = await client.post(gateway.mcp, content=b" " * 1001, headers=ACCEPT)
        assert answer.status_code == 413


@pytest.mark.parametrize("method", ["ping", "tasks/get", "initialize", "nothing/known"])
async def test_methods_that_stateless_clients_do_not_have_are_not_found(client, method):
    async with aggregate_of({}) as gateway:
        answer = await client.post(gateway.mcp, **modern(method, **({"taskId": "1"} if "tasks" in method else {})))
        assert answer.json()["error"]["code"] in {-32601, -32602, -32020}


# Partial failure


async def test_a_slow_server_s_part_is_missing_and_its_last_list_stands_in(client):
    quick, slow = Lister(["x"]), Lister(["y"])
    settings = AggregateSettings(list_timeout_s=0.3)
    async with aggregate_of_apps({"alpha": quick, "beta": slow}, aggregate=settings) as gateway:
        slow.answers.clear()
        result = (await client.post(gateway.mcp, **modern("tools/list"))).json()["result"]
        assert names_of(result) == ["alpha__x"]
        assert result["_meta"]["catwalk.dev/unavailable"] == {"beta": "no answer within 0.3 s"}
        assert (result["ttlMs"], result["cacheScope"]) == (0, "private")
        slow.answers.set()
        result = (await client.post(gateway.mcp, **modern("tools/list"))).json()["result"]
        assert names_of(result) == ["alpha__x", "beta__y"]
        assert "_meta" not in result
        slow.answers.clear()
        result = (await client.post(gateway.mcp, **modern("tools/list"))).json()["result"]
        assert names_of(result) == ["alpha__x", "beta__y"]
        unavailable = {"beta": "as it was before: no answer within 0.3 s"}
        assert result["_meta"]["catwalk.dev/unavailable"] == unavailable
        slow.answers.set()


async def test_no_server_at_all_is_an_error_and_not_an_empty_list(client, unused_port):
    async with aggregate_of({"alpha": unused_port}) as gateway:
        answer = await client.post(gateway.mcp, **modern("tools/list"))
        assert answer.status_code == 502
        assert answer.json()["error"]["data"]["unavailable"].keys() == {"alpha"}
        assert "alpha: " in answer.json()["error"]["message"]


async def test_a_sleeping_server_is_listed_without_waking_it(client):
    state = {"alpha": Running(identity="v1", is_asleep=False)}
    lister = Lister(["x"])
    settings = AggregateSettings(running=state.get)
    async with serve(lister) as port, aggregate_of({"alpha": port}, aggregate=settings) as gateway:
        await client.post(gateway.mcp, **modern("tools/list"))
        state["alpha"] = Running(identity="v1", is_asleep=True)
        result = (await client.post(gateway.mcp, **modern("tools/list"))).json()["result"]
        assert names_of(result) == ["alpha__x"]
        assert lister.methods() == ["tools/list"]
        state["alpha"] = Running(identity="v2", is_asleep=True)
        await client.post(gateway.mcp, **modern("tools/list"))
        assert lister.methods() == ["tools/list"] * 2


async def test_a_server_without_the_list_is_an_empty_part(client):
    async with aggregate_of_servers({"alpha": talker("alpha")}) as gateway, serve(nothing_but_errors) as port:
        gateway.routes.replace([gateway.routes.find("alpha"), upstream_at(port, "beta")])
        result = message_of(await client.post(gateway.mcp, **modern("prompts/list")))["result"]
        assert [prompt["name"] for prompt in result["prompts"]] == ["alpha__greet"]
        assert "_meta" not in result


async def nothing_but_errors(_, receive, send) -> None:
    message = json.loads(await read_body(receive))
    error = {"code": -32601, "message": "Method not found"}
    await reply(send, 404, json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}).encode())


# What observers are told


async def test_a_call_is_one_line_with_its_server_and_its_tool(client, tmp_path):
    calls = Calls()
    with (tmp_path / "audit").open("wb") as stream:
        audit = AuditLog(stream)
        async with aggregate_of_apps(
            {"time": Lister(["now"])}, access=ACCESS_TIME, observers=(calls, audit)
        ) as gateway:
            await client.post(gateway.mcp, **signed(modern_call("time__now"), "one"))
            await client.post(gateway.mcp, **signed(modern("server/discover"), "one"))
            await client.post(gateway.mcp, **signed(modern_call("ghost__now"), "one"))
            await until(lambda: len(calls.ended) == 3)
        audit.close()
    lines = [json.loads(line) for line in (tmp_path / "audit").read_text(encoding="utf-8").splitlines()]
    assert [(line["who"], line["server"], line["method"], line["tool"], line["result"]) for line in lines] == [
        ("ada", "time", "tools/call", "now", "ok"),
        ("ada", "*", "server/discover", "", "ok"),
        ("ada", "*", "tools/call", "ghost__now", "refused"),
    ]


ACCESS_TIME = token_access([rule("ada", "one", {"time": ["*"]})])


# Sessions


async def test_a_session_starts_no_server_before_it_is_used(client):
    servers = [Lister(["x"]), Lister(["y"])]
    async with aggregate_of_apps({"alpha": servers[0], "beta": servers[1]}) as gateway:
        session = await legacy_client(gateway.mcp, client)
        assert [server.asked for server in servers] == [[], []]
        await session.post("tools/call", name="beta__y")
        assert servers[0].asked == []
        assert servers[1].methods() == ["initialize", "notifications/initialized", "tools/call"]


async def test_a_session_outlives_the_gateway_and_works_at_every_replica(client):
    lister = Lister(["x"])
    async with aggregate_of_apps({"alpha": lister}) as gateway, aggregate_of_apps({"alpha": lister}) as replica:
        session = await legacy_client(gateway.mcp, client)
        assert "result" in (await session.post("tools/call", name="alpha__x")).json()
        session.url = replica.mcp
        assert "result" in (await session.post("tools/call", name="alpha__x")).json()


@pytest.mark.parametrize("capsule", ["cw1.AAAA", "x", "cw1." + "A" * 6000])
async def test_a_forged_session_is_not_found(client, capsule):
    async with aggregate_of({}) as gateway:
        session = await legacy_client(gateway.mcp, client)
        session.headers["mcp-session-id"] = capsule
        assert (await session.post("ping")).status_code == 404
        del session.headers["mcp-session-id"]
        assert (await session.post("ping")).status_code == 400


async def test_a_session_is_over_when_its_client_says_so(client):
    async with serve(Lister(["x"])) as port, aggregate_of({"alpha": port}) as gateway:
        session = await legacy_client(gateway.mcp, client)
        await session.post("tools/call", name="alpha__x")
        assert (await client.delete(gateway.mcp, headers=session.headers)).status_code == 200
        assert (await session.post("ping")).status_code == 404


async def test_a_session_of_a_server_s_own_address_is_none_here(client):
    async with serve(Lister(["x"])) as port, aggregate_of({"alpha": port}) as gateway:
        other = await legacy_client(gateway.mcp.replace("/mcp", "/servers/alpha/mcp"), client)
        other.url = gateway.mcp
        assert (await other.post("ping")).status_code == 404


async def test_a_batch_of_the_oldest_revision_is_answered_as_one(client):
    async with serve(Lister(["x"])) as port, aggregate_of({"alpha": port}) as gateway:
        session = await legacy_client(gateway.mcp, client, version="2025-03-26")
        session.headers.pop("mcp-protocol-version")
        batch = [
            {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
            {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "alpha__x"}},
            {"jsonrpc": "2.0", "id": 3, "method": "nothing"},
            {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
        ]
        answers = {answer["id"]: answer for answer in (await session.send(batch)).json()}
        assert answers.keys() == {1, 2, 3}
        assert names_of(answers[1]["result"]) == ["alpha__x"]
        assert answers[2]["result"]["content"][0]["text"] == "x"
        assert answers[3]["error"]["code"] == -32601
        newer = await legacy_client(gateway.mcp, client)
        assert (await newer.send(batch)).status_code == 400


async def test_a_cancellation_reaches_the_server_that_carries_out_the_request(client):
    servers = {"alpha": Lister(["x"]), "beta": Lister(["y"])}
    async with aggregate_of_apps({"alpha": servers["alpha"], "beta": servers["beta"]}) as gateway:
        session = await legacy_client(gateway.mcp, client)
        for tool in ("alpha__x", "beta__y"):
            await session.post("tools/call", name=tool)
        servers["beta"].answers.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(session.post("tools/call", 7, name="beta__y"))
            await until(lambda: servers["beta"].methods().count("tools/call") == 2)
            notice = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
            assert (await session.send(notice)).status_code == 202
            servers["beta"].answers.set()
    assert "notifications/cancelled" in servers["beta"].methods()
    assert "notifications/cancelled" not in servers["alpha"].methods()


async def test_a_stateless_client_that_leaves_ends_the_call_at_its_server(client):
    ended = asyncio.Event()

    async def waiting(_, receive, send) -> None:
        await read_body(receive)
        while (await receive())["type"] != "http.disconnect":
            pass
        ended.set()

    with anyio.fail_after(20):
        async with serve(waiting) as port, aggregate_of({"alpha": port}) as gateway:
            with pytest.raises(httpx.ReadTimeout):
                await client.post(gateway.mcp, **modern_call("alpha__x"), timeout=0.5)
            await ended.wait()


async def test_the_log_level_is_told_to_servers_of_now_and_later(client):
    servers = {"alpha": Lister(["x"]), "beta": Lister(["y"])}
    async with aggregate_of_apps({"alpha": servers["alpha"], "beta": servers["beta"]}) as gateway:
        session = await legacy_client(gateway.mcp, client)
        await session.post("tools/call", name="alpha__x")
        assert (await session.post("logging/setLevel", level="warning")).json()["result"] == {}
        assert (await session.post("logging/setLevel", level="loud")).json()["error"]["code"] == -32602
        await session.post("tools/call", name="beta__y")
    for server in servers.values():
        levels = [message["params"] for message in server.asked if message["method"] == "logging/setLevel"]
        assert levels == [{"level": "warning"}]
