"""Changes of a running fleet with real processes: nobody notices a good one, a bad one undoes itself, drift heals."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx
import pytest
from mcp import Client

from tests.journeys.harness import Catwalk, Event, Repository, command, running

pytestmark = [pytest.mark.registry, pytest.mark.timeout(420)]

CHANGE_S = 240
MANIFEST = """\
apiVersion: catwalk.dev/v1
fleet: rollouts
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
    args: [--local-timezone=Europe/Berlin]
    scale: {min: 1}
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Repository, Catwalk, Event]]:
    repository = Repository(tmp_path_factory.mktemp("rollouts"))
    repository.write("catwalk.yaml", MANIFEST)
    repository.commit("Start")
    with running(repository.directory) as catwalk:
        yield repository, catwalk, catwalk.until_ready()


def status_of(catwalk: Catwalk) -> Event:
    shown = command("status", str(catwalk.directory), "--json")
    found: Event = next(server for server in json.loads(shown.stdout)["servers"] if server["name"] == "time")
    return found


def machines_of(catwalk: Catwalk) -> list[Event]:
    """What the embedded engine says exists, asked directly."""
    endpoint = json.loads((Path(catwalk.directory) / ".catwalk" / "endpoint.json").read_text(encoding="utf-8"))
    answer = httpx.get(
        f"{endpoint['engine_url']}/v1/apps/rollouts-time/machines",
        headers={"Authorization": f"Bearer {endpoint['engine_token']}"},
        timeout=10,
    )
    found: list[Event] = answer.raise_for_status().json()
    return found


@dataclass
class Caller:
    """Somebody who calls the server all the time, each time with a session of its own, and keeps count."""

    url: str
    answers: list[str] = field(default_factory=list[str])
    failures: list[str] = field(default_factory=list[str])

    async def call_until(self, done: anyio.Event) -> None:
        while not done.is_set():
            try:
                async with Client(self.url, mode="legacy") as client:
                    tools = await client.list_tools()
                self.answers.append(json.dumps([tool.model_dump(mode="json") for tool in tools.tools]))
            except Exception as error:  # noqa: BLE001  # Whatever a caller meets is what this is about.
                self.failures.append(repr(error))


async def test_a_change_of_a_server_that_never_sleeps_is_noticed_by_nobody(
    fleet: tuple[Repository, Catwalk, Event],
) -> None:
    repository, catwalk, ready = fleet
    caller, done = Caller(ready["servers"]["time"]["url"]), anyio.Event()
    before = {machine["id"] for machine in machines_of(catwalk)}

    async with anyio.create_task_group() as group:
        group.start_soon(caller.call_until, done)
        repository.edit("catwalk.yaml", "Europe/Berlin", "Asia/Tokyo")
        await anyio.to_thread.run_sync(lambda: until_destroyed(catwalk, before))
        done.set()

    assert caller.failures == []
    assert "Europe/Berlin" in caller.answers[0]
    assert "Asia/Tokyo" in caller.answers[-1]
    assert len(machines_of(catwalk)) == 1
    assert status_of(catwalk)["state"] == "ready"


def until_destroyed(catwalk: Catwalk, machine_ids: set[str]) -> None:
    catwalk.until(
        lambda event: event["event"] == "action" and event["kind"] == "destroy" and event["outcome"] == "applied",
        within_s=CHANGE_S,
        what="the end of the old machine",
    )
    assert not machine_ids & {machine["id"] for machine in machines_of(catwalk)}


async def test_a_version_that_does_not_start_is_taken_back_while_the_old_one_serves(
    fleet: tuple[Repository, Catwalk, Event],
) -> None:
    repository, catwalk, ready = fleet
    before = {machine["id"] for machine in machines_of(catwalk)}
    caller, done = Caller(ready["servers"]["time"]["url"]), anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(caller.call_until, done)
        repository.edit("catwalk.yaml", "Asia/Tokyo", "Nowhere/Land")
        held = await anyio.to_thread.run_sync(lambda: catwalk.until_state("time", "held", within_s=CHANGE_S))
        done.set()
    assert caller.failures == []
    assert "Asia/Tokyo" in caller.answers[-1]
    assert held["cause"]
    assert {machine["id"] for machine in machines_of(catwalk)} == before
    shown = command("status", str(catwalk.directory))
    assert "held" in shown.stdout
    repository.edit("catwalk.yaml", "Nowhere/Land", "Asia/Tokyo")
    catwalk.until_state("time", "ready", within_s=CHANGE_S)


def test_what_somebody_changed_by_hand_is_put_back(fleet: tuple[Repository, Catwalk, Event]) -> None:
    _, catwalk, _ = fleet
    machine = machines_of(catwalk)[0]
    endpoint = json.loads((Path(catwalk.directory) / ".catwalk" / "endpoint.json").read_text(encoding="utf-8"))
    config = machine["config"] | {"env": {"MEDDLED": "yes"}}
    httpx.post(
        f"{endpoint['engine_url']}/v1/apps/rollouts-time/machines/{machine['id']}",
        headers={"Authorization": f"Bearer {endpoint['engine_token']}"},
        json={"config": config},
        timeout=30,
    ).raise_for_status()
    plan = catwalk.until(lambda event: event["event"] == "plan", within_s=CHANGE_S, what="the repair")
    assert "outside Catwalk" in json.dumps(plan)
    until_destroyed(catwalk, {machine["id"]})
    assert ["MEDDLED" in found["config"].get("env", {}) for found in machines_of(catwalk)] == [False]
    assert status_of(catwalk)["state"] == "ready"
