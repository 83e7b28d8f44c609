"""`catwalk status` without a running process: states, wakes, cost and savings by what the store and git know."""

import json
import subprocess
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import pytest

from reconciler.cli.main import run
from reconciler.core.actions import Pass
from reconciler.core.types import Revision, ServerState, ServerStatus, Trigger
from reconciler.loop.clock import SystemClock
from reconciler.loop.store.store import open_store

MANIFEST = """\
apiVersion: catwalk.dev/v1
fleet: acme
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
    vm: {memory_mb: 256}
"""
HOUR_PRICE = 1.94 / 720


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    (tmp_path / "catwalk.yaml").write_text(MANIFEST, encoding="utf-8")
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    for arguments in (["init", "--quiet", "-b", "main"], ["add", "."], ["commit", "--quiet", "-m", "Start"]):
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, timeout=30)
    return tmp_path


def head(fleet: Path) -> str:
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=fleet, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def finished(number: int, state: ServerState, at: datetime, commit: str) -> Pass:
    revision = Revision(commit=commit, branch="main", source="/x", subject="Start")
    return Pass(
        number=number,
        trigger=Trigger.HEALTH,
        started_at=at,
        finished_at=at,
        fleet="acme",
        revision=revision,
        applied_revision=revision,
        statuses=(ServerStatus(server="time", state=state, since=at, machine_id="m1", tools=("get_time",)),),
    )


def lived(fleet: Path, changes: Sequence[tuple[float, ServerState]]) -> datetime:
    """Hours ago, and what the server became then."""
    now, commit = SystemClock().now(), head(fleet)

    async def record() -> None:
        state_dir = fleet / ".catwalk"
        state_dir.mkdir()
        store = await open_store(state_dir, SystemClock())
        for number, (hours, state) in enumerate(changes, start=1):
            await store.record_pass(finished(number, state, now - timedelta(hours=hours), commit))
        store.close()

    anyio.run(record)
    return now


LIFE = [
    (0.9, ServerState.READY),
    (0.8, ServerState.IDLE),
    (0.4, ServerState.STARTING),
    (0.4 - 3 / 3600, ServerState.READY),
    (0.3, ServerState.IDLE),
]


def test_status_tells_wakes_cost_and_savings(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lived(fleet, LIFE)
    assert run(["status", str(fleet), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    [server] = document["servers"]
    told = server["usage"]
    began = datetime.fromisoformat(told["since"])
    first_of_month = began.day == 1 and began.hour == 0 and began.minute == 0
    assert (told["wakes"], told["last_wake_s"]) == (1, pytest.approx(3, abs=0.01)) or first_of_month
    awake, asleep = told["awake_s"] / 3600, told["asleep_s"] / 3600
    assert (awake, asleep) == (pytest.approx(0.2, abs=0.01), pytest.approx(0.7, abs=0.01)) or first_of_month
    assert told["cost"] == pytest.approx(awake * HOUR_PRICE, abs=1e-4)
    assert told["saved"] == pytest.approx(asleep * HOUR_PRICE, abs=1e-4)
    assert (document["cost"], document["saved"]) == (told["cost"], told["saved"])


def test_status_shows_them_to_a_person(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lived(fleet, LIFE)
    assert run(["status", str(fleet)]) == 0
    shown = capsys.readouterr().out
    assert "last wake" in shown
    assert "sleeping saved" in shown
    assert "prices of 2026-08" in shown


def test_without_its_repository_a_state_is_shown_without_prices(
    fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lived(fleet, LIFE)
    (fleet / ".git").rename(fleet / "gone")
    assert run(["status", str(fleet), "--json"]) == 0
    [server] = json.loads(capsys.readouterr().out)["servers"]
    assert server["state"] == "idle"
    assert server["usage"]["cost"] is None
