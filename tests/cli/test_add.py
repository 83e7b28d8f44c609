"""`catwalk add` and `catwalk search` from outside: what is asked, what is written, and what is refused."""

import io
import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrage
import pytest

from reconciler.cli.main import run
from reconciler.sops.identities import load_identities
from reconciler.sops.secret_file import read_secret_file
from tests.sources.local_registry import LocalRegistry, local_registry

MANIFEST = """\
# The fleet.
apiVersion: catwalk.dev/v1
fleet: acme
servers:
  time: # it is late
    package: pypi:mcp-server-time@2026.10.19
"""
NAME = "io.github.acme/weather"
CANARY = "canary-77d1-plaintext"
WEATHER = {
    "name": NAME,
    "description": "Weather: everywhere",
    "version": "1.0.0",
    "packages": [
        {
            "registryType": "npm",
            "identifier": "@acme/weather",
            "version": "1.2.3",
            "transport": {"type": "stdio"},
            "packageArguments": [{"type": "positional", "valueHint": "city", "isRequired": True}],
            "environmentVariables": [
                {"name": "API_KEY", "description": "From your account", "isRequired": True, "isSecret": True},
                {"name": "UNITS", "default": "metric", "isRequired": True, "choices": ["metric", "imperial"]},
                {"name": "PROXY"},
            ],
        }
    ],
}
ENTRY = """\
  weather:
    description: "Weather: everywhere"
    package: npm:@acme/weather@1.2.3
    args:
      - Berlin
    env:
      UNITS: metric
    secrets:
      API_KEY:
"""
Command = Callable[..., str]


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    directory = tmp_path / "fleet"
    directory.mkdir()
    (directory / "catwalk.yaml").write_text(MANIFEST, encoding="utf-8")
    return directory


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalRegistry]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with local_registry() as local:
        monkeypatch.setenv("CATWALK_MCP_REGISTRY_URL", local.url)
        local.put("/v0.1/servers/io.github.acme%2Fweather/versions/latest", {"server": WEATHER})
        yield local


