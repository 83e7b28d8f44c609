"""Drives `catwalk serve` as a service manager would: settings in the environment, JSON log lines, SIGTERM.

The repository is on a real git server, the machines are those of a `catwalk engine` in a process of its own, so that
they outlive the service as machines on Fly do.
"""

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.harness import clean_environment

Line = dict[str, Any]
START_BUDGET_S = 240
"""Cold package caches on a slow network; a warm start takes a fraction."""


@dataclass(frozen=True)
class EngineProcess:
    """A `catwalk engine` and how to reach it."""

    api: str
    proxy: str
    token: str

    def request(self, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(method, f"{self.api}{path}", headers=headers, json=body, timeout=10, trust_env=False)

    def machines(self, app: str) -> list[Line]:
        answer = self.request("GET", f"/v1/apps/{app}/machines")
        return answer.json() if answer.status_code == 200 else []


@contextmanager
def engine(state_dir: Path, *arguments: str) -> Iterator[EngineProcess]:
    """An engine on free ports, ended with the block."""
    command = [sys.executable, "-m", "reconciler.cli", "engine", "--port", "0", "--json", "--state-dir", str(state_dir)]
    process = subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env=clean_environment(),
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield EngineProcess(api=ready["api"], proxy=ready["proxy"], token=ready["token"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


class Service:
    """A running `catwalk serve`: its log lines as they come."""

    def __init__(self, directory: Path, environment: dict[str, str], *arguments: str, insecure: bool = True) -> None:
        command = [sys.executable, "-m", "reconciler.cli", "serve", "--host", "127.0.0.1", "--port", "0"]
        command += ["--insecure"] if insecure else []
        self.process = subprocess.Popen(
            [*command, "--poll", "0.5", *arguments],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        self.raw: list[str] = []
        self.lines: list[Line] = []
        self._arrivals: queue.Queue[Line | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = ""

    def begin(self) -> None:
        """Waits until it listens."""
        self.address = self.until(lambda line: line["event"] == "listening", what="a listener")["address"]

    def until(self, wanted: Callable[[Line], bool], *, within_s: float = 60, what: str = "the line") -> Line:
        """The next line that is `wanted`; fails with the whole log when the process ends or the time is over."""
        deadline = time.monotonic() + within_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self._arrivals.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                pytest.fail(f"catwalk serve ended before {what}:\n{self.log}")
            if wanted(line):
                return line
        return pytest.fail(f"{what} did not come within {within_s} s:\n{self.log}")

    def until_state(self, server: str, state: str, *, within_s: float = START_BUDGET_S) -> Line:
        def wanted(line: Line) -> bool:
            return line["event"] == "server" and line["server"] == server and line["state"] == state

        return self.until(wanted, within_s=within_s, what=f"{server} {state}")

    def until_pass(self, *, within_s: float = 60, **values: object) -> Line:
        """The end of the next pass with these values."""

        def wanted(line: Line) -> bool:
            return line["event"] == "pass" and all(line.get(key) == value for key, value in values.items())

        return self.until(wanted, within_s=within_s, what=f"a pass with {values}")

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.address}{path}", timeout=10, trust_env=False)

    def fleet(self) -> Line:
        document: Line = self.get("/api/fleet").json()
        return document

    def mcp_url(self, server: str) -> str:
        return f"{self.address}/servers/{server}/mcp"

    def stop(self, *, within_s: float = 30) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=within_s)
        self._reader.join(timeout=5)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code

    @property
    def log(self) -> str:
        return "\n".join(self.raw)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            self.raw.append(text.rstrip("\n"))
            try:
                line = json.loads(text)
            except ValueError:
                continue
            self.lines.append(line)
            self._arrivals.put(line)
        self._arrivals.put(None)


@contextmanager
def service(directory: Path, environment: dict[str, str], *arguments: str, insecure: bool = True) -> Iterator[Service]:
    """A service that is stopped in the end, whatever happens."""
    running = Service(directory, environment, *arguments, insecure=insecure)
    try:
        running.begin()
        yield running
    finally:
        try:
            running.stop()
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.stop()


def service_environment(machines: EngineProcess, repo_url: str, **extra: str) -> dict[str, str]:
    """Settings of a service whose machines are an engine's."""
    return clean_environment(
        CATWALK_REPO_URL=repo_url,
        CATWALK_FLY_API_URL=machines.api,
        CATWALK_FLY_LOGS_URL=machines.api,
        CATWALK_FLYCAST_URL=machines.proxy,
        FLY_API_TOKEN=machines.token,
        **extra,
    )
