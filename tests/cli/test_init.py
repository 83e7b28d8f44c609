"""`catwalk init` from outside: a fleet that is valid at once, and nothing of anybody lost."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from reconciler.cli.main import run

Command = Callable[..., str]
FILES = [
    ".env",
    ".github/workflows/catwalk.yml",
    ".gitignore",
    ".sops.yaml",
    ".vscode/catwalk.schema.json",
    ".vscode/extensions.json",
    ".vscode/settings.json",
    "catwalk.yaml",
]


@pytest.fixture
def catwalk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def call(*arguments: str | Path, code: int = 0) -> str:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
        found = run(list(map(str, arguments)))
        captured = capsys.readouterr()
        assert found == code, captured.out + captured.err
        return captured.out + captured.err

    return call


def files_of(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def test_a_new_fleet_is_valid_at_once(tmp_path: Path, catwalk: Command) -> None:
    directory = tmp_path / "My Fleet"
    catwalk("init", directory, "--organization", "acme", "--region", "fra")
    assert files_of(directory) == FILES
    catwalk("validate", "--offline", directory)
    manifest = YAML(typ="safe").load(directory / "catwalk.yaml")
    assert manifest["fleet"] == "my-fleet"
    assert manifest["fly"] == {"organization": "acme", "regions": ["fra"]}
    schema = json.loads((directory / ".vscode" / "catwalk.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(manifest)
    assert "$schema=.vscode/catwalk.schema.json" in (directory / "catwalk.yaml").read_text(encoding="utf-8")


def test_what_is_there_stays_as_it_is_and_a_second_run_changes_nothing(tmp_path: Path, catwalk: Command) -> None:
    directory = tmp_path / "fleet"
    (directory / ".vscode").mkdir(parents=True)
    (directory / ".vscode" / "settings.json").write_text("{}", encoding="utf-8")
    (directory / ".gitignore").write_text("node_modules", encoding="utf-8")
    told = catwalk("init", directory)
    assert "settings.json as it is" in told
    assert (directory / ".vscode" / "settings.json").read_text(encoding="utf-8") == "{}"
    assert (directory / ".gitignore").read_text(encoding="utf-8") == "node_modules\n.catwalk/\n.env\n"
    before = {name: (directory / name).read_bytes() for name in files_of(directory)}
    shown = json.loads(catwalk("init", directory, "--json"))
    assert shown["written"] == []
    assert {name: (directory / name).read_bytes() for name in files_of(directory)} == before


def test_keys_and_the_workflow_can_be_left_out(tmp_path: Path, catwalk: Command) -> None:
    catwalk("init", tmp_path / "fleet", "--no-secrets", "--no-workflow")
    assert files_of(tmp_path / "fleet") == [
        name for name in FILES if name not in {".env", ".sops.yaml", ".github/workflows/catwalk.yml"}
    ]
    assert not (tmp_path / "config").exists()


def test_a_name_that_is_none_is_refused_before_anything_is_written(tmp_path: Path, catwalk: Command) -> None:
    assert "lower-case" in catwalk("init", tmp_path / "fleet", "--fleet", "Acme!", code=2)
    assert files_of(tmp_path / "fleet") == []


def test_a_directory_that_cannot_be_made_is_said_plainly(tmp_path: Path, catwalk: Command) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    assert "cannot be made" in catwalk("init", tmp_path / "taken" / "fleet", code=3)


@pytest.mark.registry
def test_from_nothing_to_a_valid_fleet_with_a_server_in_two_commands(tmp_path: Path, catwalk: Command) -> None:
    directory = tmp_path / "fleet"
    catwalk("init", directory)
    catwalk("add", "pypi:mcp-server-time", "-C", directory)
    catwalk("validate", directory)
    assert "pypi:mcp-server-time@" in (directory / "catwalk.yaml").read_text(encoding="utf-8")