@pytest.fixture
def catwalk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command without a terminal and gives all that it prints."""

    def call(*arguments: str | Path, code: int = 0) -> str:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
        found = run(list(map(str, arguments)))
        captured = capsys.readouterr()
        assert found == code, captured.out + captured.err
        return captured.out + captured.err

    return call


@pytest.mark.usefixtures("registry")
def test_an_entry_of_the_registry_is_added_and_all_else_stays(fleet: Path, catwalk: Command) -> None:
    told = catwalk("add", NAME, "-C", fleet, "--set", "city=Berlin")
    assert (fleet / "catwalk.yaml").read_text(encoding="utf-8") == MANIFEST + ENTRY
    assert "catwalk secrets init" in told
    assert f"catwalk secrets set weather API_KEY -C {fleet}" in told


@pytest.mark.usefixtures("registry")
def test_everything_that_is_missing_is_named_at_once(fleet: Path, catwalk: Command) -> None:
    told = catwalk("add", NAME, "-C", fleet, code=2)
    assert "--set city=" in told
    assert (fleet / "catwalk.yaml").read_text(encoding="utf-8") == MANIFEST


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("pair", "words"),
    [
        pytest.param("town=Berlin", "asks for city, API_KEY, UNITS, PROXY", id="a name that nothing asks for"),
        pytest.param("city", "NAME=VALUE", id="no value"),
        pytest.param(f"API_KEY={CANARY}", "does not belong on the command line", id="a secret"),
        pytest.param("UNITS=furlong", "metric, imperial", id="a value that is not offered"),
    ],
)
def test_an_answer_that_fits_nothing_is_refused(fleet: Path, catwalk: Command, pair: str, words: str) -> None:
    told = catwalk("add", NAME, "-C", fleet, "--set", "city=Berlin", "--set", pair, code=2)
    assert words in told
    assert CANARY not in told
    assert (fleet / "catwalk.yaml").read_text(encoding="utf-8") == MANIFEST


def test_a_file_is_added_under_another_name_and_shown_before(fleet: Path, catwalk: Command, tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.write_text(json.dumps(WEATHER), encoding="utf-8")
    arguments = ("add", file, "-C", fleet, "--as", "sun", "--set", "city=Berlin", "--json")
    shown = json.loads(catwalk(*arguments, "--dry-run"))
    assert (fleet / "catwalk.yaml").read_text(encoding="utf-8") == MANIFEST
    assert json.loads(catwalk(*arguments)) == shown
    assert shown["server"] == "sun"
    assert shown["open_secrets"] == ["API_KEY"]
    assert "  sun:\n" in (fleet / "catwalk.yaml").read_text(encoding="utf-8")


def test_a_name_that_is_taken_is_refused_with_its_place(fleet: Path, catwalk: Command, tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.write_text(json.dumps(WEATHER), encoding="utf-8")
    told = catwalk("add", file, "-C", fleet, "--as", "time", "--set", "city=Berlin", code=1)
    assert "catwalk.yaml:5:3" in told
    assert "--as" in told


def test_a_manifest_that_would_be_invalid_is_not_written(fleet: Path, catwalk: Command, tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.write_text(json.dumps(WEATHER), encoding="utf-8")
    told = catwalk("add", file, "-C", fleet, "--as", "Not A Name", "--set", "city=Berlin", code=1)
    assert "lower-case" in told
    assert (fleet / "catwalk.yaml").read_text(encoding="utf-8") == MANIFEST


def test_without_a_manifest_the_next_step_is_named(tmp_path: Path, catwalk: Command) -> None:
    file = tmp_path / "server.json"
    file.write_text(json.dumps(WEATHER), encoding="utf-8")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "catwalk init" in catwalk("add", file, "-C", empty, "--set", "city=x", code=1)


def test_a_remote_server_names_its_secrets_in_its_headers(fleet: Path, catwalk: Command, tmp_path: Path) -> None:
    token = {"token": {"isSecret": True, "isRequired": True}}
    headers = [
        {"name": "Authorization", "value": "Bearer {token}", "variables": token, "isRequired": True},
        {"name": "X-Region", "isRequired": True},
        {"name": "X-Optional", "isSecret": True},
    ]
    remote = {"type": "streamable-http", "url": "https://weather.example/mcp", "headers": headers}
    file = tmp_path / "server.json"
    file.write_text(json.dumps({**WEATHER, "packages": [], "remotes": [remote]}), encoding="utf-8")
    told = catwalk("add", file, "-C", fleet, "--set", "X-Region=eu")
    assert (
        (fleet / "catwalk.yaml")
        .read_text(encoding="utf-8")
        .endswith(
            """\
    remote:
      url: https://weather.example/mcp
      headers:
        Authorization: "Bearer ${TOKEN}"
        X-Region: eu
    secrets:
      TOKEN:
