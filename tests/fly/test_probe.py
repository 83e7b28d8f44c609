"""The MCP round trip, against a scripted server for every way to be unwell, and against the official SDK's server."""

import asyncio
import json
import re
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from reconciler.fly.probe import DataPath, MCPProber

INITIALIZED = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "clock", "version": "1.2"},
}
SESSION = {"mcp-session-id": "s-1", "catwalk-machine": "m1"}


def message(seen, result):
    return {"jsonrpc": "2.0", "id": seen.json["id"], "result": result}


class Script:
    """A legacy server as the scripted loopback server plays it."""

    def __init__(self, server) -> None:
        self.server = server
        self.answers = {"initialize": INITIALIZED, "tools/list": {"tools": [{"name": "now"}, {"name": "zones"}]}}
        self.as_events = False
        server.on("POST", "/mcp", self.answer)
        server.on("DELETE", "/mcp", (200, b""))

    def answer(self, seen):
        method = seen.json["method"]
        if "id" not in seen.json:
            return (202, b"")
        answer = self.answers[method]
        if not isinstance(answer, dict):
            return answer
        body = message(seen, answer)
        headers = SESSION if method == "initialize" else {}
        return self.events(body, headers) if self.as_events else self.server.reply(body=body, headers=headers)

    def events(self, body, headers):
        notice = {"jsonrpc": "2.0", "method": "notifications/message", "params": {}}
        lines = ["id: 0", "data:", "", ": keep-alive", "", f"data: {json.dumps(notice)}", ""]
        text = "\n".join([*lines, "event: message", f"data: {json.dumps(body)}", "", ""])
        return self.server.reply(body=text.encode(), headers=headers | {"content-type": "text/event-stream"})


@pytest.fixture
def script(server):
    return Script(server)


@pytest.fixture
async def prober(server, clock):
    path = DataPath(host="127.0.0.1", port=urlsplit(server.url).port or 0)
    async with MCPProber(path, timing=clock.timing, redact=lambda text: text.replace("canary", "********")) as found:
        yield found


@pytest.mark.parametrize("as_events", [False, True], ids=["JSON", "events"])
async def test_a_server_that_answers_tells_its_name_and_its_tools(script, prober, as_events):
    script.as_events = as_events
    result = await prober.probe("acme-time")
    assert result.problem == ""
    assert result.answered
    assert (result.server_name, result.server_version, result.era) == ("clock", "1.2", "legacy")
    assert result.tools == ("now", "zones")


async def test_the_probe_goes_through_the_proxy_by_the_name_of_the_app_and_gives_its_session_back(script, prober):
    await prober.probe("acme-time")
    seen = script.server.seen
    assert [request.json["method"] for request in seen[:-1]] == [
        "initialize",
        "notifications/initialized",
        "tools/list",
    ]
    assert {request.headers["host"] for request in seen} == {"acme-time.flycast"}
    assert "mcp-session-id" not in seen[0].headers
    for request in seen[1:]:
        assert request.headers["mcp-session-id"] == "s-1"
        assert request.headers["mcp-protocol-version"] == "2025-11-25"
        assert request.headers["fly-force-instance-id"] == "m1"
    assert seen[-1].method == "DELETE"


async def test_a_named_machine_is_asked_from_the_first_request_on(script, prober):
    await prober.probe("acme-time", machine_id="m1")
    assert {request.headers["fly-force-instance-id"] for request in script.server.seen} == {"m1"}


async def test_every_page_of_tools_is_read(script, prober):
    pages = iter([{"tools": [{"name": "a"}], "nextCursor": "2"}, {"tools": [{"name": "b"}]}])
    script.server.on(
        "POST",
        "/mcp",
        lambda seen: message(seen, next(pages)) if seen.json["method"] == "tools/list" else script.answer(seen),
    )
    assert (await prober.probe("acme-time")).tools == ("a", "b")


async def test_a_server_without_tools_answers_all_the_same(script, prober):
    def answer(seen):
        if seen.json["method"] == "tools/list":
            return {"jsonrpc": "2.0", "id": seen.json["id"], "error": {"code": -32601, "message": "Method not found"}}
        return script.answer(seen)

    script.server.on("POST", "/mcp", answer)
    result = await prober.probe("acme-time")
    assert result.answered
    assert result.tools == ()


