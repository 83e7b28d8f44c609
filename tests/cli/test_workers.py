"""Several processes behind one port: killed ones come back, sessions stay, and none outlives its keeper."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import psutil
import pytest

from reconciler.cli.serving import bind
from reconciler.errors import EnvironmentFault
from tests.gateway.conftest import read_body, reply, serve

PROGRAM = Path(__file__).with_name("shared_port.py")
JSON = (b"content-type", b"application/json")
HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


async def machine(scope, receive, send) -> None:
    message = json.loads(await read_body(receive))
    known = dict(scope["headers"]).get(b"mcp-session-id") == b"one"
    session = ((b"mcp-session-id", b"one"),) if message["method"] == "initialize" else ()
    status = 200 if known or session else 404
    answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {}}).encode()
    await reply(send, status, answer, (JSON, (b"catwalk-machine", b"m1"), *session))


@contextmanager
def crew(upstream: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, str(PROGRAM), "parent", str(upstream)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8", env=environment
    ) as process:
        try:
            assert process.stdout is not None
            yield process, f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


async def ask(url: str, method: str = "GET", **arguments: object) -> httpx.Response | None:
    """An answer on a connection of its own; None where there was none, as when a worker has just been killed."""
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            return await client.request(method, url, **arguments)
    except httpx.TransportError:
        return None


async def pids(url: str, is_enough: Callable[[set[int]], bool]) -> set[int]:
    """The processes that have answered, once they are enough."""
    found: set[int] = set()
    with anyio.fail_after(60):
        while not is_enough(found):
            answer = await ask(f"{url}/pid")
            if answer is None:
                await anyio.sleep(0.05)
            else:
                found.add(answer.json()["pid"])
    return found


async def test_a_killed_worker_loses_no_session_and_comes_back():
    async with serve(machine) as upstream:
        with crew(upstream) as (process, url):
            first = await pids(url, lambda found: len(found) == 2)
            opening = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}})
            begun = await ask(f"{url}/servers/time/mcp", "POST", content=opening, headers=HEADERS)
            assert begun is not None
            headers = HEADERS | {"mcp-session-id": begun.headers["mcp-session-id"]}
            os.kill(min(first), signal.SIGKILL)
            statuses = []
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
            for _ in range(20):
                answer = await ask(f"{url}/servers/time/mcp", "POST", content=body, headers=headers)
                statuses += [answer.status_code] if answer is not None else []
            assert set(statuses) == {200}
            again = await pids(url, lambda found: len(found - {min(first)}) == 2)
            assert max(first) in again
            process.send_signal(signal.SIGTERM)
            assert await anyio.to_thread.run_sync(process.wait, 30) == 0
    assert not any(psutil.pid_exists(pid) for pid in first | again)


async def test_workers_end_with_the_process_that_keeps_them():
    async with serve(machine) as upstream:
        with crew(upstream) as (process, url):
            workers = [psutil.Process(pid) for pid in await pids(url, lambda found: len(found) == 2)]
            process.kill()
            gone, alive = await anyio.to_thread.run_sync(psutil.wait_procs, workers, 30)
    assert (len(gone), alive) == (2, [])


def test_a_port_that_somebody_else_has_is_not_shared():
    with bind("127.0.0.1", 0, is_shared=True) as theirs:
        port = theirs.getsockname()[1]
        with pytest.raises(EnvironmentFault):
            bind("127.0.0.1", port)
        with bind("127.0.0.1", port, is_shared=True) as ours:
            assert ours.getsockname()[1] == port
