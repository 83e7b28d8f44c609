"""A fleet with a lock, from `catwalk lock` to running machines, and a lock that no longer fits."""

from pathlib import Path

import pytest

from tests.journeys.harness import Event, Repository, command, running

pytestmark = [pytest.mark.registry, pytest.mark.timeout(600)]

MANIFEST = """\
apiVersion: catwalk.dev/v1
fleet: locked
servers:
  time:
    package: pypi:mcp-server-time
  memory:
    package: npm:@modelcontextprotocol/server-memory@2026.8.31
"""


def test_what_is_locked_runs_and_another_content_is_held(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "fleet")
    repository.write("catwalk.yaml", MANIFEST)
    locked = command("lock", "-C", str(repository.directory))
    assert locked.returncode == 0, locked.stderr
    repository.commit("Start")
    with running(repository.directory) as catwalk:
        servers: Event = catwalk.until_ready()["servers"]
        assert {name: told["state"] for name, told in servers.items()} == {"time": "ready", "memory": "ready"}
        lock = repository.read("catwalk.lock")
        start = lock.index("sha512-") + len("sha512-")
        repository.write("catwalk.lock", lock[:start] + ("A" if lock[start] != "A" else "B") + lock[start + 1 :])
        repository.commit("Spoil the lock")
        held = catwalk.until_state("memory", "held", within_s=120)
        assert held["cause"] == "integrity-mismatch"
        assert "catwalk.lock" in held["detail"]
        repository.write("catwalk.lock", lock)
        repository.commit("Restore the lock")
        catwalk.until_state("memory", "ready", within_s=120)
