"""A fleet follows its commits: what changes is replaced, what is removed goes, what is wrong changes nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from mcp import Client
from mcp.types import TextContent

from tests.journeys.harness import Catwalk, Event, Repository, command, running

pytestmark = [pytest.mark.registry, pytest.mark.timeout(420)]

WARM_S = 10
"""How soon a commit shows through the gateway when the packages are in the cache."""

MANIFEST = """\
apiVersion: catwalk.dev/v1
fleet: journeys
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
    args: [--local-timezone=Europe/Berlin]
  memory:
    package: npm:@modelcontextprotocol/server-memory@2026.8.31
"""
THIRD = """\
  clock:
    package: pypi:mcp-server-time@2026.10.19
    args: [--local-timezone=Asia/Tokyo]
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Repository, Catwalk, Event]]:
    repository = Repository(tmp_path_factory.mktemp("commits"))
    repository.write("catwalk.yaml", MANIFEST)
    repository.commit("Start")
    with running(repository.directory) as catwalk:
        yield repository, catwalk, catwalk.until_ready()


def machines(catwalk: Catwalk) -> dict[str, str]:
    status = command("status", str(catwalk.directory), "--json")
    return {server["name"]: server["machine_id"] for server in json.loads(status.stdout)["servers"]}


async def local_timezone(url: str) -> str:
    """The server's argument, which it writes into the descriptions of its tools; and a call that must succeed."""
    async with Client(url, mode="legacy") as client:
        tools = await client.list_tools()
        result = await client.call_tool("get_current_time", {"timezone": "UTC"})
    assert isinstance(result.content[0], TextContent)
    assert json.loads(result.content[0].text)["timezone"] == "UTC"
    return json.dumps([tool.model_dump(mode="json") for tool in tools.tools])


async def test_a_changed_argument_replaces_that_one_machine(fleet: tuple[Repository, Catwalk, Event]) -> None:
    repository, catwalk, ready = fleet
    repository.edit("catwalk.yaml", "Europe/Berlin", "America/New_York")
    actions = catwalk.until(lambda event: event["event"] == "plan", within_s=WARM_S, what="a plan")["actions"]
    assert {action["server"] for action in actions} == {"time"}
    catwalk.until_state("time", "ready", within_s=WARM_S)
    assert "America/New_York" in await local_timezone(ready["servers"]["time"]["url"])
    assert not [event for event in catwalk.events if event["event"] == "action" and event["outcome"] == "failed"]


async def test_an_added_server_comes_and_a_removed_one_goes(fleet: tuple[Repository, Catwalk, Event]) -> None:
    repository, catwalk, ready = fleet
    repository.write("catwalk.yaml", repository.read("catwalk.yaml") + THIRD)
    repository.commit("Add clock")
    catwalk.until_state("clock", "ready", within_s=WARM_S)
    address = f"{ready['gateway']}/servers/clock/mcp"
    assert "Asia/Tokyo" in await local_timezone(address)
    repository.edit("catwalk.yaml", THIRD, "")
    gone = catwalk.until(lambda event: event["event"] == "server-removed", within_s=WARM_S, what="the removal")
    assert gone["server"] == "clock"
    async with httpx.AsyncClient(timeout=10) as client:
        assert (await client.post(address, json={})).status_code == 404
    assert set(machines(catwalk)) == {"time", "memory"}


async def test_a_broken_manifest_changes_nothing_and_is_explained(fleet: tuple[Repository, Catwalk, Event]) -> None:
    repository, catwalk, ready = fleet
    before = machines(catwalk)
    repository.edit("catwalk.yaml", "    package: npm:", "    pakcage: npm:")
    refused = catwalk.until(
        lambda event: event["event"] == "revision" and not event["accepted"], within_s=WARM_S, what="the refusal"
    )
    problem = next(problem for problem in refused["problems"] if problem["code"] == "unknown-key")
    assert (problem["file"], problem["line"], problem["column"]) == ("catwalk.yaml", 8, 5)
    assert "package" in problem["hint"]
    shown = command("status", str(catwalk.directory))
    assert "catwalk.yaml:8:5" in shown.stdout
    assert machines(catwalk) == before
    assert "America/New_York" in await local_timezone(ready["servers"]["time"]["url"])
    repository.edit("catwalk.yaml", "pakcage", "package")
    catwalk.until(lambda event: event["event"] == "revision" and event["accepted"], within_s=WARM_S, what="the mend")


async def test_a_killed_server_process_is_replaced(fleet: tuple[Repository, Catwalk, Event]) -> None:
    _, catwalk, ready = fleet
    victims = [process for process in descendants(catwalk) if "mcp-server-time" in " ".join(command_line(process))]
    # The innermost one is the server itself; the others are the adapter and its supervisor.
    victim = max(victims, key=lambda process: len(process.parents()))
    victim.kill()
    psutil.wait_procs([victim], timeout=5)
    assert "America/New_York" in await local_timezone(ready["servers"]["time"]["url"])


def test_ctrl_c_leaves_no_process_and_a_second_start_finds_its_state(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.write("catwalk.yaml", MANIFEST)
    repository.commit("Start")
    with running(tmp_path) as first:
        first.until_ready()
        before = machines(first)
        children = descendants(first)
        assert first.stop() == 0
    assert children
    assert not [process for process in children if process.is_running()]
    with running(tmp_path) as second:
        second.until_ready()
        assert machines(second) == before
        assert not [event for event in second.events if event["event"] == "plan"]


def test_kill_9_leaves_no_process(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.write("catwalk.yaml", MANIFEST)
    repository.commit("Start")
    with running(tmp_path) as catwalk:
        catwalk.until_ready()
        children = descendants(catwalk)
        catwalk.process.kill()
        catwalk.process.wait(timeout=10)
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert gone
    assert not alive


def descendants(catwalk: Catwalk) -> list[psutil.Process]:
    return psutil.Process(catwalk.process.pid).children(recursive=True)


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
