"""Servers that are no packages: folders of the own repository with their files, and images that cannot run here."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcp import Client

from reconciler.sops.rules import RuleKind
from tests.journeys.harness import Catwalk, Event, Repository, copy_of_quickstart, running
from tests.journeys.test_rotation import RECIPIENT
from tests.sops.writer import Options, encrypt_yaml

pytestmark = [pytest.mark.timeout(240)]

SECRET = "canary-77d1\nsecond line of the key\n"
SERVER = """\
import json, os, stat, sys

def seen():
    settings, key = sys.argv[1].removeprefix("--settings="), os.environ["KEY_FILE"]
    return {
        "version": VERSION,
        "settings": open(settings, encoding="utf-8").read(),
        "key_lines": len(open(key, encoding="utf-8").read().splitlines()),
        "mode": oct(stat.S_IMODE(os.stat(key).st_mode)),
        "variables": sorted(name for name in os.environ if name in {"KEY", "CATWALK_FILE_KEY", "KEY_FILE"}),
    }

VERSION = 1
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    tool = {"name": "seen", "description": json.dumps(seen()), "inputSchema": {"type": "object"}}
    info = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "n", "version": "1"}}
    found = {"initialize": info, "tools/list": {"tools": [tool]}}.get(message["method"])
    body = {"result": found} if found else {"error": {"code": -32601, "message": "unknown"}}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **body}), flush=True)
"""
MANIFEST = f"""\
apiVersion: catwalk.dev/v1
fleet: programs
defaults:
  env: {{KEY_FILE: ~/.key}}
servers:
  notes:
    directory: ./servers/notes
    command: [python3, server.py, --settings=/etc/notes/settings.json]
    secrets:
      KEY: {json.dumps(SECRET)}
    files:
      /etc/notes/settings.json: {{content: plain}}
      ~/.key: {{secret: KEY, mode: "0600"}}
  other:
    directory: ./servers/other
    command: [python3, ./server.py, --settings=server.py]
    files:
      ~/.key: {{content: ""}}
"""
IMAGE = """\
  search:
    image: ghcr.io/acme/search@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    transport: {type: streamable-http, port: 3000}
"""


def write_manifest(repository: Repository, text: str) -> None:
    options = Options(recipients=(RECIPIENT,), rule=(RuleKind.ENCRYPTED_REGEX, "^secrets$"), mac_only_encrypted=True)
    repository.write("catwalk.yaml", encrypt_yaml(text, options))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Repository, Catwalk, Event]]:
    repository = copy_of_quickstart(tmp_path_factory.mktemp("programs"))
    write_manifest(repository, MANIFEST)
    for name in ("notes", "other"):
        repository.write(f"servers/{name}/server.py", SERVER)
    repository.commit("Run folders")
    with running(repository.directory) as catwalk:
        yield repository, catwalk, catwalk.until_ready()


async def seen(url: str) -> dict[str, object]:
    async with Client(url, mode="legacy") as client:
        (tool,) = (await client.list_tools()).tools
    assert tool.description is not None
    found: dict[str, object] = json.loads(tool.description)
    return found


def stores_that_hold(directory: Path, text: bytes) -> list[str]:
    """Databases of the control plane; the engine keeps the secrets of its apps, as Fly does."""
    kept = (directory / ".catwalk").glob("*.db*")
    return [path.name for path in kept if text in path.read_bytes()]


async def test_a_folder_runs_with_its_files_and_its_secret_is_a_file_alone(
    fleet: tuple[Repository, Catwalk, Event],
) -> None:
    _, catwalk, ready = fleet
    found = await seen(ready["servers"]["notes"]["url"])
    assert found == {
        "version": 1,
        "settings": "plain",
        "key_lines": 2,
        "mode": "0o600",
        "variables": ["KEY_FILE"],
    }
    assert "canary-77d1" not in catwalk.output
    assert stores_that_hold(catwalk.directory, b"canary-77d1") == []


async def test_a_change_in_one_folder_rolls_out_that_server_alone(fleet: tuple[Repository, Catwalk, Event]) -> None:
    repository, catwalk, ready = fleet
    repository.edit("servers/notes/server.py", "VERSION = 1", "VERSION = 2")
    plan = catwalk.until(lambda event: event["event"] == "plan", what="the plan of the change")
    assert {action["server"] for action in plan["actions"]} == {"notes"}
    catwalk.until_state("notes", "ready", within_s=90)
    assert (await seen(ready["servers"]["notes"]["url"]))["version"] == 2
    assert (await seen(ready["servers"]["other"]["url"]))["version"] == 1


async def test_an_image_is_refused_with_its_reason_and_nothing_else_stops(
    fleet: tuple[Repository, Catwalk, Event],
) -> None:
    repository, catwalk, ready = fleet
    write_manifest(repository, MANIFEST + IMAGE)
    repository.commit("Add an image")
    failed = catwalk.until_state("search", "failed", within_s=90)
    assert "the embedded engine runs only the images it was given" in json.dumps(failed)
    assert (await seen(ready["servers"]["other"]["url"]))["version"] == 1