"""
        )
    )
    assert "catwalk secrets set weather TOKEN" in told


class Terminal:
    """A command in a terminal: what it shows, and what is typed when it shows something."""

    def __init__(self, *arguments: str, environment: dict[str, str]) -> None:
        self._own, theirs = pty.openpty()
        command = [sys.executable, "-m", "reconciler.cli", *arguments]
        self._process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self.shown = ""

    def until(self, words: str) -> None:
        before = len(self.shown)
        while words not in self.shown[before:]:
            ready, _, _ = select.select([self._own], [], [], 60)
            assert ready, self.shown
            self.shown += os.read(self._own, 65_536).decode()

    def answer(self, words: str, text: str) -> None:
        self.until(words)
        os.write(self._own, text.encode() + b"\n")

    def ends(self) -> int:
        try:
            while piece := os.read(self._own, 65_536):
                self.shown += piece.decode()
        except OSError:
            pass  # Linux says so when the other end is closed.
        os.close(self._own)
        return self._process.wait(60)


@pytest.mark.usefixtures("registry")
def test_in_a_terminal_a_secret_is_asked_for_unseen_and_encrypted_at_once(fleet: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    rules = f"creation_rules:\n  - path_regex: \\.sops\\.yaml$\n    age: {identity.to_public()}\n"
    (fleet / ".sops.yaml").write_text(rules, encoding="utf-8")
    terminal = Terminal("add", NAME, "-C", str(fleet), environment={**os.environ, "TERM": "dumb"})
    terminal.answer("city", "Berlin")
    terminal.answer("API_KEY", CANARY)
    terminal.answer("UNITS", "")
    terminal.answer("PROXY", "")
    assert terminal.ends() == 0, terminal.shown
    assert (fleet / "catwalk.yaml").read_text(encoding="utf-8") == MANIFEST + ENTRY
    assert CANARY not in terminal.shown
    file = fleet / "secrets" / "weather" / "API_KEY.sops.yaml"
    sealed = file.read_bytes()
    assert CANARY.encode() not in sealed
    identities = load_identities({"SOPS_AGE_KEY": str(identity)})
    opened = read_secret_file(sealed, identities, place="acme/weather/API_KEY", file=str(file))
    assert opened.reveal() == CANARY


@pytest.mark.registry
@pytest.mark.parametrize(
    ("package", "server"),
    [("npm:@modelcontextprotocol/server-everything", "server-everything"), ("pypi:mcp-server-time", "mcp-server-time")],
)
def test_a_package_is_pinned_to_its_newest_version(fleet: Path, catwalk: Command, package: str, server: str) -> None:
    catwalk("add", package, "-C", fleet)
    written = (fleet / "catwalk.yaml").read_text(encoding="utf-8")
    assert re.search(rf"\n  {server}:\n    package: {re.escape(package)}@[0-9]+\.[0-9]+\.[0-9]+\n$", written)


@pytest.mark.registry
def test_a_package_that_does_not_exist_is_not_added(fleet: Path, catwalk: Command) -> None:
    told = catwalk("add", "pypi:mcp-server-tmie", "-C", fleet, code=1)
    assert "mcp-server-tmie" in told
    assert (fleet / "catwalk.yaml").read_text(encoding="utf-8") == MANIFEST


def test_a_search_shows_what_each_server_runs_as(registry: LocalRegistry, catwalk: Command) -> None:
    bundle = WEATHER | {"name": "a/bundle", "packages": [WEATHER["packages"][0] | {"registryType": "mcpb"}]}
    registry.put(
        "/v0.1/servers?search=e&version=latest&limit=20", {"servers": [{"server": WEATHER}, {"server": bundle}]}
    )
    shown = catwalk("search", "e")
    assert re.search(rf"{NAME}\s+1\.0\.0\s+package: npm:@acme/weather@1\.2\.3\s+Weather: everywhere", shown)
    assert re.search(r"a/bundle\s+1\.0\.0\s+not by Catwalk", shown)
    records = json.loads(catwalk("search", "e", "--json"))
    assert [record["source"] for record in records] == ["package: npm:@acme/weather@1.2.3", None]
    assert "mcpb" in records[1]["not_runnable"]


def test_a_search_without_a_find_says_so(registry: LocalRegistry, catwalk: Command) -> None:
    registry.put("/v0.1/servers?search=x&version=latest&limit=20", {"servers": []})
    assert "No server's name holds 'x'" in catwalk("search", "x", code=1)


def test_a_registry_that_is_down_is_said_to_be(registry: LocalRegistry, catwalk: Command) -> None:
    registry.put("/v0.1/servers?search=x&version=latest&limit=20", {}, status=503)
    assert "does not answer" in catwalk("search", "x", code=3)


def test_an_address_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, catwalk: Command) -> None:
    monkeypatch.setenv("CATWALK_MCP_REGISTRY_URL", "ftp://registry")
    assert "CATWALK_MCP_REGISTRY_URL" in catwalk("search", "x", code=3)
