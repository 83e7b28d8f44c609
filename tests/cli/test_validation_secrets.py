"""What `catwalk validate` says about secrets: who can open them, and with a key at hand whether they open."""

import io
import json
from pathlib import Path

import pyrage
import pytest

from reconciler.cli.main import run

MANIFEST = """\
apiVersion: catwalk.dev/v1
fleet: acme
servers:
  github:
    package: npm:@modelcontextprotocol/server-github@2025.4.8
    secrets: {TOKEN: }
"""
FILE = "secrets/github/TOKEN.sops.yaml"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A fleet with a key and one secret, from where the person stands."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    directory = tmp_path / "fleet"
    directory.mkdir()
    (directory / "catwalk.yaml").write_text(MANIFEST, encoding="utf-8")
    assert run(["secrets", "init", str(directory)]) == 0
    keyboard = io.TextIOWrapper(io.BytesIO(b"canary-plaintext\n"), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", keyboard)
    assert run(["secrets", "set", "github", "TOKEN", "-C", str(directory)]) == 0
    monkeypatch.chdir(directory)
    capsys.readouterr()
    return directory


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[tuple[str, str, str | None]]:
    run(["validate", "--offline", "--json", *arguments])
    printed = capsys.readouterr().out
    assert "canary" not in printed
    return [(each["severity"], each["code"], each["file"]) for each in json.loads(printed)["findings"]]


def test_a_secret_that_opens_is_well(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys) == []


def test_without_a_key_nothing_is_wrong_that_a_key_would_tell(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fleet / ".env").unlink()
    assert [(code, file) for severity, code, file in said(capsys) if severity == "error"] == []


def test_a_value_that_was_changed_is_found_with_a_key(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (fleet / FILE).read_text(encoding="utf-8")
    at = text.index("data:") + len("data:")
    (fleet / FILE).write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :], encoding="utf-8")
    assert said(capsys) == [("error", "sops-value-tampered", FILE)]


@pytest.mark.parametrize("key", [True, False], ids=["with a key", "without a key"])
def test_a_secret_for_other_people_than_the_rules_name_is_found(
    fleet: Path, capsys: pytest.CaptureFixture[str], key: bool
) -> None:
    if not key:
        (fleet / ".env").unlink()
    rules = fleet / ".sops.yaml"
    text = rules.read_text(encoding="utf-8")
    recipient = next(word for word in text.replace('"', " ").split() if word.startswith("age1") and len(word) > 20)
    rules.write_text(text.replace(recipient, str(pyrage.x25519.Identity.generate().to_public())), encoding="utf-8")
    assert ("error", "sops-wrong-recipients", FILE) in said(capsys)


def test_a_secret_that_was_never_set_is_found_without_a_key(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fleet / FILE).unlink()
    (fleet / ".env").unlink()
    assert said(capsys) == [("error", "secret-file-missing", "catwalk.yaml")]


def test_a_secret_that_nobody_declares_is_advice(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fleet / "catwalk.yaml").write_text(MANIFEST.replace("    secrets: {TOKEN: }\n", ""), encoding="utf-8")
    assert said(capsys) == [("warning", "secret-undeclared", FILE)]


def test_rules_that_are_missing_are_advice_with_a_place(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fleet / ".sops.yaml").unlink()
    assert said(capsys) == [("warning", "sops-no-rules", "catwalk.yaml")]
