"""The command line from outside: help, usage, exit codes, and what a mistake says."""

import json
from pathlib import Path

import pytest

from reconciler.cli.main import SUBCOMMANDS, run

MANIFEST = """\
apiVersion: catwalk.dev/v1
fleet: acme
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    (tmp_path / "catwalk.yaml").write_text(MANIFEST, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", sorted(SUBCOMMANDS.keys() - {"serve"}))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert "--json" in capsys.readouterr().out


def test_serve_has_help_and_prints_json_without_being_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--help"]) == 0
    assert "JSON" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("catwalk ")


@pytest.mark.parametrize("arguments", [["nonsense"], ["up", "--port", "high"], ["plan", "--nonsense"]])
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert "Usage" in capsys.readouterr().err


def test_a_good_manifest_is_valid(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "--offline", str(fleet)]) == 0
    assert "0 errors" in capsys.readouterr().out


def test_a_broken_manifest_names_file_line_and_column(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fleet / "catwalk.yaml").write_text(MANIFEST.replace("fleet: acme", "fleet: acme\nflete: x"), encoding="utf-8")
    assert run(["validate", "--offline", str(fleet)]) == 1
    assert f"{fleet}/catwalk.yaml:3:1: error:" in capsys.readouterr().out


def test_findings_come_as_json(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fleet / "catwalk.yaml").write_text("fleet: [", encoding="utf-8")
    assert run(["validate", "--offline", "--json", str(fleet)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] is False
    assert found["findings"][0]["severity"] == "error"


def test_a_plaintext_secret_is_refused_without_being_quoted(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"{MANIFEST}    secrets:\n      TOKEN: canary-value-4711\n"
    (fleet / "catwalk.yaml").write_text(text, encoding="utf-8")
    assert run(["validate", "--offline", str(fleet)]) == 1
    printed = capsys.readouterr()
    assert "TOKEN" in printed.out
    assert "canary-value-4711" not in printed.out + printed.err


def test_an_unknown_setting_is_refused_with_the_near_one(
    fleet: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CATWALK_STATE_DIRECTORY", "/nowhere")
    assert run(["status", str(fleet)]) == 3
    assert "CATWALK_STATE_DIR" in capsys.readouterr().err


def test_status_before_the_first_run_says_what_to_do(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", str(fleet)]) == 3
    assert "catwalk up" in capsys.readouterr().err


def test_apply_without_machines_says_what_is_missing(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["apply", str(fleet), "--worktree"]) == 3
    assert "FLY_API_TOKEN" in capsys.readouterr().err


def test_a_directory_that_does_not_exist_is_said_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", str(tmp_path / "missing")]) == 3
    assert "is no directory" in capsys.readouterr().err
