"""`catwalk serve --workers 2`: both processes carry calls, and a killed one is replaced with no session lost."""

import os
import signal
from pathlib import Path

import anyio
import pytest
from mcp import Client

from tests.journeys.serving import Service, engine, service, service_environment
from tests.sources.conftest import Repository, serve_git

pytestmark = [pytest.mark.registry, pytest.mark.timeout(420)]

MANIFEST = b"""\
apiVersion: catwalk.dev/v1
fleet: crewed
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
    args: [--local-timezone=Europe/Berlin]
"""


async def test_a_killed_worker_is_replaced_while_the_other_carries_on(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "git" / "fleet")
    repository.path.mkdir(parents=True)
    repository.git("init", "--quiet", "--initial-branch", "main")
    repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    repository.write("catwalk.yaml", MANIFEST)
    repository.commit("Start")
    with engine(tmp_path / "engine") as machines:
        for host in serve_git(repository.path.parent):
            environment = service_environment(machines, host.url, CATWALK_STATE_DIR=str(tmp_path / "state"))
            with service(tmp_path, environment, "--workers", "2") as running:
                (first,) = [line["pid"] for line in running.lines if line.get("worker") == 0]
                await _carried(running, first)


async def _carried(running: Service, leader: int) -> None:
    await said(running, "ready", 1)
    await said(running, "listening", 2)
    async with Client(running.mcp_url("time"), mode="legacy") as client:
        assert len((await client.list_tools()).tools) == 2
        os.kill(leader, signal.SIGKILL)
        await said(running, "worker-ended", 1)
        await said(running, "lead-taken", 2)
        assert len((await client.list_tools()).tools) == 2
    await said(running, "listening", 3)
    assert "catwalk_leader 1.0" in running.get("/metrics").text
    assert running.stop() == 0


async def said(running: Service, event: str, times: int) -> None:
    """Waits until the log has told something as often as that; what it has told stays there."""
    with anyio.fail_after(240):
        while [line["event"] for line in list(running.lines)].count(event) < times:  # noqa: ASYNC110 - a thread reads it.
            await anyio.sleep(0.05)
