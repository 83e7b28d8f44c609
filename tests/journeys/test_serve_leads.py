"""Several processes and one fleet: one leads, another stands by and still carries traffic, a command comes between."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcp import Client

from tests.journeys.harness import command
from tests.journeys.serving import EngineProcess, Service, engine, service, service_environment
from tests.sources.conftest import GitHttpServer, Repository, serve_git

pytestmark = [pytest.mark.registry, pytest.mark.timeout(420)]

SERVER = "  {name}:\n    package: pypi:mcp-server-time@2026.10.19\n    args: [--local-timezone=Europe/Berlin]\n"
HANDOVER_S = 5
REMOVED = ("two", "three", "four")


def manifest(*names: str) -> bytes:
    servers = "".join(SERVER.format(name=name) for name in names)
    return f"apiVersion: catwalk.dev/v1\nfleet: led\nservers:\n{servers}".encode()


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
    made.write("catwalk.yaml", manifest("one", *REMOVED))
    made.commit("Start")
    return made


@pytest.fixture(scope="module")
def host(repository: Repository) -> Iterator[GitHttpServer]:
    yield from serve_git(repository.path.parent)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def environment(machines: EngineProcess, host: GitHttpServer, place: Path) -> dict[str, str]:
    return service_environment(machines, host.url, CATWALK_STATE_DIR=str(place / "state"))


@pytest.fixture(scope="module")
def leader(place: Path, environment: dict[str, str]) -> Iterator[Service]:
    with service(place, environment) as running:
        running.until(lambda line: line["event"] == "ready", within_s=240, what="ready")
        yield running


def leads(running: Service) -> float:
    found = re.search(r"^catwalk_leader (\S+)$", running.get("/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


async def tools(running: Service, server: str) -> int:
    async with Client(running.mcp_url(server), mode="legacy") as client:
        return len((await client.list_tools()).tools)


def apply(repository: Repository, environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return command("apply", str(repository.path), *options, environment=environment)


def test_a_command_comes_between_two_passes_and_the_leader_goes_on(
    leader: Service, repository: Repository, environment: dict[str, str]
) -> None:
    done = apply(repository, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    leader.until(lambda line: line["event"] == "lead-taken", within_s=30, what="the lead again")
    leader.until_pass()
    assert leads(leader) == 1


def test_a_removal_above_the_budget_waits_for_its_digest(
    leader: Service, repository: Repository, environment: dict[str, str], machines: EngineProcess
) -> None:
    repository.write("catwalk.yaml", manifest("one"))
    repository.commit("Remove three of four")
    refused = apply(repository, environment)
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert [bool(machines.machines(f"led-{name}")) for name in REMOVED] == [True] * 3
    found = re.search(r"--confirm-prune ([0-9a-f]{64})", refused.stderr)
    assert found is not None, refused.stderr
    other = apply(repository, environment, "--confirm-prune", "0" * 64)
    assert other.returncode == 1
    assert "is another removal" in other.stderr
    agreed = apply(repository, environment, "--confirm-prune", found[1])
    assert agreed.returncode == 0, agreed.stdout + agreed.stderr
    assert [machines.machines(f"led-{name}") for name in REMOVED] == [[], [], []]


async def test_who_stands_by_carries_traffic_and_takes_over_at_once(
    leader: Service, place: Path, environment: dict[str, str], machines: EngineProcess
) -> None:
    before = [machine["id"] for machine in machines.machines("led-one")]
    with service(place, environment) as second:
        assert second.get("/readyz").status_code == 200
        assert await tools(second, "one") == 2
        assert (leads(leader), leads(second)) == (1, 0)
        assert second.fleet()["applied_revision"] == leader.fleet()["applied_revision"]
        assert leader.stop() == 0
        second.until(lambda line: line["event"] == "lead-taken", within_s=HANDOVER_S, what="the lead")
        second.until_pass(settled=True)
        assert leads(second) == 1
        assert await tools(second, "one") == 2
    assert [machine["id"] for machine in machines.machines("led-one")] == before