UNWELL = [
    pytest.param((503, {"error": "no machine of canary"}), "HTTP 503: .*no machine of \\*{8}", id="503"),
    pytest.param((404, b""), "HTTP 404", id="404"),
    pytest.param((200, b"<html>hello</html>"), "no JSON-RPC response", id="no JSON"),
    pytest.param((200, b"[" * 100_000), "no JSON-RPC response", id="nested too deep"),
    pytest.param((200, {"jsonrpc": "2.0", "id": 1, "result": {}}), "no MCP server", id="another JSON-RPC service"),
    pytest.param((200, {"jsonrpc": "2.0", "id": 1, "error": {"message": "no canary"}}), "error: no \\*{8}", id="error"),
    pytest.param((200, {"jsonrpc": "2.0", "id": None, "error": {"message": "parse"}}), "error: parse", id="null id"),
    pytest.param("lost", "connection broke", id="connection lost"),
    pytest.param("cut", "connection broke", id="answer cut"),
    pytest.param("huge", "larger than", id="endless answer"),
    pytest.param("silent stream", "ended without the answer", id="stream without the answer"),
]


@pytest.mark.parametrize(("answer", "problem"), UNWELL)
async def test_a_server_that_is_unwell_is_an_answer_and_no_exception(script, prober, answer, problem):
    server = script.server
    named = {
        "lost": server.lost,
        "cut": server.reply(body=INITIALIZED, cut=True),
        "huge": server.reply(body=b'"' + b"x" * (9 * 2**20) + b'"'),
        "silent stream": server.reply(body=b": nothing\n\n", headers={"content-type": "text/event-stream"}),
    }
    script.answers["initialize"] = named[answer] if isinstance(answer, str) else answer
    result = await prober.probe("acme-time")
    assert not result.answered
    assert re.search(problem, result.problem)
    assert "canary" not in result.problem


async def test_a_session_of_a_server_that_fails_later_is_given_back_too(script, prober):
    script.answers["tools/list"] = (500, b"broken")
    result = await prober.probe("acme-time")
    assert not result.answered
    assert result.server_name == "clock"
    assert script.server.seen[-1].method == "DELETE"


async def test_a_server_that_says_nothing_is_given_up_in_time(script, server):
    server.on("POST", "/mcp", server.mute)
    path = DataPath(host="127.0.0.1", port=urlsplit(server.url).port or 0)
    async with MCPProber(path, total_timeout_s=0.05) as prober:
        result = await prober.probe("acme-time")
    assert not result.answered
    assert "no MCP answer within" in result.problem


async def test_a_proxy_that_is_not_there_is_named():
    async with MCPProber(DataPath(host="127.0.0.1", port=9)) as prober:
        result = await prober.probe("acme-time")
    assert result.problem == "no connection to the proxy in front of the server"


async def test_on_fly_the_proxy_is_the_name_of_the_app():
    async with MCPProber(DataPath()) as prober:
        exchange = prober._exchange("acme-time")
    assert exchange.url == "http://acme-time.flycast:80/mcp"


class _AnnouncedServer(uvicorn.Server):
    """Leaves the signals alone, and says when it listens."""

    def __init__(self, config, listening) -> None:
        super().__init__(config)
        self.listening = listening

    @contextmanager
    def capture_signals(self):
        yield

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.listening.set()


@pytest.mark.parametrize("json_response", [False, True], ids=["events", "JSON"])
async def test_the_official_server_is_understood(json_response):
    official = MCPServer("official", version="9")
    official.tool(name="echo")(lambda text: text)
    app = official.streamable_http_app(
        json_response=json_response,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, ws="none", timeout_graceful_shutdown=1)
    started = asyncio.Event()
    server = _AnnouncedServer(config, started)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        await started.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        async with MCPProber(DataPath(host="127.0.0.1", port=port)) as prober:
            result = await prober.probe("acme-official")
        server.should_exit = True
    assert result.problem == ""
    assert result.answered
    assert (result.server_name, result.server_version, result.tools) == ("official", "9", ("echo",))
