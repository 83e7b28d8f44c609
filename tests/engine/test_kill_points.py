"""No kill of the engine, alone or with its supervisors, loses a machine, doubles one, or leaves a process.

`CATWALK_ALL_KILLS=1 pytest tests/engine/test_kill_points.py` kills at every point; otherwise at `SAMPLE` of them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import psutil
import pytest

from reconciler.engine import run_engine
from tests.engine.killed_engine import TOKEN, Order, encoded, settings_of

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = 20
"""Points for each of the two sorts of kill."""
NEVER = 1_000_000
RESTING = {"started", "stopped", "suspended", "failed"}
REMOVING = {"destroy", "delete-app"}

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the guarantee rests on prctl"),
    pytest.mark.timeout(600),
]


@contextmanager
def killing() -> Iterator[Callable[[Order], int]]:
    """Carries out orders in a program that has imported the engine once; gives the exit code of each."""
    command = [sys.executable, "-m", "tests.engine.killed_engine"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:

        def carry_out(order: Order) -> int:
            program.stdin.write(encoded(order))
            program.stdin.flush()
            return int(program.stdout.readline())

        yield carry_out
        program.stdin.close()


def order_in(directory: Path, at: int, *, both: bool) -> Order:
    directory.mkdir()
    return Order(state_dir=str(directory / "state"), journal=str(directory / "journal"), at=at, both=both)


def journal_of(order: Order) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(order.journal).read_text(encoding="utf-8").splitlines()]


def chosen(points: int) -> list[int]:
    if os.environ.get("CATWALK_ALL_KILLS") == "1" or points <= SAMPLE:
        return list(range(1, points + 1))
    return sorted({1 + number * (points - 1) // (SAMPLE - 1) for number in range(SAMPLE)})


async def until(condition: Callable[[], Awaitable[list[dict[str, Any]] | None]]) -> list[dict[str, Any]]:
    with anyio.fail_after(20):
        while not (found := await condition()):  # noqa: ASYNC110 - the processes set no event here.
            await anyio.sleep(0.01)
    return found


def alive(state_dir: Path) -> list[str]:
    """The machine ids of every living process that was started in the state directory; one for each process."""
    found: list[str] = []
    for process in psutil.process_iter():
        try:
            inside = process.status() != psutil.STATUS_ZOMBIE and process.cwd().startswith(f"{state_dir}/machines/")
            if inside:
                found.append(process.environ().get("FLY_MACHINE_ID", "unknown"))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return sorted(found)


async def judge(order: Order) -> None:
    """Starts the engine again on what was left, and looks at everything."""
    journal, state_dir = journal_of(order), Path(order.state_dir)
    async with run_engine(settings_of(state_dir)) as engine:
        headers = {"authorization": f"FlyV1 {TOKEN}"}
        async with httpx.AsyncClient(base_url=f"{engine.api_url}/v1", headers=headers, timeout=30) as api:

            async def settled() -> list[dict[str, Any]] | None:
                found = (await api.get("/orgs/personal/machines")).json()["machines"]
                running = sorted(machine["id"] for machine in found if machine["state"] == "started")
                rests = all(machine["state"] in RESTING for machine in found)
                return [*found, {}] if rests and alive(state_dir) == running else None

            machines = (await until(settled))[:-1]
            judge_machines(journal, machines)
            answered = [entry["version"] for entry in journal if entry.get("answered") == "secrets"]
            for version in answered:
                assert (await api.get("/apps/one/secrets")).json()["version"] >= version
    assert alive(state_dir) == []


def judge_machines(journal: list[dict[str, Any]], machines: list[dict[str, Any]]) -> None:
    ids = [machine["id"] for machine in machines]
    names = [machine["name"] for machine in machines]
    assert len(set(ids)) == len(ids)
    assert len(set(names)) == len(names)
    made = {entry["machine"]: entry["id"] for entry in journal if entry.get("answered") == "create"}
    leaving = {entry["machine"] for entry in journal if entry.get("began") in REMOVING}
    removed = {entry["machine"] for entry in journal if entry.get("answered") in REMOVING}
    assert {made[name] for name in made.keys() - leaving} <= set(ids), "an answered machine is lost"
    assert not removed & set(names), "a destroyed machine is back"
    for machine in machines:
        judge_state(journal, machine)


def judge_state(journal: list[dict[str, Any]], machine: dict[str, Any]) -> None:
    """A machine is where the last answered call took it, unless a later call was begun."""
    calls = [entry for entry in journal if entry.get("machine") == machine["name"]]
    goals = {"create": "started", "update": "started", "start": "started", "stop": "stopped"}
    expected = goals.get(calls[-1].get("answered", ""))
    assert expected is None or machine["state"] == expected, (calls[-1], machine["state"])


@pytest.mark.parametrize("both", [False, True], ids=["engine", "engine-and-supervisors"])
async def test_a_kill_at_any_point_loses_doubles_and_leaves_nothing(tmp_path, both):
    with killing() as carry_out:
        whole = order_in(tmp_path / "whole", NEVER, both=both)
        assert await anyio.to_thread.run_sync(carry_out, whole) == -9
        journal = journal_of(whole)
        assert journal[-1] == {"complete": True}
        await judge(whole)
        points = max(entry["point"] for entry in journal if "point" in entry)
        reached = 0
        for at in chosen(points):
            order = order_in(tmp_path / str(at), at, both=both)
            assert await anyio.to_thread.run_sync(carry_out, order) == -9
            reached += any(entry.get("point") == at for entry in journal_of(order))
            try:
                await judge(order)
            except BaseException as error:
                error.add_note(f"killed at point {at} of {points}: {journal_of(order)[-1]}")
                raise
        # Writes that come together share one commit, so that a run may have a few points fewer than the first.
        assert reached >= 0.8 * len(chosen(points)), f"{reached} of {len(chosen(points))} points were reached"
