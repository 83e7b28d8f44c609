"""`catwalk engine` as a process: its switches reach the engine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from reconciler.cli.main import run

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "fm2_" + "ZW5naW5l"


@contextmanager
def engine(directory: Path, *options: str) -> Iterator[httpx.Client]:
    command = [sys.executable, "-m", "reconciler.cli", "engine", "--port", "0", "--json", "--runtime", "simulated"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(directory), "FLY_API_TOKEN": TOKEN}
    with subprocess.Popen(
        [*command, *options], cwd=directory, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            headers = {"authorization": f"FlyV1 {TOKEN}"}
            with httpx.Client(base_url=f"{ready['api']}/v1", headers=headers, timeout=30) as api:
                yield api
        finally:
            process.terminate()
            assert process.wait(timeout=30) == 0


def test_a_foreign_lease_refuses_a_stop_where_it_is_told_to(tmp_path: Path) -> None:
    with engine(tmp_path, "--foreign-lease", "refuses", "--no-rate-limits") as api:
        api.post("/apps", json={"name": "one", "org_slug": "personal"})
        machine = api.post("/apps/one/machines", json={"config": {"image": "any"}}).json()
        path = f"/apps/one/machines/{machine['id']}"
        assert api.post(f"{path}/lease", json={"ttl": 3600}).status_code == 201
        assert api.post(f"{path}/stop", json={}).status_code == 409


def test_time_stands_still_only_for_simulated_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engine", "--clock", "standing", "--state-dir", str(tmp_path)]) == 2
    assert "--clock standing needs --runtime simulated" in capsys.readouterr().err
