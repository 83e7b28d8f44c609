"""Clients of both eras in front of servers of either: nothing of MCP is lost on the way."""

import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from mcp import Client, types

from tests.adapter.conftest import starter
from tests.adapter.support import EVERYTHING, Adapter

LEGACY, MODERN = "legacy", "2026-07-28"
WATCHED = "test://watched-resource"
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


FORMS = [f"{transport} {era}" for transport in ("stdio", "streamable-http") for era in ("legacy", "modern", "both")]


@pytest.fixture(scope="module", params=FORMS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    """An adapter in front of the everything server in one of its forms."""
    transport, era = request.param.split()
    starting = starter(tmp_path_factory.mktemp("cell"))
    command = (sys.executable, EVERYTHING, "--era", era, "--transport", transport)
    adapter = next(starting)(*command, options=("--exec", "--transport", transport))
    adapter.wait_for("ready", timeout_s=60)
    yield adapter
    next(starting, None)


class Person:
    """Who uses the client: answers everything, and notes what it was asked and told."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.lines: list[Any] = []
        self.notices: list[str] = []
        self.noticed = anyio.Event()

    async def elicit(self, _: object, params: types.ElicitRequestParams) -> types.ElicitResult:
        self.asked.append(params)
        return types.ElicitResult(action="accept", content={"name": "Ada", "response": "yes", "color": "red"})

    async def sample(self, _: object, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        self.asked.append(params)
        content = types.TextContent(type="text", text="Paris")
        return types.CreateMessageResult(role="assistant", content=content, model="a model")

    async def roots(self, _: object) -> types.ListRootsResult:
        self.asked.append("roots")
        return types.ListRootsResult(roots=[types.Root(uri="file:///a"), types.Root(uri="file:///b")])

    async def log(self, params: types.LoggingMessageNotificationParams) -> None:
        self.lines.append((params.level, params.data))

    async def hear(self, message: object) -> None:
        self.notices.append(type(message).__name__)
        self.noticed.set()


@asynccontextmanager
async def connected(
    server: Adapter, mode: str, person: Person, log_level: types.LoggingLevel | None = None
) -> AsyncIterator[Client]:
    """A client that can be asked everything."""
    with anyio.fail_after(60):
        client = Client(
            server.url,
            mode=mode,
            elicitation_callback=person.elicit,
            sampling_callback=person.sample,
            list_roots_callback=person.roots,
            logging_callback=person.log,
            message_handler=person.hear,
            log_level=log_level,
        )
        async with client:
            yield client


async def called(client: Client, tool: str, **arguments: object) -> str:
    result = await client.call_tool(tool, dict(arguments))
    return str(result.content[0].model_dump()["text"])


BOTH_ERAS = pytest.mark.parametrize("mode", [LEGACY, MODERN])


@BOTH_ERAS
async def test_tools_prompts_resources_and_completions_are_served(server: Adapter, mode: str):
    async with connected(server, mode, Person()) as client:
        assert "test_echo" in {tool.name for tool in (await client.list_tools()).tools}
        assert await called(client, "test_echo", text="hi") == "hi"
        prompt = await client.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
        assert "arg1='a', arg2='b'" in prompt.messages[0].model_dump_json()
        text = (await client.read_resource("test://template/7/data")).contents[0].model_dump()["text"]
        assert json.loads(text)["id"] == "7"
        reference = types.PromptReference(type="ref/prompt", name="test_prompt_with_arguments")
        completed = await client.complete(reference, {"name": "arg1", "value": "par"})
        assert completed.completion.values == ["paris", "park", "party"]


@BOTH_ERAS
async def test_a_tool_asks_the_user(server: Adapter, mode: str):
    person = Person()
    async with connected(server, mode, person) as client:
        assert await called(client, "test_input_required_result_elicitation") == "Hello, Ada!"
    assert [each.message for each in person.asked] == ["What is your name?"]


@BOTH_ERAS
async def test_a_tool_asks_the_model(server: Adapter, mode: str):
    person = Person()
    async with connected(server, mode, person) as client:
        assert "Paris" in await called(client, "test_input_required_result_sampling")
    assert [each.max_tokens for each in person.asked] == [100]


@BOTH_ERAS
async def test_a_tool_asks_for_roots(server: Adapter, mode: str):
    async with connected(server, mode, Person()) as client:
        assert "2 root(s)" in await called(client, "test_input_required_result_list_roots")


@BOTH_ERAS
async def test_a_tool_asks_several_things_at_once(server: Adapter, mode: str):
    person = Person()
    async with connected(server, mode, person) as client:
        assert await called(client, "test_input_required_result_multiple_inputs") == "All inputs received."
    assert len(person.asked) == 3


@BOTH_ERAS
async def test_a_tool_asks_again_after_an_answer(server: Adapter, mode: str):
    person = Person()
    async with connected(server, mode, person) as client:
        assert await called(client, "test_input_required_result_multi_round") == "Ada likes red."
    assert [each.message[:6] for each in person.asked] == ["Step 1", "Step 2"]


@BOTH_ERAS
async def test_a_prompt_asks_the_user(server: Adapter, mode: str):
    person = Person()
    async with connected(server, mode, person) as client:
        await client.get_prompt("test_input_required_result_prompt")
    assert len(person.asked) == 1


@BOTH_ERAS
async def test_two_calls_that_ask_at_the_same_time_both_go_on(server: Adapter, mode: str):
    results: list[str] = []
    async with connected(server, mode, Person()) as client:

        async def one(tool: str) -> None:
            results.append(await called(client, tool))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, "test_input_required_result_elicitation")
            tasks.start_soon(one, "test_input_required_result_list_roots")
    assert sorted(results) == ["Hello, Ada!", "The client has 2 root(s)."]


@BOTH_ERAS
async def test_the_server_knows_what_its_client_can_do(server: Adapter, mode: str):
    async with connected(server, mode, Person()) as client:
        known = json.loads(await called(client, "test_client"))
    assert {"elicitation", "sampling", "roots"} <= set(known["capabilities"])


@BOTH_ERAS
async def test_progress_arrives_with_its_call(server: Adapter, mode: str):
    seen: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async with connected(server, mode, Person()) as client:
        await client.call_tool("test_tool_with_progress", {}, progress_callback=note)
    assert seen == [0, 50, 100]


async def test_a_modern_client_gets_the_log_lines_of_the_level_that_it_asked_for(server: Adapter):
    person = Person()
    async with connected(server, MODERN, person, log_level="info") as client:
        await client.call_tool("test_logging_tool", {})
    assert [level for level, _ in person.lines] == ["info", "warning"]


async def test_a_modern_client_that_asks_for_no_level_gets_no_line(server: Adapter):
    person = Person()
    async with connected(server, MODERN, person) as client:
        await client.call_tool("test_logging_tool", {})
    assert person.lines == []


async def test_a_legacy_client_gets_log_lines(server: Adapter):
    person = Person()
    async with connected(server, LEGACY, person) as client:
        await client.set_logging_level("info")
        await client.call_tool("test_tool_with_logging", {})
    assert [line for _, line in person.lines] == [
        "Tool execution started",
        "Tool processing data",
        "Tool execution completed",
    ]


async def test_a_modern_client_hears_of_changes(server: Adapter):
    async with connected(server, MODERN, Person()) as client:
        listening = client.listen(tools_list_changed=True, prompts_list_changed=True, resource_subscriptions=[WATCHED])
        async with listening as changes:
            assert changes.honored.resource_subscriptions == [WATCHED]
            await client.call_tool("test_trigger_tool_change", {})
            assert type(await anext(changes)).__name__ == "ToolsListChanged"
            await client.call_tool("test_trigger_resource_update", {"uri": WATCHED})
            assert type(await anext(changes)).__name__ == "ResourceUpdated"
            await client.call_tool("test_trigger_prompt_change", {})
            assert type(await anext(changes)).__name__ == "PromptsListChanged"


async def test_a_legacy_client_hears_of_changes(server: Adapter):
    person = Person()
    async with connected(server, LEGACY, person) as client:
        await client.subscribe_resource(WATCHED)
        for tool in ("test_trigger_tool_change", "test_trigger_prompt_change"):
            await client.call_tool(tool, {})
        await client.call_tool("test_trigger_resource_update", {"uri": WATCHED})
        while len(person.notices) < 3:
            person.noticed = anyio.Event()
            await person.noticed.wait()
        await client.unsubscribe_resource(WATCHED)
    assert sorted(person.notices) == [
        "PromptListChangedNotification",
        "ResourceUpdatedNotification",
        "ToolListChangedNotification",
    ]


@BOTH_ERAS
async def test_a_call_that_is_given_up_is_cancelled_at_the_server(server: Adapter, mode: str):
    name = f"{mode}-{server.port}"
    async with connected(server, mode, Person()) as client:
        with anyio.move_on_after(1):
            await client.call_tool("test_hold", {"name": name})
        while name not in await called(client, "test_closed"):
            await anyio.lowlevel.checkpoint()
