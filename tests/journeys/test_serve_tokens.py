"""`catwalk serve` for callers with tokens: what each may use, what nobody may, and who sees the dashboard."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from tests.journeys.harness import command
from tests.journeys.serving import EngineProcess, Service, engine, service, service_environment
from tests.sources.conftest import GitHttpServer, Repository, serve_git

pytestmark = [pytest.mark.registry, pytest.mark.timeout(420)]

READER, OWNER = "canary-reader-91c4", "canary-owner-77aa"
MANIFEST = f"""\
apiVersion: catwalk.dev/v1
fleet: tokens
gateway:
  auth:
    tokens:
      reader: {{sha256: {hashlib.sha256(READER.encode()).hexdigest()}}}
      owner: {{sha256: {hashlib.sha256(OWNER.encode()).hexdigest()}}}
  access:
    reader: {{time: [get_*]}}
    owner: {{"*": ["*"]}}
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
"""


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Repository, GitHttpServer]]:
    path = tmp_path_factory.mktemp("git") / "fleet"
    path.mkdir()
    made = Repository(path)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.git("config", "uploadpack.allowAnySHA1InWant", "true")
    made.write("catwalk.yaml", MANIFEST.encode())
    made.commit("Start")
    for server in serve_git(path.parent):
        yield made, server


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def serving(place: Path, machines: EngineProcess, host: tuple[Repository, GitHttpServer]) -> Iterator[Service]:
    environment = service_environment(machines, host[1].url)
    with service(place, environment, insecure=False) as running:
        running.until(lambda line: line["event"] == "ready", within_s=240, what="ready")
        yield running


async def tools_of(running: Service, token: str) -> set[str]:
    async with create_mcp_http_client(headers={"Authorization": f"Bearer {token}"}) as http:
        transport = streamable_http_client(running.mcp_url("time"), http_client=http)
        async with Client(transport, mode="legacy") as client:
            return {tool.name for tool in (await client.list_tools()).tools}


async def test_each_token_lists_what_it_may_call(serving: Service) -> None:
    assert await tools_of(serving, OWNER) == {"get_current_time", "convert_time"}
    assert await tools_of(serving, READER) == {"get_current_time"}


def test_without_a_token_nobody_gets_in(serving: Service) -> None:
    answer = httpx.post(serving.mcp_url("time"), json={}, timeout=10, trust_env=False)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_dashboard_asks_for_a_token_and_health_does_not(serving: Service) -> None:
    assert serving.get("/").status_code == 401
    assert serving.get("/api/fleet").status_code == 401
    signed_in = httpx.get(f"{serving.address}/", auth=("me", READER), timeout=10, trust_env=False)
    assert signed_in.status_code == 200
    assert "time" in signed_in.text
    assert serving.get("/healthz").status_code == 200
    assert serving.get("/readyz").status_code == 200


def test_commands_on_the_same_machine_need_no_token(serving: Service, place: Path) -> None:
    shown = command("status", str(place), "--json")
    assert shown.returncode == 0, shown.stderr
    assert [server["name"] for server in json.loads(shown.stdout)["servers"]] == ["time"]
    assert serving.process.poll() is None


async def test_a_token_that_is_removed_from_the_manifest_is_refused(
    serving: Service, host: tuple[Repository, GitHttpServer]
) -> None:
    repository, _ = host
    lines = [line for line in MANIFEST.splitlines() if "reader" not in line]
    repository.write("catwalk.yaml", ("\n".join(lines) + "\n").encode())
    commit = repository.commit("Take the reader's token away")
    serving.until(lambda line: line["event"] == "revision" and line["commit"] == commit, what="the revision")
    headers = {"Authorization": f"Bearer {READER}"}
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        assert (await http.post(serving.mcp_url("time"), json={}, headers=headers)).status_code == 401
    assert await tools_of(serving, OWNER) == {"get_current_time", "convert_time"}
    assert READER not in serving.log
    assert OWNER not in serving.log
