"""Sessions that were opened, used and deleted leave nothing behind, neither in the gateway nor in the adapter.

The long run of the same is `python -m tests.bench.soak`.
"""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import psutil
import pytest

from tests.adapter.support import poll
from tests.bench.gateway import free_port
from tests.bench.soak import ROOT, Counted, Served, keep_cycling, under_load
from tests.conformance.ways import wait_for_health

FEW, MANY = 40, 160
CONNECTIONS = 4
SERVER = [sys.executable, "-m", "tests.bench.echo_server"]


@contextmanager
def counted_program(file: Path, *command: str) -> Iterator[psutil.Process]:
    """A program that says on a signal what lives in it."""
    words = [sys.executable, "-m", "tests.bench.live_objects", str(file), *command]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(15)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Gateway, adapter and a server over stdio."""
    adapter_port, gateway_port = free_port(), free_port()
    where = ("--host", "127.0.0.1", "--port", str(adapter_port), "--exec", "--", *SERVER)
    behind = ("tests.conformance.serve_gateway", str(gateway_port), str(adapter_port))
    with ExitStack() as started:
        adapter = started.enter_context(counted_program(tmp_path / "adapter", "gateway.adapter", *where))
        gateway = started.enter_context(counted_program(tmp_path / "gateway", *behind))
        wait_for_health(f"http://127.0.0.1:{adapter_port}/health")
        wait_for_health(f"http://127.0.0.1:{gateway_port}/healthz")
        processes = {"adapter": adapter, "gateway": gateway}
        yield Served(port=gateway_port, processes=processes, path=b"/servers/everything/mcp")


async def cycled(served: Served, cycles: int) -> None:
    """So many sessions, each used once and deleted."""
    counted = Counted()
    with anyio.fail_after(60):
        await under_load(keep_cycling, served, counted, connections=CONNECTIONS, goes_on=lambda: counted.done < cycles)
    assert counted.errors == []


def living(process: psutil.Process, file: Path) -> Counter[str]:
    """What lives in a program, by its kind."""
    process.send_signal(signal.SIGUSR2)
    poll(file.exists, lambda: f"{file.name} does not say what lives in it")
    kinds: Counter[str] = Counter(json.loads(file.read_text(encoding="utf-8")))
    file.unlink()
    return kinds


async def test_a_session_that_was_deleted_leaves_nothing_behind(served: Served, tmp_path: Path):
    await cycled(served, FEW)
    before = {name: living(process, tmp_path / name) for name, process in served.processes.items()}
    await cycled(served, MANY)
    for name, process in served.processes.items():
        grown = living(process, tmp_path / name) - before[name]
        assert {kind: count for kind, count in grown.items() if count > MANY // 4} == {}, name
