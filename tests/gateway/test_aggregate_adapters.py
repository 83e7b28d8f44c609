"""The common address in front of real adapters: a server that knows only the older revisions beside one that knows
only the newest, for clients of both eras.
"""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from mcp.types import CreateMessageResult, ElicitResult, TextContent

from gateway.aggregate.settings import AggregateSettings
from tests.gateway.aggregates import ERAS, aggregate_of, legacy_client, text_of

ROOT = Path(__file__).parents[2]
SERVER = str(ROOT / "tests" / "servers" / "everything")
SERVERS = ("older", "newer")

PATIENT = AggregateSettings(list_timeout_s=60)
pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def adapter(era: str, port: int) -> AsyncIterator[int]:
    command = [sys.executable, "-m", "gateway.adapter", "--host", "127.0.0.1", "--port", str(port)]
    server = ["--exec", "--", sys.executable, SERVER, "--era", era]
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, *server, cwd=ROOT, stdout=quiet, stderr=quiet)
    try:
        await ready(port)
        yield port
    finally:
        process.terminate()
        with anyio.fail_after(20):
            await process.wait()


async def ready(port: int) -> None:
    with anyio.fail_after(60):
        async with httpx.AsyncClient() as client:
            while True:
                try:
                    if (await client.get(f"http://127.0.0.1:{port}/health")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)


@pytest.fixture
def free_ports() -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in SERVERS]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@asynccontextmanager
async def both(free_ports: list[int]) -> AsyncIterator[str]:
    async with (
        adapter("legacy", free_ports[0]) as older,
        adapter("modern", free_ports[1]) as newer,
        aggregate_of({"older": older, "newer": newer}, aggregate=PATIENT) as gateway,
    ):
        yield gateway.mcp


async def accept(context, params) -> ElicitResult:
    return ElicitResult(action="accept", content={"username": "ada", "email": "ada@example.com", "confirm": True})


async def complete(context, params) -> CreateMessageResult:
    return CreateMessageResult(role="assistant", content=TextContent(type="text", text="thought"), model="m")


async def test_a_question_asked_by_one_replica_is_answered_through_another(free_ports):
    """Nothing about a session is in a gateway: the second one has never seen it."""
    call = {"name": "older__test_elicitation", "arguments": {"message": "Who are you?"}}
    asked = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": call}
    accepted = {"action": "accept", "content": {"username": "ada", "email": "ada@example.com"}}
    async with (
        adapter("legacy", free_ports[0]) as older,
        httpx.AsyncClient(timeout=60) as client,
        aggregate_of({"older": older}) as first,
        aggregate_of({"older": older}) as second,
    ):
        session = await legacy_client(first.mcp, client, capabilities={"elicitation": {}})
        async with client.stream("POST", first.mcp, json=asked, headers=session.headers) as answer:
            messages = messages_of(answer)
            question = await anext(messages)
            assert question["method"] == "elicitation/create"
            session.url = second.mcp
            said = await session.send({"jsonrpc": "2.0", "id": question["id"], "result": accepted})
            assert said.status_code == 202
            result = await anext(messages)
            assert result["id"] == 5
            assert "accept" in result["result"]["content"][0]["text"]


async def messages_of(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


@pytest.mark.parametrize("mode", ERAS)
async def test_servers_of_both_eras_serve_one_client(mode, free_ports):
    async with (
        both(free_ports) as url,
        Client(url, mode=mode, elicitation_callback=accept, sampling_callback=complete) as client,
    ):
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert {name.partition("__")[0] for name in names} == set(SERVERS)
        for server in SERVERS:
            said = await client.call_tool(f"{server}__test_simple_text", {})
            assert text_of(said) == "This is a simple text response for testing."
            asked = await client.call_tool(f"{server}__test_elicitation", {"message": "Who are you?"})
            assert "accept" in text_of(asked)
            thought = await client.call_tool(f"{server}__test_sampling", {"prompt": "Think"})
            assert text_of(thought) == "LLM response: thought"
            notices: list[float] = []

            async def on_progress(progress, total, message, notices=notices) -> None:
                notices.append(progress)

            await client.call_tool(f"{server}__test_tool_with_progress", {}, progress_callback=on_progress)
            assert notices == [0, 50, 100]
        # Both list this one, and `newer` is the first by name.
        read = (await client.read_resource("older+test://static-text")).contents[0]
        assert str(read.uri) == "older+test://static-text"
        assert read.text == "This is the content of the static text resource."
