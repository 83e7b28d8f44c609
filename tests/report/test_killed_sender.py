"""A sender that is killed at every step, by the kernel, with its real store: what stands in the end is right."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.dying_sender import SHA, WISHES

ROOT = Path(__file__).resolve().parents[2]
MOST_STEPS = 60

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def send():
    """Runs a sender from a process that has everything imported: its end, and how many steps it took."""
    command = [sys.executable, "-m", "tests.report.dying_sender"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        told, asked = nursery.stdout, nursery.stdin

        def run(state_dir: Path, url: str, step: int) -> tuple[int, int]:
            asked.write(f"{state_dir} {url} {step}\n")
            asked.flush()
            code, steps = told.readline().split()
            return int(code), int(steps)

        yield run
        asked.close()


@pytest.fixture
def notified(github, canned):
    """What the receiver of notifications got: mark and text."""
    taken: list[tuple[str, str]] = []

    def route(method, path, _headers, body):
        if (method, path) != ("POST", "/notified"):
            return None
        said = json.loads(body)
        taken.append((said["mark"], said["text"]))
        return canned(201)

    github.routes.append(route)
    return taken


def test_killed_at_every_step_nothing_is_missing_doubled_or_out_of_order(loopback, notified, tmp_path, send):
    github, url = loopback
    code, steps = send(tmp_path / "whole", url, 0)
    assert code == 0
    assert 20 <= steps <= MOST_STEPS
    expected = [state for state, _ in WISHES]
    assert github.states("catwalk/sync") == expected
    for step in range(1, steps + 1):
        github.posted.clear()
        notified.clear()
        state_dir = tmp_path / f"step-{step}"
        assert send(state_dir, url, step)[0] == -signal.SIGKILL
        assert send(state_dir, url, 0)[0] == 0, f"after a kill at step {step}"
        assert github.states("catwalk/sync", SHA) == expected, f"after a kill at step {step}"
        told = list(dict.fromkeys(notified))
        assert [text for _, text in told] == expected, f"after a kill at step {step}"
        assert len(notified) <= len(expected) + 1, "a notice whose answer was lost is told again, under its mark"
