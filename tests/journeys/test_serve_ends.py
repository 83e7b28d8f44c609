"""A service is told to stop in the middle of a change: the action that has begun ends, and the next start goes on."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.serving import EngineProcess, Line, Service, engine, service, service_environment
from tests.sources.conftest import Repository, serve_git

pytestmark = [pytest.mark.registry, pytest.mark.timeout(420)]

APP = "ends-time"
MANIFEST = b"""\
apiVersion: catwalk.dev/v1
fleet: ends
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
"""
SLOW_CREATE = {
    "effect": {"effect": "slow-body", "pause_s": 0.3, "pieces": 10},
    "method": "POST",
    "route": "/v1/apps/{app}/machines",
}


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[EngineProcess]:
    with engine(tmp_path / "engine", "--control") as running:
        yield running


@pytest.fixture
def environment(tmp_path: Path, machines: EngineProcess) -> Iterator[dict[str, str]]:
    path = tmp_path / "git" / "fleet"
    path.mkdir(parents=True)
    repository = Repository(path)
    repository.git("init", "--quiet", "--initial-branch", "main")
    repository.write("catwalk.yaml", MANIFEST)
    repository.commit("Start")
    for host in serve_git(path.parent):
        yield service_environment(machines, host.url)


def wait_until_it_began(machines: EngineProcess, running: Service) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        rules = machines.request("GET", "/_engine/faults").json()["rules"]
        if any(rule["fired"] for rule in rules):
            return
    pytest.fail(f"no machine was asked for:\n{running.log}")


def is_ready(line: Line) -> bool:
    """By a change of state, or from the start where the first process still saw it become ready."""
    changed = line["event"] == "server" and line["state"] == "ready"
    return bool(changed or (line["event"] == "ready" and line["servers"] == {"time": "ready"}))


def test_an_action_that_has_begun_ends_and_the_next_start_goes_on(
    tmp_path: Path, machines: EngineProcess, environment: dict[str, str]
) -> None:
    assert machines.request("POST", "/_engine/faults", SLOW_CREATE).is_success
    with service(tmp_path, environment) as first:
        wait_until_it_began(machines, first)
        assert first.stop() == 0
        actions = {line["kind"]: line["outcome"] for line in first.lines if line["event"] == "action"}
        assert actions["create"] == "applied", first.log
        assert first.lines[-1]["event"] == "stopped"
        assert not [line for line in first.raw if not line.startswith("{")], "no traceback"
    [machine] = machines.machines(APP)
    machines.request("DELETE", "/_engine/faults")
    with service(tmp_path, environment) as second:
        second.until(is_ready, within_s=240, what="time ready")
        second.until_pass()
        assert not [line for line in second.lines if line["event"] == "action" and line["kind"] == "create"]
    assert [found["id"] for found in machines.machines(APP)] == [machine["id"]]
