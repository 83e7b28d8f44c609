"""`catwalk secrets decrypt` on files of the SOPS tool, leaf by leaf, in every format."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.main import run

FIXTURES = [
    "flux-age",
    "flux-env",
    "flux-file-bin",
    "gen-json",
    "gen-maconly-regex",
    "gen-multidoc",
    "gen-ssh-ed25519",
    "rops-example",
    "sopsage-env",
    "sopsage-yaml",
    "flux-pgp",
    "getsops-comments",
    "getsops-env",
    "getsops-example-bin",
    "getsops-ini-3132",
    "getsops-json-3131",
    "tf-yaml",
]


@pytest.fixture
def key_ring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A GnuPG home of its own, in a short path because the agent puts its socket there."""
    with tempfile.TemporaryDirectory(prefix="cw-gpg-") as home:
        monkeypatch.setenv("GNUPGHOME", home)
        yield Path(home)
        subprocess.run(["gpgconf", "--kill", "all"], check=False, timeout=30)


def lend(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives the command the key of a fixture, as a person would have it."""
    if key.suffix not in {".asc", ".pgp"}:
        monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(key))
    elif shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    else:
        subprocess.run(["gpg", "--batch", "--import", str(key)], check=True, capture_output=True, timeout=30)


@pytest.mark.parametrize("name", FIXTURES)
def test_leaves_are_those_of_the_sops_tool(
    shared_data: Path,
    name: str,
    key_ring: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert key_ring.is_dir()
    root = shared_data / "sops"
    index = json.loads((root / "index.json").read_text(encoding="utf-8"))
    entry = next(each for each in index["fixtures"] if each["id"] == name)
    lend(root / "keys" / entry["keys"][0], monkeypatch)
    options = ["--reveal", "--json", "--input-type", entry["format"]]
    assert run(["secrets", "decrypt", str(root / entry["file"]), *options]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = json.loads((root / entry["expected_leaves"]).read_text(encoding="utf-8"))
    leaves = [(number, leaf) for number, document in enumerate(expected) for leaf in document]
    assert [(each["document"], each["path"], each["bytes_base64"]) for each in found] == [
        (number, leaf["path"], leaf.get("bytes_b64") or "") for number, leaf in leaves
    ]


def test_a_file_of_a_format_without_a_suffix_is_read_as_it_is_told(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = shared_data / "sops"
    index = json.loads((root / "index.json").read_text(encoding="utf-8"))
    entry = next(each for each in index["fixtures"] if each["id"] == "sopsage-yaml")
    path = tmp_path / "secrets.txt"
    path.write_bytes((root / entry["file"]).read_bytes())
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(root / "keys" / entry["keys"][0]))
    assert run(["secrets", "decrypt", str(path), "--reveal", "--json", "--input-type", "yaml"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert run(["secrets", "decrypt", str(path), "--reveal", "--json", "--input-type", "json"]) == 1
    assert "secrets.txt" in capsys.readouterr().err


def test_a_file_without_a_mac_is_refused(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared_data / "sops"
    index = json.loads((path / "index.json").read_text(encoding="utf-8"))
    entry = next(each for each in index["fixtures"] if each["id"] == "getsops-no-mac")
    monkeypatch.setenv("SOPS_AGE_KEY", "")
    assert run(["secrets", "decrypt", str(path / entry["file"]), "--reveal"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "sops-mac-missing" in printed.err
