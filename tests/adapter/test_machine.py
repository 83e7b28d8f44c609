"""The life of a machine: health, failures with their exit codes, stop, and nothing left over."""

import os
import signal
import socket
import sys
from pathlib import Path

import anyio
import httpx
import psutil
import pytest

from tests.adapter.support import BOTH, EVERYTHING, FAULTY, Adapter, LegacyClient, Start, poll, text_of

PYTHON = sys.executable


@pytest.mark.parametrize(
    ("arguments", "cause", "code", "shown"),
    [
        pytest.param(
            ["--die", "Error: DEMO_API_KEY environment variable is required", "1"],
            "missing-variable",
            75,
            "DEMO_API_KEY",
            id="variable",
        ),
        pytest.param(["--die", "usage: server [-h] path", "2"], "missing-arguments", 76, "usage", id="arguments"),
        pytest.param(["--die", "Error: listen EADDRINUSE: address 3000", "1"], "port-in-use", 77, "3000", id="port"),
        pytest.param(["--die", "JavaScript heap out of memory", "1"], "out-of-memory", 78, "heap", id="memory"),
        pytest.param(
            ["--die", "ImportError: cannot import name 'x'", "1"], "crash-loop", 79, "resolve_as_of", id="drift"
        ),
        pytest.param(["--die", "all is well", "0"], "not-an-mcp-server", 80, "all is well", id="no server"),
    ],
)
def test_an_early_end_has_its_cause(start: Start, arguments: list[str], cause: str, code: int, shown: str):
    adapter = start(PYTHON, FAULTY, *arguments, options=("--exec", "--linger", "2"))
    body = adapter.wait_for("failed")
    assert (body["cause"], shown in body["detail"]) == (cause, True)
    assert adapter.ends() == code
    assert adapter.events("failed") == [{"catwalk": "failed", "cause": cause, "detail": body["detail"]}]


def test_a_command_that_does_not_exist_is_no_executable(start: Start):
    adapter = start("/nonexistent/server", options=("--exec", "--linger", "0"))
    assert adapter.ends() == 72


