"""Engines that are killed at a chosen point. Run as a program: it reads orders from its input, and forks for each.

One order is one engine of real processes and one client that makes every kind of change, in a process that kills itself
with SIGKILL at the given point: before or after a durable write, the start of a supervisor, an order to a supervisor,
or the removal of a machine's directory. The points are put around the product's functions here, so the product knows
nothing of them. What the client began and what was answered stands in a journal, which survives the kill.
"""

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from reconciler.engine import EngineSettings, Timings, processes, run_engine, store

TOKEN = "fm2_killed"
IMAGE = "registry.fly.io/sleeper:1"
FIRST, SECOND, THIRD = "first", "second", "third"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    state_dir: str
    journal: str
    at: int
    """The number of the point, from 1."""
    both: bool
    """Whether every supervisor is killed first."""


def settings_of(state_dir: Path) -> EngineSettings:
    return EngineSettings(
        state_dir=state_dir,
        token=TOKEN,
        images={"sleeper": ("/bin/sleep", "1000")},
        base_environment={"PATH": "/usr/bin:/bin"},
        memory_limits=False,
        timings=Timings(backoff_first_s=0.01, backoff_limit_s=0.05),
    )


class Journal:
    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def note(self, **fields: object) -> None:
        self._file.write(json.dumps(fields) + "\n")


class Points:
    """Counts the points, and kills at one of them."""

    def __init__(self, order: Order, journal: Journal) -> None:
        self._order = order
        self._journal = journal
        self._numbers = itertools.count(1)

    def reach(self, name: str) -> None:
        number = next(self._numbers)
        self._journal.note(point=number, name=name)
        if number == self._order.at:
            die(both=self._order.both)

    def around(self, owner: object, name: str) -> None:
        inner: Callable[..., object] = getattr(owner, name)

        def wrapped(*arguments: object, **options: object) -> object:
            self.reach(f"before {name}")
            result = inner(*arguments, **options)
            self.reach(f"after {name}")
            return result

        setattr(owner, name, wrapped)


def die(*, both: bool) -> None:
    if both:
        for supervisor in psutil.Process().children():
            supervisor.kill()
    os.kill(os.getpid(), signal.SIGKILL)


class Client:
    def __init__(self, api: httpx.AsyncClient, journal: Journal) -> None:
        self._api = api
        self._journal = journal

    async def call(self, what: str, method: str, path: str, *, machine: str = "", **body: object) -> dict[str, Any]:
        self._journal.note(began=what, machine=machine)
        answer = await self._api.request(method, path, json=body or None)
        answer.raise_for_status()
        found = answer.json() if answer.content else {}
        self._journal.note(answered=what, machine=machine, id=found.get("id", ""), version=found.get("version", 0))
        return found

    async def make(self, app: str, name: str) -> str:
        path, config = f"/apps/{app}/machines", {"image": IMAGE}
        found = await self.call("create", "POST", path, machine=name, name=name, config=config)
        await self.reached(f"{path}/{found['id']}", "started")
        return f"{path}/{found['id']}"

    async def reached(self, path: str, state: str) -> None:
        async with asyncio.timeout(20):
            while (await self._api.get(path)).json()["state"] != state:  # noqa: ASYNC110 - asked as a client asks.
                await asyncio.sleep(0.01)


async def change_everything(client: Client) -> None:
    await client.call("app", "POST", "/apps", name="one", org_slug="personal")
    first, second = await client.make("one", FIRST), await client.make("one", SECOND)
    await client.call("secrets", "POST", "/apps/one/secrets", values={"KEY": "value"})
    await client.call("update", "POST", first, machine=FIRST, config={"image": IMAGE, "env": {"NEW": "1"}})
    await client.reached(first, "started")
    await client.call("stop", "POST", f"{first}/stop", machine=FIRST, timeout="5s")
    await client.reached(first, "stopped")
    await client.call("suspend", "POST", f"{second}/suspend", machine=SECOND)
    await client.reached(second, "suspended")
    await client.call("start", "POST", f"{first}/start", machine=FIRST)
    await client.reached(first, "started")
    await client.call("start", "POST", f"{second}/start", machine=SECOND)
    await client.reached(second, "started")
    await client.call("destroy", "DELETE", f"{first}?force=true", machine=FIRST)
    await client.reached(first, "destroyed")
    await client.call("app", "POST", "/apps", name="two", org_slug="personal")
    await client.make("two", THIRD)
    await client.call("delete-app", "DELETE", "/apps/two", machine=THIRD)


async def live(order: Order) -> None:
    journal = Journal(Path(order.journal))
    points = Points(order, journal)
    async with run_engine(settings_of(Path(order.state_dir))) as engine:
        points.around(store, "_write")
        points.around(processes, "spawn")
        points.around(processes, "rmtree")
        points.around(processes.ProcessRun, "signal")
        points.around(processes.ProcessRun, "kill")
        headers = {"authorization": f"FlyV1 {TOKEN}"}
        async with httpx.AsyncClient(base_url=f"{engine.api_url}/v1", headers=headers, timeout=30) as api:
            await change_everything(Client(api, journal))
        journal.note(complete=True)
        die(both=order.both)


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            # Logs go there; the output is for exit codes.
            os.dup2(2, 1)
            asyncio.run(live(Order(**json.loads(line))))
            os._exit(1)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def encoded(order: Order) -> str:
    return json.dumps(asdict(order)) + "\n"


if __name__ == "__main__":
    main()
