"""The official client of both eras at the common address of two and three official servers."""

import asyncio

import anyio
import pytest
from mcp import Client, MCPError
from mcp.types import ElicitResult

from gateway.aggregate.names import Prefix
from gateway.aggregate.settings import AggregateSettings
from tests.gateway.aggregates import ERAS, MODERN, aggregate_of_servers, talker, text_of

TOOLS = ["ask", "count", "wait", "whoami"]


@pytest.mark.parametrize("mode", ERAS)
async def test_every_server_s_tools_are_listed_and_called_under_its_name(mode):
    servers = {name: talker(name) for name in ("beta", "alpha", "gamma")}
    with anyio.fail_after(30):
        async with aggregate_of_servers(servers) as gateway, Client(gateway.mcp, mode=mode) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert [name.partition("__")[0] for name in names] == ["alpha"] * 4 + ["beta"] * 4 + ["gamma"] * 4
            assert sorted(name for name in names if name.startswith("beta")) == [f"beta__{tool}" for tool in TOOLS]
            for server in servers:
                assert text_of(await client.call_tool(f"{server}__whoami", {})) == server


@pytest.mark.parametrize("mode", ERAS)
async def test_prompts_and_their_completions_reach_their_server(mode):
    servers = {name: talker(name) for name in ("alpha", "beta")}
    with anyio.fail_after(30):
        async with aggregate_of_servers(servers) as gateway, Client(gateway.mcp, mode=mode) as client:
            names = [prompt.name for prompt in (await client.list_prompts()).prompts]
            assert names == ["alpha__greet", "beta__greet"]
            result = await client.get_prompt("beta__greet", {"who": "Ada"})
            assert result.messages[0].content.text == "beta greets Ada"


@pytest.mark.parametrize("mode", ERAS)
async def test_resources_keep_their_addresses_and_a_shared_one_says_whose_it_is(mode):
    servers = {name: talker(name) for name in ("alpha", "beta")}
    with anyio.fail_after(30):
        async with aggregate_of_servers(servers) as gateway, Client(gateway.mcp, mode=mode) as client:
            uris = [str(resource.uri) for resource in (await client.list_resources()).resources]
            assert sorted(uris) == ["alpha://own", "beta+shared://notes", "beta://own", "shared://notes"]
            templates = [each.uri_template for each in (await client.list_resource_templates()).resource_templates]
            assert templates == ["alpha://{item}/data", "beta://{item}/data"]
            read = {uri: (await client.read_resource(uri)).contents[0] for uri in [*uris, "beta://seven/data"]}
            assert {uri: content.text for uri, content in read.items()} == {
                "alpha://own": "own of alpha",
                "beta://own": "own of beta",
                "shared://notes": "notes of alpha",
                "beta+shared://notes": "notes of beta",
                "beta://seven/data": "seven of beta",
            }
            assert {str(content.uri) for content in read.values()} == set(read)
            with pytest.raises(MCPError, match=r"not found|Unknown resource"):
                await client.read_resource("nobody://has/this")


@pytest.mark.parametrize("mode", ERAS)
async def test_two_servers_that_ask_at_once_get_their_own_answers(mode):
    asked: list[str] = []
    both = asyncio.Event()

    async def accept(context, params) -> ElicitResult:
        asked.append(params.message)
        if len(asked) == 2:
            both.set()
        await both.wait()
        is_alpha = params.message == "alpha asks"
        return ElicitResult(action="accept", content={"ok": True}) if is_alpha else ElicitResult(action="decline")

    servers = {name: talker(name) for name in ("alpha", "beta")}
    with anyio.fail_after(30):
        async with (
            aggregate_of_servers(servers) as gateway,
            Client(gateway.mcp, mode=mode, elicitation_callback=accept) as client,
        ):
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(client.call_tool(f"{name}__ask", {})) for name in servers]
            assert [text_of(call.result()) for call in calls] == ["alpha: accept", "beta: decline"]


@pytest.mark.parametrize("mode", ERAS)
async def test_every_progress_notice_of_concurrent_calls_arrives(mode):
    servers = {name: talker(name) for name in ("alpha", "beta")}
    with anyio.fail_after(30):
        async with aggregate_of_servers(servers) as gateway, Client(gateway.mcp, mode=mode) as client:
            notices: dict[str, list[float]] = {name: [] for name in servers}

            async def call(name: str) -> str:
                async def on_progress(progress: float, total: float | None, message: str | None) -> None:
                    notices[name].append(progress)

                return text_of(await client.call_tool(f"{name}__count", {"to": 8}, progress_callback=on_progress))

            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(call(name)) for name in servers]
            assert [task.result() for task in calls] == ["alpha counted", "beta counted"]
            assert notices == {name: list(range(1, 9)) for name in servers}


@pytest.mark.parametrize("mode", ERAS)
async def test_a_single_server_may_keep_its_names(mode):
    settings = AggregateSettings(prefix=lambda: Prefix.UNLESS_ALONE)
    with anyio.fail_after(30):
        async with (
            aggregate_of_servers({"alpha": talker("alpha")}, aggregate=settings) as gateway,
            Client(gateway.mcp, mode=mode) as client,
        ):
            assert sorted(tool.name for tool in (await client.list_tools()).tools) == TOOLS
            assert text_of(await client.call_tool("whoami", {})) == "alpha"


async def test_a_client_that_finds_out_the_era_by_itself_speaks_the_newer_one():
    with anyio.fail_after(30):
        async with (
            aggregate_of_servers({"alpha": talker("alpha")}) as gateway,
            Client(gateway.mcp, mode="auto") as client,
        ):
            assert text_of(await client.call_tool("alpha__whoami", {})) == "alpha"
            assert client.protocol_version == MODERN


@pytest.mark.parametrize("mode", ERAS)
async def test_a_dead_server_takes_nothing_from_the_others(mode, unused_port):
    with anyio.fail_after(30):
        servers = {"alpha": talker("alpha"), "gamma": talker("gamma")}
        async with (
            aggregate_of_servers(servers, dead={"beta": unused_port}) as gateway,
            Client(gateway.mcp, mode=mode) as client,
        ):
            listed = await client.list_tools()
            assert {tool.name.partition("__")[0] for tool in listed.tools} == {"alpha", "gamma"}
            assert listed.meta["catwalk.dev/unavailable"].keys() == {"beta"}
            assert text_of(await client.call_tool("gamma__whoami", {})) == "gamma"
            with pytest.raises(MCPError, match="beta: the connection was refused"):
                await client.call_tool("beta__whoami", {})
