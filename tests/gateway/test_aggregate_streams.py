"""Streams of the common address: whose notices come, when, and under which names."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import httpx
import pytest

from gateway.aggregate.settings import AggregateSettings, Running
from tests.gateway.aggregates import LegacyClient, aggregate_of_apps, legacy_client, modern
from tests.gateway.conftest import read_body, reply, until, upstream_at

SOON = AggregateSettings(notice_pause_s=0.05)


class Streamer:
    """A server of both eras with a stream on which a test speaks, and sessions that a test can end."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.asked: list[dict[str, object]] = []
        self.listening = 0
        self.resumed: list[str] = []
        self.sessions: set[str] = set()

    async def __call__(self, scope, receive, send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if scope["method"] == "GET":
            self.resumed.append(headers.get("last-event-id", ""))
            await self.stream(receive, send, [])
            return
        message = json.loads(await read_body(receive))
        self.asked.append(message)
        session = headers.get("mcp-session-id")
        if message.get("method") == "subscriptions/listen":
            wanted = message["params"]["notifications"]
            await self.stream(receive, send, [notice("subscriptions/acknowledged", notifications=wanted)])
        elif session is not None and session not in self.sessions:
            await reply(send, 404, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Session not found"}}')
        elif "id" not in message or "method" not in message:
            await reply(send, 202)
        else:
            await self.answer(message, send)

    async def answer(self, message, send) -> None:
        result: dict[str, object] = {"resultType": "complete"}
        extra = ()
        if message["method"] == "initialize":
            self.sessions.add(f"s{len(self.asked)}")
            extra = ((b"mcp-session-id", f"s{len(self.asked)}".encode()),)
            info = {"name": "streamer", "version": "1"}
            result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info}
        elif message["method"] == "resources/list":
            result["resources"] = [{"uri": "note://1", "name": "one"}]
        elif message["method"] == "resources/templates/list":
            result["resourceTemplates"] = []
        else:
            result["content"] = []
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        await reply(send, 200, body, ((b"content-type", b"application/json"), *extra))

    async def stream(self, receive, send, first: list[str]) -> None:
        self.listening += 1
        kind = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        leaving = asyncio.create_task(self.left(receive))
        try:
            for text in first:
                await self.write(send, text)
            while True:
                saying = asyncio.create_task(self.said.get())
                await asyncio.wait({saying, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if leaving.done():
                    saying.cancel()
                    return
                await self.write(send, saying.result())
        finally:
            leaving.cancel()
            self.listening -= 1

    async def left(self, receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def write(self, send, text: str) -> None:
        body = f"id: g-1\ndata: {text}\n\n".encode()
        await send({"type": "http.response.body", "body": body, "more_body": True})

    def methods(self) -> list[object]:
        return [message["method"] for message in self.asked]


def notice(name: str, **params: object) -> str:
    return json.dumps({"jsonrpc": "2.0", "method": f"notifications/{name}", "params": params})


class Heard:
    """What came on a stream so far."""

    def __init__(self) -> None:
        self.messages: list[dict[str, object]] = []
        self.is_open = asyncio.Event()
        self.is_over = asyncio.Event()

    async def read(self, answer: httpx.Response) -> None:
        assert answer.status_code == 200, await answer.aread()
        self.is_open.set()
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                self.messages.append(json.loads(line.removeprefix("data: ")))
        self.is_over.set()

    def methods(self) -> list[object]:
        return [message.get("method") for message in self.messages]


@asynccontextmanager
async def listening(client: httpx.AsyncClient, verb: str, url: str, **asked: object) -> AsyncIterator[Heard]:
    heard = Heard()

    async def run() -> None:
        with suppress(httpx.ReadError):
            async with client.stream(verb, url, **asked) as answer:
                await heard.read(answer)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        await heard.is_open.wait()
        yield heard
        task.cancel()


def get(session: LegacyClient, **headers: str) -> dict[str, object]:
    return {"headers": {**session.headers, "accept": "text/event-stream", **headers}}


@pytest.fixture
async def client():
    with anyio.fail_after(30):
        async with httpx.AsyncClient(timeout=20) as client:
            yield client


async def test_a_session_hears_the_servers_that_it_uses(client):
    alpha, beta = Streamer(), Streamer()
    async with aggregate_of_apps({"alpha": alpha, "beta": beta}, aggregate=SOON) as gateway:
        session = await legacy_client(gateway.mcp, client)
        async with listening(client, "GET", gateway.mcp, **get(session)) as heard:
            await session.post("tools/call", name="alpha__x")
            await until(lambda: alpha.listening == 1)
            assert beta.asked == []
            alpha.said.put_nowait(notice("message", level="info", data="hello"))
            await until(lambda: heard.methods() == ["notifications/message"])
        await until(lambda: alpha.listening == 0)


async def test_changes_of_several_servers_are_told_once(client):
    alpha, beta = Streamer(), Streamer()
    settings = AggregateSettings(notice_pause_s=0.5)
    async with aggregate_of_apps({"alpha": alpha, "beta": beta}, aggregate=settings) as gateway:
        session = await legacy_client(gateway.mcp, client)
        async with listening(client, "GET", gateway.mcp, **get(session)) as heard:
            for name in ("alpha", "beta"):
                await session.post("tools/call", name=f"{name}__x")
            await until(lambda: alpha.listening == beta.listening == 1)
            for server in (alpha, beta, alpha):
                server.said.put_nowait(notice("tools/list_changed"))
            beta.said.put_nowait(notice("prompts/list_changed"))
            beta.said.put_nowait(notice("message", level="info", data="last"))
            await until(lambda: len(heard.messages) == 3)
            assert heard.methods() == [
                "notifications/message",
                "notifications/prompts/list_changed",
                "notifications/tools/list_changed",
            ]


async def test_questions_on_the_stream_name_their_server(client):
    alpha = Streamer()
    async with aggregate_of_apps({"alpha": alpha}, aggregate=SOON) as gateway:
        session = await legacy_client(gateway.mcp, client, capabilities={"roots": {}})
        async with listening(client, "GET", gateway.mcp, **get(session)) as heard:
            await session.post("tools/call", name="alpha__x")
            alpha.said.put_nowait('{"jsonrpc":"2.0","id":1,"method":"roots/list"}')
            await until(lambda: len(heard.messages) == 1)
            assert heard.messages[0]["id"] == "alpha/1"
            answer = {"jsonrpc": "2.0", "id": "alpha/1", "result": {"roots": []}}
            alpha.asked.clear()
            assert (await session.send(answer)).status_code == 202
    assert alpha.asked == [{**answer, "id": 1}]


async def test_an_answer_that_nobody_asked_for_is_refused(client):
    async with aggregate_of_apps({"alpha": Streamer()}) as gateway:
        session = await legacy_client(gateway.mcp, client)
        answer = await session.send({"jsonrpc": "2.0", "id": "ghost/1", "result": {}})
        assert answer.status_code == 400


async def test_a_subscribed_resource_is_told_of_by_its_address_here(client):
    alpha, beta = Streamer(), Streamer()
    async with aggregate_of_apps({"alpha": alpha, "beta": beta}, aggregate=SOON) as gateway:
        session = await legacy_client(gateway.mcp, client)
        listed = (await session.post("resources/list")).json()["result"]["resources"]
        assert [resource["uri"] for resource in listed] == ["note://1", "beta+note://1"]
        async with listening(client, "GET", gateway.mcp, **get(session)) as heard:
            assert "result" in (await session.post("resources/subscribe", uri="beta+note://1")).json()
            assert beta.asked[-1]["params"] == {"uri": "note://1"}
            await until(lambda: beta.listening == 1)
            beta.said.put_nowait(notice("resources/updated", uri="note://1"))
            await until(lambda: len(heard.messages) == 1)
            assert heard.messages[0]["params"] == {"uri": "beta+note://1"}


async def test_a_session_that_a_server_lost_is_started_again_with_what_was_set(client):
    alpha = Streamer()
    async with aggregate_of_apps({"alpha": alpha}, aggregate=SOON) as gateway:
        session = await legacy_client(gateway.mcp, client, capabilities={"roots": {}})
        await session.post("resources/subscribe", uri="note://1")
        await session.post("logging/setLevel", level="error")
        alpha.sessions.clear()
        alpha.asked.clear()
        assert "result" in (await session.post("tools/call", name="alpha__x")).json()
    assert alpha.methods() == [
        "tools/call",
        "initialize",
        "notifications/initialized",
        "logging/setLevel",
        "resources/subscribe",
        "tools/call",
    ]


async def test_the_rest_of_a_broken_stream_comes_from_its_server(client):
    alpha, beta = Streamer(), Streamer()
    async with aggregate_of_apps({"alpha": alpha, "beta": beta}) as gateway:
        session = await legacy_client(gateway.mcp, client)
        async with listening(client, "GET", gateway.mcp, **get(session, **{"last-event-id": "beta/p3-7"})) as heard:
            beta.said.put_nowait(notice("message", level="info", data="rest"))
            await until(lambda: len(heard.messages) == 1)
        assert (alpha.resumed, beta.resumed) == ([], ["p3-7"])
        headers = get(session, **{"last-event-id": "ghost/p3-7"})["headers"]
        assert (await client.get(gateway.mcp, headers=headers)).status_code == 400


async def test_a_session_has_one_stream(client):
    async with aggregate_of_apps({"alpha": Streamer()}) as gateway:
        session = await legacy_client(gateway.mcp, client)
        async with listening(client, "GET", gateway.mcp, **get(session)):
            assert (await client.get(gateway.mcp, **get(session))).status_code == 409


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_change_of_the_fleet_is_a_change_of_the_lists(client, era):
    async with aggregate_of_apps({"alpha": Streamer()}, aggregate=SOON) as gateway:
        session = await legacy_client(gateway.mcp, client)
        asked = get(session) if era == "legacy" else listen(toolsListChanged=True)
        verb = "GET" if era == "legacy" else "POST"
        async with listening(client, verb, gateway.mcp, **asked) as heard:
            await asyncio.sleep(0)
            gateway.routes.replace([gateway.routes.find("alpha"), upstream_at(1, "beta")])
            await until(lambda: "notifications/tools/list_changed" in heard.methods())


def listen(number: object = "L1", **wanted: object) -> dict[str, object]:
    return modern("subscriptions/listen", number, notifications=wanted)


async def test_a_stateless_client_hears_what_it_asked_for_under_its_own_id(client):
    alpha, beta = Streamer(), Streamer()
    async with aggregate_of_apps({"alpha": alpha, "beta": beta}, aggregate=SOON) as gateway:
        asked = listen(toolsListChanged=True, resourceSubscriptions=["note://1"])
        async with listening(client, "POST", gateway.mcp, **asked) as heard:
            await until(lambda: alpha.listening == beta.listening == 1)
            assert heard.messages[0]["method"] == "notifications/subscriptions/acknowledged"
            wanted = {"toolsListChanged": True, "resourceSubscriptions": ["note://1"]}
            assert heard.messages[0]["params"]["notifications"] == wanted
            beta.said.put_nowait(notice("prompts/list_changed"))
            beta.said.put_nowait(notice("tools/list_changed"))
            alpha.said.put_nowait(notice("resources/updated", uri="note://1"))
            await until(lambda: len(heard.messages) == 3)
            assert set(heard.methods()[1:]) == {"notifications/resources/updated", "notifications/tools/list_changed"}
            ids = {message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] for message in heard.messages}
            assert ids == {"L1"}
        listens = [message for message in beta.asked if message["method"] == "subscriptions/listen"]
        assert listens[0]["params"]["notifications"] == {"toolsListChanged": True}
        await until(lambda: alpha.listening == beta.listening == 0)


async def test_nobody_is_woken_to_be_listened_to_and_who_is_used_is_heard(client):
    alpha = Streamer()
    asleep = AggregateSettings(notice_pause_s=0.05, running=lambda _: Running(identity="v1", is_asleep=True))
    call = modern("tools/call", name="alpha__x")
    body = json.loads(call["content"])
    body["params"]["name"] = "alpha__x"
    async with (
        aggregate_of_apps({"alpha": alpha}, aggregate=asleep) as gateway,
        listening(client, "POST", gateway.mcp, **listen(toolsListChanged=True)) as heard,
    ):
        await until(lambda: len(heard.messages) == 1)
        assert alpha.asked == []
        await client.post(gateway.mcp, content=json.dumps(body), headers=call["headers"])
        await until(lambda: alpha.listening == 1)
        alpha.said.put_nowait(notice("tools/list_changed"))
        await until(lambda: len(heard.messages) == 2)


async def test_a_server_that_is_no_longer_used_is_let_go(client):
    alpha = Streamer()
    settings = AggregateSettings(listen_linger_s=0.2)
    async with aggregate_of_apps({"alpha": alpha}, aggregate=settings) as gateway:
        session = await legacy_client(gateway.mcp, client)
        async with listening(client, "GET", gateway.mcp, **get(session)):
            await session.post("tools/call", name="alpha__x")
            await until(lambda: alpha.listening == 1)
            await until(lambda: alpha.listening == 0)
            await session.post("tools/call", name="alpha__x")
            await until(lambda: alpha.listening == 1)


RESOURCES = "resources/list"


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_part_that_comes_too_late_is_told_of_when_it_is_there(client, era):
    beta, may_answer = Streamer(), asyncio.Event()

    async def slow(scope, receive, send) -> None:
        await may_answer.wait()
        await beta(scope, receive, send)

    settings = AggregateSettings(notice_pause_s=0.05, list_timeout_s=0.3)
    async with aggregate_of_apps({"alpha": Streamer(), "beta": slow}, aggregate=settings) as gateway:
        session = await legacy_client(gateway.mcp, client)

        async def uris() -> list[str]:
            asked = session.post(RESOURCES) if era == "legacy" else client.post(gateway.mcp, **modern(RESOURCES))
            return [resource["uri"] for resource in (await asked).json()["result"]["resources"]]

        asked = get(session) if era == "legacy" else listen(resourcesListChanged=True)
        async with listening(client, "GET" if era == "legacy" else "POST", gateway.mcp, **asked) as heard:
            assert await uris() == ["note://1"]
            may_answer.set()
            await until(lambda: "notifications/resources/list_changed" in heard.methods())
            assert await uris() == ["note://1", "beta+note://1"]
