"""The first minute of a stranger: the example runs, and MCP clients of both languages talk to it."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from mcp import Client
from mcp.types import TextContent

from tests.journeys.harness import ROOT, Catwalk, Event, clean_environment, command, copy_of_quickstart, running
from tests.npm import installed as npm_installed

pytestmark = [pytest.mark.registry, pytest.mark.timeout(420)]

SECRET = "this-token-was-encrypted-in-git"


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Catwalk, Event]]:
    directory = tmp_path_factory.mktemp("quickstart")
    copy_of_quickstart(directory)
    with running(directory) as catwalk:
        yield catwalk, catwalk.until_ready()


def url(ready: Event, server: str) -> str:
    address: str = ready["servers"][server]["url"]
    return address


def test_all_three_servers_become_ready(quickstart: tuple[Catwalk, Event]) -> None:
    _, ready = quickstart
    assert {name: server["state"] for name, server in ready["servers"].items()} == {
        "everything": "ready",
        "memory": "ready",
        "time": "ready",
    }
    assert ready["servers"]["time"]["url"] == f"{ready['gateway']}/servers/time/mcp"


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_python_client_asks_for_the_time(quickstart: tuple[Catwalk, Event], mode: str) -> None:
    _, ready = quickstart
    async with Client(url(ready, "time"), mode=mode) as client:
        result = await client.call_tool("get_current_time", {"timezone": "Europe/Berlin"})
    block = result.content[0]
    assert isinstance(block, TextContent)
    assert json.loads(block.text)["timezone"] == "Europe/Berlin"


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_one_address_has_the_tools_of_all_servers(quickstart: tuple[Catwalk, Event], mode: str) -> None:
    _, ready = quickstart
    assert ready["mcp"] == f"{ready['gateway']}/mcp"
    async with Client(ready["mcp"], mode=mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("time__get_current_time", {"timezone": "Europe/Berlin"})
    assert list(dict.fromkeys(name.partition("__")[0] for name in names)) == ["everything", "memory", "time"]
    block = result.content[0]
    assert isinstance(block, TextContent)
    assert json.loads(block.text)["timezone"] == "Europe/Berlin"


async def test_the_declared_secret_reaches_its_server(quickstart: tuple[Catwalk, Event]) -> None:
    _, ready = quickstart
    async with Client(url(ready, "everything"), mode="legacy") as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        shows_environment = next(name for name in names if re.search("env", name))
        result = await client.call_tool(shows_environment, {})
    block = result.content[0]
    assert isinstance(block, TextContent)
    assert json.loads(block.text)["DEMO_TOKEN"] == SECRET


async def test_what_memory_is_told_it_remembers(quickstart: tuple[Catwalk, Event]) -> None:
    _, ready = quickstart
    entity = {"name": "Catwalk", "entityType": "project", "observations": ["keeps MCP servers in git"]}
    async with Client(url(ready, "memory"), mode="legacy") as client:
        await client.call_tool("create_entities", {"entities": [entity]})
    async with Client(url(ready, "memory"), mode="legacy") as client:
        found = await client.call_tool("search_nodes", {"query": "Catwalk"})
    block = found.content[0]
    assert isinstance(block, TextContent)
    assert "keeps MCP servers in git" in block.text


@pytest.mark.parametrize("address", ["one server", "all servers"])
def test_the_typescript_client_lists_the_tools(quickstart: tuple[Catwalk, Event], address: str) -> None:
    if shutil.which("npm") is None:
        pytest.skip("the TypeScript client needs Node.js with npm, which is not here")
    clients = ROOT / "tests" / "node"
    npm_installed(clients)
    _, ready = quickstart
    listing = subprocess.run(
        ["node", "list-tools.mjs", url(ready, "everything") if address == "one server" else ready["mcp"]],
        cwd=clients,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    answer = json.loads(listing.stdout)
    assert ("echo" if address == "one server" else "everything__echo") in answer["tools"]


def test_status_logs_and_plan_answer_while_it_runs(quickstart: tuple[Catwalk, Event]) -> None:
    catwalk, _ = quickstart
    status = command("status", str(catwalk.directory), "--json")
    assert status.returncode == 0, status.stderr
    assert {server["name"]: server["state"] for server in json.loads(status.stdout)["servers"]}["time"] == "ready"
    plan = command("plan", str(catwalk.directory), "--json", "--detailed-exitcode")
    assert plan.returncode == 0, plan.stderr + plan.stdout
    assert json.loads(plan.stdout)["actions"] == []
    logs = command("logs", "time", "--directory", str(catwalk.directory), "--json")
    assert logs.returncode == 0, logs.stderr
    assert any("mcp-server-time" in json.loads(line)["message"] for line in logs.stdout.splitlines())


def test_the_pages_and_the_health_routes_answer(quickstart: tuple[Catwalk, Event]) -> None:
    _, ready = quickstart
    gateway = ready["gateway"]
    with httpx.Client(base_url=gateway, timeout=10) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
        page = client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert all(name in page.text for name in ("time", "everything", "memory"))
        assert client.get("/api/fleet").json()["counts"] == {"ready": 3}


def test_a_tool_is_tried_from_the_dashboard(quickstart: tuple[Catwalk, Event]) -> None:
    _, ready = quickstart
    gateway = ready["gateway"]
    page = httpx.get(f"{gateway}/servers/time/tools", timeout=60)
    assert "get_current_time" in page.text
    assert "timezone" in page.text
    form = {"tool": "get_current_time", "arguments": '{"timezone": "Europe/Berlin"}'}
    answer = httpx.post(f"{gateway}/servers/time/tools", data=form, headers={"Origin": gateway}, timeout=60)
    assert "It answered." in answer.text
    assert "day_of_week" in answer.text
    assert httpx.post(f"{gateway}/servers/time/tools", data=form, timeout=60).status_code == 403


def test_a_foreign_origin_is_refused(quickstart: tuple[Catwalk, Event]) -> None:
    _, ready = quickstart
    answer = httpx.post(url(ready, "time"), headers={"Origin": "http://evil.example.com"}, json={}, timeout=10)
    assert answer.status_code == 403


def test_no_output_page_plan_or_database_contains_the_secret(quickstart: tuple[Catwalk, Event]) -> None:
    catwalk, ready = quickstart
    said = [catwalk.output]
    for arguments in (["status"], ["status", "--json"], ["plan"], ["plan", "--json"], ["validate"]):
        finished = command(*arguments, str(catwalk.directory), environment=clean_environment())
        said.append(finished.stdout + finished.stderr)
    logs = command("logs", "everything", "--directory", str(catwalk.directory))
    said.append(logs.stdout + logs.stderr)
    pages = [
        "/",
        "/servers/everything",
        "/api/fleet",
        "/api/servers/everything",
        "/api/servers/everything/logs",
        "/api/passes",
    ]
    said += [httpx.get(f"{ready['gateway']}{page}", timeout=10).text for page in pages]
    assert all(said)
    assert not [text for text in said if SECRET in text]
    state = catwalk.directory / ".catwalk"
    holders = {str(path.relative_to(state)) for path in files_of(state) if SECRET.encode() in path.read_bytes()}
    # The engine must be able to start its machines again, and keeps their secrets privately for that.
    assert {holder.split(".")[0] for holder in holders} == {"engine/engine"}


def files_of(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())
