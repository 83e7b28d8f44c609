"""What goes wrong for real people: each gives one clear error with its fix, and the other servers run."""

import json
import socket
from pathlib import Path

import pytest

from tests.journeys.harness import Event, Repository, clean_environment, command, copy_of_quickstart, running

pytestmark = [pytest.mark.registry, pytest.mark.timeout(420)]

HEALTHY = """\
apiVersion: catwalk.dev/v1
fleet: failures
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
"""


def fleet_with(tmp_path: Path, entry: str) -> Repository:
    repository = Repository(tmp_path / "fleet")
    repository.write("catwalk.yaml", HEALTHY + entry)
    repository.commit("Start")
    return repository


@pytest.mark.parametrize(
    ("package", "cause", "words"),
    [
        ("npm:@catwalk-live/there-is-no-such-package@1.0.0", "package-not-found", "there-is-no-such-package"),
        ("pypi:catwalk-live-there-is-no-such-package@1.0.0", "package-not-found", "there-is-no-such-package"),
        ("npm:@modelcontextprotocol/server-memory@1999.1.1", "version-not-found", "1999.1.1"),
        ("pypi:mcp-server-time@1999.1.1", "version-not-found", "1999.1.1"),
        ("npm:chalk@5.3.0", "no-executable", "chalk"),
    ],
)
def test_a_package_that_cannot_start_fails_alone_with_its_cause(
    tmp_path: Path, package: str, cause: str, words: str
) -> None:
    repository = fleet_with(tmp_path, f'  broken:\n    package: "{package}"\n')
    with running(repository.directory) as catwalk:
        servers: Event = catwalk.until_ready()["servers"]
    assert servers["time"]["state"] == "ready"
    assert (servers["broken"]["state"], servers["broken"]["cause"]) == ("failed", cause)
    assert words in servers["broken"]["detail"]


def test_a_server_without_its_credential_names_the_variable(tmp_path: Path) -> None:
    repository = fleet_with(tmp_path, '  brave:\n    package: "npm:@modelcontextprotocol/server-brave-search@0.6.2"\n')
    with running(repository.directory) as catwalk:
        servers: Event = catwalk.until_ready()["servers"]
    assert servers["time"]["state"] == "ready"
    assert (servers["brave"]["state"], servers["brave"]["cause"]) == ("failed", "missing-variable")
    assert "BRAVE_API_KEY" in servers["brave"]["detail"]


def test_without_the_age_key_only_the_server_with_the_secret_stays_out(tmp_path: Path) -> None:
    copy_of_quickstart(tmp_path)
    (tmp_path / ".env").unlink()
    with running(tmp_path) as catwalk:
        servers: Event = catwalk.until_ready()["servers"]
    assert servers["everything"]["state"] == "failed"
    assert "SOPS_AGE_KEY" in json.dumps(servers["everything"])
    assert servers["time"]["state"] == servers["memory"]["state"] == "ready"


def test_a_tampered_secret_stops_its_server_and_nothing_else(tmp_path: Path) -> None:
    repository = copy_of_quickstart(tmp_path)
    text = repository.read("catwalk.yaml")
    start = text.index("data:", text.index("DEMO_TOKEN")) + len("data:")
    flipped = "B" if text[start] != "B" else "C"
    repository.write("catwalk.yaml", text[:start] + flipped + text[start + 1 :])
    repository.commit("Tamper")
    with running(tmp_path) as catwalk:
        servers: Event = catwalk.until_ready()["servers"]
    assert servers["everything"]["state"] == "failed"
    assert servers["time"]["state"] == "ready"
    assert "does not verify" in servers["everything"]["detail"]


def test_a_port_in_use_is_said_before_anything_starts(tmp_path: Path) -> None:
    repository = fleet_with(tmp_path, "")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = command("up", str(repository.directory), "--port", str(port))
    assert finished.returncode == 3
    assert str(port) in finished.stderr
    assert "--port" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (Path.mkdir, "git"),
        (Path.exists, "is no directory"),
        (Repository, "commit"),
    ],
    ids=["no repository", "no directory", "no commit"],
)
def test_a_directory_that_holds_no_fleet_is_explained(tmp_path: Path, prepare: object, words: str) -> None:
    assert callable(prepare)
    prepare(tmp_path / "place")
    finished = command("up", str(tmp_path / "place"), "--port", "0", environment=clean_environment())
    assert finished.returncode == 3, finished.stdout + finished.stderr
    assert words in finished.stderr
    assert "fix:" in finished.stderr
    assert "Traceback" not in finished.stderr
