"""A few dozen runs, and that a run depends on nothing but its seed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.schedule import schedule

ROOT = Path(__file__).resolve().parents[2]


def simulation(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """As a person runs it: the order of sets is part of a run, and is fixed for a whole process."""
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=280)


@pytest.mark.timeout(300)
def test_whatever_happens_no_invariant_is_violated(capsys):
    done = simulation("--seeds", "0-23", "--jobs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    with capsys.disabled():
        print(f"\n{done.stdout.strip()}")
    assert "schedules: 24, violated: 0" in done.stdout


@pytest.mark.timeout(120)
def test_the_same_seed_is_the_same_run():
    first, second = (simulation("--seed", "5", "--trace") for _ in range(2))
    assert first.stdout == second.stdout
    assert "pass 2:" in first.stdout


def test_every_kind_of_step_is_made_up_by_some_seed():
    verbs = {step.verb for seed in range(200) for step in schedule(seed).steps}
    effects = {step.rule.effect.effect for seed in range(300) for step in schedule(seed).steps if step.rule}
    assert verbs >= {"pass", "commit", "fault", "kill", "heal", "time", "restart", "crash", "meddle", "clock", "github"}
    assert len(effects) == 16