def test_a_port_in_use_ends_at_once(start: Start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        adapter = start(PYTHON, FAULTY, options=("--exec", "--port", str(taken.getsockname()[1])))
        assert adapter.ends() == 77
        assert adapter.events("failed")[0]["cause"] == "port-in-use"


@pytest.mark.parametrize("trailing", [(), ("chalk",), ("npm:-evil@1",), ("npm:chalk@; rm",)], ids=str)
def test_a_bad_command_line_is_refused_with_usage(start: Start, trailing: tuple[str, ...]):
    assert start(*trailing).ends() == 2


def test_a_server_that_ends_again_and_again_is_given_up(start: Start):
    adapter = start(PYTHON, FAULTY, options=("--exec", "--linger", "0"))
    adapter.wait_for("ready")
    killed: set[int] = set()

    def kill_the_next() -> bool:
        for child in psutil.Process(adapter.process.pid).children() if adapter.process.poll() is None else []:
            if child.pid not in killed:
                killed.add(child.pid)
                child.kill()
        return adapter.process.poll() is not None

    poll(kill_the_next, adapter.text, 40)
    assert adapter.ends() in {78, 79}


def test_noise_before_the_handshake_is_skipped(start: Start):
    adapter = start(PYTHON, FAULTY, "--noise-first", options=("--exec",))
    assert adapter.wait_for("ready")["detail"] is None


def test_health_is_503_until_ready_and_calls_are_told_to_wait(start: Start, tmp_path: Path):
    silent = tmp_path / "silent.py"
    silent.write_text("import sys\nfor line in sys.stdin: pass\n", encoding="utf-8")
    adapter = start(PYTHON, str(silent), options=("--exec",))
    adapter.wait_for("starting")
    assert adapter.health().status_code == 503
    refused = httpx.post(adapter.url, json={}, headers={"content-type": "application/json"})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")


def test_the_server_runs_in_its_folder_with_its_home(start: Start, tmp_path: Path):
    script = tmp_path / "where.py"
    script.write_text("import os, sys\nsys.exit(f'{os.getcwd()} {os.environ[\"HOME\"]}')\n", encoding="utf-8")
    home = tmp_path / "home"
    adapter = start(PYTHON, str(script), options=("--exec", "--workdir", str(home), "--linger", "0"))
    adapter.ends()
    assert f"{home} {home}" in adapter.text()


def test_credentials_do_not_reach_the_log(start: Start):
    canary = "canary-4711-value"
    adapter = start(
        PYTHON,
        FAULTY,
        "--die",
        f"cannot log in with {canary}",
        "1",
        options=("--exec", "--linger", "0.5"),
        environment={"DEMO_TOKEN": canary},
    )
    detail = adapter.wait_for("failed")["detail"]
    adapter.ends()
    assert "[DEMO_TOKEN]" in detail
    assert canary not in adapter.text() + detail


async def test_a_stop_ends_every_process_and_helper(fresh: Adapter, http: httpx.AsyncClient):
    shared = await LegacyClient(fresh, http).initialize()
    own = await LegacyClient(fresh, http).initialize(capabilities={"roots": {}})
    pids = [int(text_of((await client.call(1, tool)).json())) for client in (shared, own) for tool in ("pid", "helper")]
    assert len(set(pids)) == 4
    assert fresh.stop() == 0
    assert [pid for pid in pids if _runs(pid)] == []


async def test_a_killed_adapter_leaves_no_server(fresh: Adapter, http: httpx.AsyncClient):
    client = await LegacyClient(fresh, http).initialize()
    pid = int(text_of((await client.call(1, "pid")).json()))
    fresh.process.send_signal(signal.SIGKILL)
    poll(lambda: not _runs(pid), fresh.text)


async def test_a_call_in_flight_is_answered_before_the_stop(fresh: Adapter, http: httpx.AsyncClient):
    client = await LegacyClient(fresh, http).initialize()
    body = client.call_body(1, "nap", {"seconds": 1})
    answers: list[httpx.Response] = []

    async def call() -> None:
        answers.append(await client.post(body))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await client.until_held("nap")
        fresh.process.send_signal(signal.SIGTERM)
    assert text_of(answers[0].json()) == "rested"
    assert fresh.ends() == 0


async def test_closed_sessions_leave_no_process(fresh: Adapter, http: httpx.AsyncClient):
    for _ in range(3):
        client = await LegacyClient(fresh, http).initialize(capabilities={"roots": {}})
        await http.delete(fresh.url, headers=client.headers)
    adapter = psutil.Process(fresh.process.pid)
    poll(lambda: len(adapter.children(recursive=True)) == 1, fresh.text)


async def test_a_killed_server_is_back_within_the_limit(fresh: Adapter, http: httpx.AsyncClient):
    client = await LegacyClient(fresh, http).initialize()
    os.kill(int(text_of((await client.call(1, "pid")).json())), signal.SIGKILL)
    poll(lambda: len(fresh.events("ready")) == 2, fresh.text, 15)
    assert text_of((await client.call(2, "echo", text="back")).json()) == "back"


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_machine_that_leaves_finishes_what_lives_in_it_and_sends_the_rest_elsewhere(start: Start):
    adapter = start(PYTHON, EVERYTHING, options=("--exec",))
    adapter.wait_for("ready")
    async with httpx.AsyncClient(timeout=20) as http:
        client = await LegacyClient(adapter, http).initialize()
        adapter.process.send_signal(signal.SIGUSR1)
        poll(lambda: adapter.events("leaving"), adapter.text)
        listed = await client.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        opening = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "new", "version": "1"}}
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": opening}
        headers = {"accept": BOTH}
        refused = await http.post(adapter.url, json=message, headers=headers)
        replayed = await http.post(adapter.url, json=message, headers=headers | {"fly-replay-src": "instance=m2"})
        health = adapter.health()
    assert listed.status_code == 200
    assert (refused.status_code, refused.headers["fly-replay"]) == (503, "elsewhere=true")
    assert (replayed.status_code, "fly-replay" in replayed.headers) == (200, False)
    assert health.status_code == 200
    assert adapter.stop() == 0
