"""The official client through the gateway to the official server, in both eras."""

import asyncio
from contextlib import asynccontextmanager

import anyio
import pytest
from mcp import Client, MCPError
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import ElicitResult, TextContent
from pydantic import BaseModel

from gateway.relay import RelayLimits
from tests.gateway.conftest import gateway_to, serve, until

ERAS = ["legacy", "2026-07-28"]


class Confirmation(BaseModel):
    ok: bool


class Observed:
    """What the server saw of its calls."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()


def make_server(observed: Observed) -> MCPServer:
    server = MCPServer("clock", log_level="ERROR")

    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool()
    def repeat(size: int) -> str:
        return "x" * size

    @server.tool()
    async def count(to: int, ctx: Context) -> str:
        for step in range(to):
            await ctx.report_progress(step + 1, to)
        return "counted"

    @server.tool()
    async def ask(ctx: Context) -> str:
        answer = await ctx.elicit("Really?", Confirmation)
        return answer.action

    @server.tool()
    async def wait_forever() -> str:
        observed.started.set()
        try:
            await anyio.sleep_forever()
        finally:
            observed.cancelled.set()
        return "never"

    return server


def on_machine(app, machine: bytes):
    """What the adapter adds to every answer."""

    async def wrapped(scope, receive, send):
        async def send_with_machine(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"catwalk-machine", machine)]}
            await send(message)

        await app(scope, receive, send_with_machine)

    return wrapped


@asynccontextmanager
async def clock_behind_gateway(observed: Observed | None = None, *, json_response: bool = False):
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app = make_server(observed or Observed()).streamable_http_app(
        transport_security=security, json_response=json_response, max_request_body_size=16 * 1024 * 1024
    )
    async with (
        serve(on_machine(app, b"148e2d"), lifespan="on") as port,
        gateway_to(port, relay=RelayLimits()) as gateway,
    ):
        yield gateway


def text_of(result) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


@pytest.mark.parametrize("json_response", [False, True], ids=["event streams", "plain JSON"])
@pytest.mark.parametrize("mode", [*ERAS, "auto"])
async def test_tools_are_listed_and_called(mode, json_response):
    with anyio.fail_after(20):
        async with (
            clock_behind_gateway(json_response=json_response) as gateway,
            Client(gateway.mcp, mode=mode) as client,
        ):
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert names == {"add", "repeat", "count", "ask", "wait_forever"}
            assert text_of(await client.call_tool("add", {"a": 2, "b": 3})) == "5"


@pytest.mark.parametrize("mode", ERAS)
async def test_concurrent_calls_get_their_own_answers(mode):
    with anyio.fail_after(20):
        async with clock_behind_gateway() as gateway, Client(gateway.mcp, mode=mode) as client:
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(client.call_tool("add", {"a": n, "b": 1000})) for n in range(20)]
            assert [text_of(call.result()) for call in calls] == [str(n + 1000) for n in range(20)]


@pytest.mark.parametrize("mode", ERAS)
async def test_every_progress_notice_of_concurrent_calls_arrives(mode):
    with anyio.fail_after(20):
        async with clock_behind_gateway() as gateway, Client(gateway.mcp, mode=mode) as client:
            notices: list[list[float]] = [[], []]

            async def call(index: int) -> str:
                async def on_progress(progress: float, total: float | None, message: str | None) -> None:
                    notices[index].append(progress)

                return text_of(await client.call_tool("count", {"to": 8}, progress_callback=on_progress))

            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(call(index)) for index in range(2)]
            assert [task.result() for task in calls] == ["counted", "counted"]
            assert notices == [list(range(1, 9))] * 2


@pytest.mark.parametrize("mode", ERAS)
async def test_a_large_result_arrives_whole(mode):
    size = 4 * 1024 * 1024
    with anyio.fail_after(30):
        async with clock_behind_gateway(json_response=True) as gateway, Client(gateway.mcp, mode=mode) as client:
            assert text_of(await client.call_tool("repeat", {"size": size})) == "x" * size


async def test_a_server_asks_its_user_during_a_call():
    async def accept(context, params) -> ElicitResult:
        return ElicitResult(action="accept", content={"ok": True})

    with anyio.fail_after(20):
        async with (
            clock_behind_gateway() as gateway,
            Client(gateway.mcp, mode="legacy", elicitation_callback=accept) as client,
        ):
            assert text_of(await client.call_tool("ask", {})) == "accept"


@pytest.mark.parametrize("mode", ERAS)
async def test_a_cancelled_call_is_cancelled_at_the_server(mode):
    observed = Observed()
    with anyio.fail_after(20):
        async with clock_behind_gateway(observed) as gateway, Client(gateway.mcp, mode=mode) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(client.call_tool, "wait_forever", {})
                await observed.started.wait()
                group.cancel_scope.cancel()
            await observed.cancelled.wait()


async def test_a_client_starts_anew_when_its_session_is_lost():
    """The client's session belongs to a server that was replaced: one 404, and the next session works."""
    with anyio.fail_after(30):
        async with clock_behind_gateway() as first, clock_behind_gateway() as second:
            async with Client(first.mcp, mode="legacy") as client:
                assert text_of(await client.call_tool("add", {"a": 1, "b": 1})) == "2"
                first.routes.replace([second.routes.find("time")])
                with pytest.raises(MCPError, match="Session not found"):
                    await client.call_tool("add", {"a": 1, "b": 1})
            async with Client(first.mcp, mode="legacy") as client:
                assert text_of(await client.call_tool("add", {"a": 1, "b": 1})) == "2"


async def test_a_user_of_the_official_client_reads_why_a_server_cannot_be_reached(unused_port):
    with anyio.fail_after(20):
        async with gateway_to(unused_port) as gateway, Client(gateway.mcp, mode="2026-07-28") as client:
            with pytest.raises(MCPError, match="The server cannot be reached: time: the connection was refused"):
                await client.call_tool("add", {"a": 1, "b": 1})


@pytest.mark.usefixtures("data_path")
@pytest.mark.parametrize("data_path", ["asgi"], indirect=True)
async def test_no_watcher_is_left_behind_when_a_client_has_closed():
    def watchers() -> list[str]:
        return [repr(task) for task in asyncio.all_tasks() if "_abort_when_left" in repr(task.get_coro())]

    with anyio.fail_after(20):
        async with clock_behind_gateway() as gateway:
            async with Client(gateway.mcp, mode="legacy") as client:
                await client.list_tools()
                await until(lambda: bool(watchers()))
            await until(lambda: not watchers())
            assert watchers() == []
