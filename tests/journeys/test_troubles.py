"""What a person meets when the platform refuses: a full region, a machine that somebody holds, a lost answer."""

import json
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.journeys.harness import Repository, clean_environment, command
from tests.journeys.serving import EngineProcess, engine

pytestmark = [pytest.mark.registry, pytest.mark.timeout(420)]

APP = "troubles-time"
MANIFEST = """\
apiVersion: catwalk.dev/v1
fleet: troubles
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
    args: [--local-timezone=Europe/Berlin]
"""


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with engine(tmp_path_factory.mktemp("engine"), "--control") as running:
        yield running


@pytest.fixture
def faults(machines: EngineProcess) -> Iterator[EngineProcess]:
    yield machines
    machines.request("DELETE", "/_engine/faults").raise_for_status()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("troubles"))
    made.write("catwalk.yaml", MANIFEST)
    made.commit("Start")
    return made


def break_it(machines: EngineProcess, **rule: object) -> None:
    machines.request("POST", "/_engine/faults", rule).raise_for_status()


def apply(repository: Repository, machines: EngineProcess) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(
        FLY_API_TOKEN=machines.token,
        CATWALK_FLY_API_URL=machines.api,
        CATWALK_FLY_LOGS_URL=machines.api,
        CATWALK_FLYCAST_URL=machines.proxy,
    )
    return command("apply", str(repository.directory), "--json", environment=environment)


def states(done: subprocess.CompletedProcess[str]) -> list[str]:
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return [event["state"] for event in events if event["event"] == "server"]


def test_a_full_region_is_told_with_what_to_do_and_tried_again(repository: Repository, faults: EngineProcess) -> None:
    break_it(faults, effect={"effect": "insufficient-capacity"}, region="iad")
    refused = apply(repository, faults)
    assert refused.returncode != 0
    assert states(refused)[-1] == "failed"
    assert "iad" in refused.stdout
    assert faults.machines(APP) == []
    faults.request("DELETE", "/_engine/faults").raise_for_status()
    done = apply(repository, faults)
    assert (done.returncode, states(done)[-1]) == (0, "ready"), done.stdout + done.stderr


def test_an_answer_that_is_lost_makes_no_second_machine(repository: Repository, faults: EngineProcess) -> None:
    before = [machine["id"] for machine in faults.machines(APP)]
    break_it(faults, effect={"effect": "lost-answer"}, method="POST", route="/v1/apps/{app}/machines/{id}", times=1)
    repository.edit("catwalk.yaml", "Europe/Berlin", "Asia/Seoul")
    done = apply(repository, faults)
    assert (done.returncode, states(done)[-1]) == (0, "ready"), done.stdout + done.stderr
    assert [machine["id"] for machine in faults.machines(APP)] == before


def test_a_machine_that_somebody_else_holds_is_left_to_them_and_changed_later(
    repository: Repository, faults: EngineProcess
) -> None:
    machine = faults.machines(APP)[0]
    lease = faults.request("POST", f"/v1/apps/{APP}/machines/{machine['id']}/lease", {"ttl": 300})
    nonce = lease.raise_for_status().json()["data"]["nonce"]
    repository.edit("catwalk.yaml", "Asia/Seoul", "Asia/Tokyo")
    refused = apply(repository, faults)
    assert refused.returncode != 0
    assert "held by" in refused.stdout
    assert [found["instance_id"] for found in faults.machines(APP)] == [machine["instance_id"]]
    release(faults, machine["id"], nonce)
    done = apply(repository, faults)
    assert (done.returncode, states(done)[-1]) == (0, "ready"), done.stdout + done.stderr
    assert "Asia/Tokyo" in json.dumps(faults.machines(APP)[0]["config"])


def release(machines: EngineProcess, machine_id: str, nonce: str) -> None:
    httpx.delete(
        f"{machines.api}/v1/apps/{APP}/machines/{machine_id}/lease",
        headers={"Authorization": f"Bearer {machines.token}", "fly-machine-lease-nonce": nonce},
        timeout=10,
    ).raise_for_status()
