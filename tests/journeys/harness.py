"""Drives the real `catwalk` command as a person would: a git repository, one process, its printed events.

Every journey starts `catwalk up --json` in a process of its own, on free ports, with a state directory of its own.
Package caches are the machine's, as they are for users.
"""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "examples" / "quickstart"
START_BUDGET_S = 240
"""Cold package caches on a slow network; a warm start takes a fraction."""

Event = dict[str, Any]


class Repository:
    """A git repository with a fleet in it, changed by commits."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._git("init", "--quiet", "--initial-branch=main")

    def write(self, path: str, text: str) -> None:
        target = self.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def read(self, path: str) -> str:
        return (self.directory / path).read_text(encoding="utf-8")

    def commit(self, subject: str = "Change the fleet") -> str:
        self._git("add", "--all")
        self._git("-c", "user.name=Test", "-c", "user.email=test@example.com", "commit", "--quiet", "-m", subject)
        return self._git("rev-parse", "HEAD").strip()

    def edit(self, path: str, before: str, after: str) -> str:
        text = self.read(path)
        assert before in text, f"{before!r} does not stand in {path}"
        self.write(path, text.replace(before, after))
        return self.commit(f"Edit {path}")

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.directory), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


class Catwalk:
    """A running `catwalk up --json`: its events as they come, its output in full."""

    def __init__(self, directory: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.directory = directory
        command = [sys.executable, "-m", "reconciler.cli", "up", str(directory), "--port", "0", "--json", *arguments]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            env=environment or clean_environment(),
        )
        self.events: list[Event] = []
        self.errors: list[str] = []
        self._arrivals: queue.Queue[Event | None] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def until(self, wanted: Callable[[Event], bool], *, within_s: float = 60, what: str = "the event") -> Event:
        """The next event that is `wanted`; fails with all output when the process ends or the time is over."""
        deadline = time.monotonic() + within_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                event = self._arrivals.get(timeout=left)
            except queue.Empty:
                break
            if event is None:
                pytest.fail(f"catwalk ended before {what}:\n{self.output}")
            if wanted(event):
                return event
        return pytest.fail(f"{what} did not come within {within_s} s:\n{self.output}")

    def until_ready(self) -> Event:
        return self.until(lambda event: event["event"] == "ready", within_s=START_BUDGET_S, what="ready")

    def until_state(self, server: str, state: str, *, within_s: float = 60) -> Event:
        def wanted(event: Event) -> bool:
            return event["event"] == "server" and event["server"] == server and event["state"] == state

        return self.until(wanted, within_s=within_s, what=f"{server} {state}")

    def stop(self, *, within_s: float = 30) -> int:
        """Ctrl-C, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout=within_s)
        for thread in self._threads:
            thread.join(timeout=5)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code

    @property
    def output(self) -> str:
        return "\n".join([*(json.dumps(event) for event in self.events), *self.errors])

    def _read_events(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: Event = json.loads(line)
            self.events.append(event)
            self._arrivals.put(event)
        self._arrivals.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(line.rstrip("\n") for line in self.process.stderr)


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment of a person who never set anything up for Catwalk."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CATWALK_", "SOPS_", "FLY_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **extra}


@contextmanager
def running(directory: Path, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[Catwalk]:
    """A `catwalk up` that is stopped in the end, whatever happens."""
    catwalk = Catwalk(directory, *arguments, environment=environment)
    try:
        yield catwalk
    finally:
        try:
            catwalk.stop()
        except subprocess.TimeoutExpired:
            catwalk.process.kill()
            catwalk.stop()


def command(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs one `catwalk` command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "reconciler.cli", *arguments],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        env=environment or clean_environment(),
    )


def copy_of_quickstart(directory: Path) -> Repository:
    """The example in a repository of its own."""
    repository = Repository(directory)
    for file in sorted(path for path in QUICKSTART.rglob("*") if path.is_file() and ".catwalk" not in path.parts):
        target = directory / file.relative_to(QUICKSTART)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    repository.commit("Start from the example")
    return repository
