"""`catwalk serve` follows a repository on a git server, whatever becomes of the server, and ends when it is told to."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcp import Client

from tests.journeys.harness import command
from tests.journeys.serving import EngineProcess, Service, engine, service, service_environment
from tests.sources.conftest import GitHttpServer, Repository, serve_git

pytestmark = [pytest.mark.registry, pytest.mark.timeout(420)]

APP = "acme-time"
FIRST = b"""\
apiVersion: catwalk.dev/v1
fleet: acme
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
    args: [--local-timezone=Europe/Berlin]
"""
SECOND = FIRST.replace(b"Europe/Berlin", b"Asia/Tokyo")
TOKEN = "git-canary-8f3a"


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    path = tmp_path_factory.mktemp("git") / "fleet"
    path.mkdir()
    made = Repository(path)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.git("config", "uploadpack.allowAnySHA1InWant", "true")
    made.write("fleets/acme/catwalk.yaml", FIRST)
    made.commit("Start")
    return made


@pytest.fixture(scope="module")
def host(repository: Repository) -> Iterator[GitHttpServer]:
    for server in serve_git(repository.path.parent):
        server.password = TOKEN
        yield server


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def environment(machines: EngineProcess, host: GitHttpServer) -> dict[str, str]:
    return service_environment(machines, host.url, CATWALK_GIT_TOKEN=TOKEN)


@pytest.fixture(scope="module")
def serving(place: Path, environment: dict[str, str]) -> Iterator[Service]:
    with service(place, environment, "--directory", "fleets/acme") as running:
        yield running


async def timezone_of(running: Service) -> str:
    """The server's argument, which it writes into the descriptions of its tools."""
    async with Client(running.mcp_url("time"), mode="legacy") as client:
        tools = await client.list_tools()
    return " ".join(tool.model_dump_json() for tool in tools.tools)


async def test_what_is_pushed_answers_through_the_gateway(serving: Service) -> None:
    ready = serving.until(lambda line: line["event"] == "ready", within_s=240, what="ready")
    assert ready["servers"] == {"time": "ready"}
    assert serving.get("/readyz").status_code == 200
    assert "Europe/Berlin" in await timezone_of(serving)


async def test_a_push_is_followed(serving: Service, repository: Repository) -> None:
    repository.write("fleets/acme/catwalk.yaml", SECOND)
    commit = repository.commit("Move to Tokyo")
    serving.until(lambda line: line["event"] == "revision" and line["commit"] == commit, what="the revision")
    serving.until_state("time", "ready")
    assert "Asia/Tokyo" in await timezone_of(serving)
    assert serving.fleet()["applied_revision"]["commit"] == commit


def test_log_lines_tell_pass_and_revision(serving: Service, repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD")
    actions = [line for line in serving.lines if line["event"] == "action" and line["kind"] == "update"]
    assert [(line["server"], line["revision"]) for line in actions] == [("time", commit)]
    assert isinstance(actions[0]["pass_number"], int)
    assert not [line for line in serving.raw if not line.startswith("{")], "every line is JSON"


def test_calls_are_counted_and_audited_without_their_arguments(serving: Service) -> None:
    counted = serving.get("/metrics").text
    assert re.search(r'catwalk_gateway_calls_total\{.*method="tools/list".*server="time".*\} [1-9]', counted)
    assert re.search(r'catwalk_passes_total\{result="settled",trigger="start"\} 1', counted)
    assert re.search(r'catwalk_machines_api_calls_total\{action="create machine",status="200"\} 1', counted)
    calls = [line for line in serving.lines if line["event"] == "call"]
    assert {line["server"] for line in calls} == {"time"}
    assert not [line for line in calls if "params" in line or "arguments" in line]


def test_status_on_the_same_machine_asks_the_service(serving: Service, place: Path) -> None:
    done = command("status", str(place), "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["running"]) == (0, True), done.stderr
    assert [(server["name"], server["state"]) for server in told["servers"]] == [("time", "ready")]
    assert told["servers"][0]["usage"]["cost"] is not None


async def test_a_git_server_that_is_down_changes_nothing_and_is_told(serving: Service, host: GitHttpServer) -> None:
    host.fault = "503"
    refused = serving.until(lambda line: line["event"] == "revision" and not line["accepted"], what="the refusal")
    assert refused["in_force"] == serving.fleet()["applied_revision"]["commit"]
    serving.until_pass()
    problems = serving.fleet()["problems"]
    assert [problem["remedy"] for problem in problems] == ["wait"]
    assert "Asia/Tokyo" in await timezone_of(serving)
    host.fault = ""
    serving.until_pass(settled=True)
    assert not serving.fleet()["problems"]


async def test_an_empty_tree_deletes_nothing(serving: Service, repository: Repository, machines: EngineProcess) -> None:
    good = repository.git("rev-parse", "HEAD")
    before = [machine["id"] for machine in machines.machines(APP)]
    repository.git("rm", "--quiet", "-r", "fleets")
    repository.commit("Remove everything")
    serving.until(lambda line: line["event"] == "revision" and not line["accepted"], what="the refusal")
    serving.until_pass()
    assert serving.fleet()["applied_revision"]["commit"] == good
    assert [machine["id"] for machine in machines.machines(APP)] == before
    assert "Asia/Tokyo" in await timezone_of(serving)


async def test_a_force_push_is_followed_and_deletes_nothing(
    serving: Service, repository: Repository, machines: EngineProcess
) -> None:
    before = [machine["id"] for machine in machines.machines(APP)]
    repository.git("checkout", "--quiet", "--orphan", "rewritten")
    repository.write("fleets/acme/catwalk.yaml", SECOND.replace(b"Tokyo", b"Seoul"))
    commit = repository.commit("Rewrite history")
    repository.git("branch", "--force", "main", commit)
    serving.until(lambda line: line["event"] == "revision" and line["commit"] == commit, what="the revision")
    serving.until_state("time", "ready")
    assert [machine["id"] for machine in machines.machines(APP)] == before
    assert "Asia/Seoul" in await timezone_of(serving)


def test_no_log_line_and_no_page_holds_a_credential(serving: Service, machines: EngineProcess) -> None:
    seen = "".join([serving.log, *(serving.get(path).text for path in ("/", "/api/fleet", "/api/passes"))])
    assert "time" in seen
    assert TOKEN not in seen
    assert machines.token not in seen


async def test_a_restart_finds_its_state_and_changes_nothing(
    serving: Service, place: Path, environment: dict[str, str], machines: EngineProcess
) -> None:
    before = [machine["id"] for machine in machines.machines(APP)]
    assert serving.stop() == 0
    assert serving.lines[-1]["event"] == "stopped"
    assert [machine["id"] for machine in machines.machines(APP)] == before, "machines outlive the service"
    with service(place, environment, "--directory", "fleets/acme") as second:
        assert (await timezone_of(second)).count("Asia/Seoul") > 0
        second.until_pass(settled=True)
        assert not [line for line in second.lines if line["event"] == "plan"]
        assert [machine["id"] for machine in machines.machines(APP)] == before
