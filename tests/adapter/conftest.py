"""The adapter as a process, in front of small servers that misbehave on command."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.adapter.support import FAULTY, ROOT, Adapter, LegacyClient, Start, free_port


def starter(folder: Path) -> Iterator[Start]:
    """Start adapters; every one is ended when the fixture is."""
    running: list[Adapter] = []

    def start_one(*trailing: str, options: tuple[str, ...] = (), environment: dict[str, str] | None = None) -> Adapter:
        port, log = free_port(), folder / f"adapter-{len(running)}.log"
        command = [sys.executable, "-m", "gateway.adapter", "--host", "127.0.0.1", "--port", str(port), *options]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--", *trailing],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
            )
        running.append(Adapter(process=process, port=port, log=log))
        return running[-1]

    yield start_one
    for adapter in running:
        if adapter.process.poll() is None:
            adapter.process.kill()
        adapter.process.wait(10)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts adapters of one test."""
    yield from starter(tmp_path)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    """An adapter that is ready, in front of the server that misbehaves on command; one for all tests of a module."""
    starting = starter(tmp_path_factory.mktemp("adapter"))
    adapter = next(starting)(sys.executable, FAULTY, options=("--exec",), environment={"FLY_MACHINE_ID": "machine-1"})
    adapter.wait_for("ready")
    yield adapter
    next(starting, None)


@pytest.fixture
def fresh(start: Start) -> Adapter:
    """The same for one test alone."""
    adapter = start(sys.executable, FAULTY, options=("--exec",))
    adapter.wait_for("ready")
    return adapter


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


@pytest.fixture
async def legacy(faulty: Adapter, http: httpx.AsyncClient) -> LegacyClient:
    """A session on the shared server: its client can be asked nothing."""
    return await LegacyClient(faulty, http).initialize()


@pytest.fixture
async def askable(faulty: Adapter, http: httpx.AsyncClient) -> LegacyClient:
    """A session with a server process of its own: its client answers elicitations."""
    return await LegacyClient(faulty, http).initialize(capabilities={"elicitation": {}})
