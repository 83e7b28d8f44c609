"""The page about daily life with secrets: every command on it runs, in a real git repository, in order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOM = Path(__file__).resolve().parents[2] / "reconciler" / "sops" / "writing"
README = (ROOM / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "fleet"
    directory.mkdir()
    programs = tmp_path / "bin"
    programs.mkdir()
    script = f'#!/bin/sh\nexec {sys.executable} -m reconciler.cli "$@"\n'
    (programs / "catwalk").write_text(script, encoding="utf-8")
    (programs / "catwalk").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOM.parents[2]))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "ann@example.org")
    (directory / "catwalk.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    shell("git init -q --initial-branch=main && git add -A && git commit -q -m Start", directory)
    return directory


def shell(script: str, directory: Path) -> str:
    done = subprocess.run(
        ["sh", "-ec", script], cwd=directory, check=False, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(400)
def test_every_command_of_the_page_runs(repository: Path) -> None:
    printed = "".join(shell(block, repository) for block in blocks("sh"))
    assert "the token\n" in printed
    assert "0 findings" in printed
    assert "github/GITHUB_PERSONAL_ACCESS_TOKEN" in printed
    assert shell("git status --porcelain --ignored .env", repository) == "!! .env\n"
    assert "the token" not in shell("git log -p", repository)


@pytest.mark.timeout(400)  # Each command of the page is a process of its own.
def test_git_merges_two_branches_with_the_driver_of_the_page(repository: Path) -> None:
    first, *_, merging = blocks("sh")
    shell(first, repository)
    shell(merging, repository)
    setting = "printf '%s' {value} | catwalk secrets set github {name} --inline"
    shell(f"{setting.format(value='one', name='A')} && git add -A && git commit -q -m A", repository)
    shell(f"git checkout -q -b side && {setting.format(value='theirs', name='B')} && git commit -q -a -m B", repository)
    shell(f"git checkout -q main && {setting.format(value='ours', name='C')} && git commit -q -a -m C", repository)
    shell("git merge -q --no-edit side", repository)
    shown = "".join(shell(f"catwalk secrets show github {name} --reveal", repository) for name in "ABC")
    assert shown == "one\ntheirs\nours\n"
    assert "0 findings" in shell("catwalk secrets lint", repository)


@pytest.mark.timeout(400)
def test_a_conflict_of_two_branches_stays_one_and_shows_no_plaintext(repository: Path) -> None:
    first, *_, merging = blocks("sh")
    shell(first, repository)
    shell(merging, repository)
    setting = "printf '%s' {value} | catwalk secrets set github A --inline && git add -A && git commit -q -m A"
    shell(setting.format(value="common"), repository)
    shell(f"git checkout -q -b side && {setting.format(value='canary-theirs')}", repository)
    shell(f"git checkout -q main && {setting.format(value='canary-ours')}", repository)
    assert "servers.github.secrets.A" in shell("! git merge --no-edit side 2>&1", repository)
    text = (repository / "catwalk.yaml").read_text(encoding="utf-8")
    assert "<<<<<<< ours" in text
    assert "canary" not in text
    assert "UU catwalk.yaml" in shell("git status --porcelain", repository)
    assert "sops-merge-conflict" in shell("! catwalk secrets lint", repository)
    shell("git checkout -q --ours catwalk.yaml && catwalk secrets show github A --reveal", repository)


def test_every_code_of_an_error_is_explained() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in ROOM.glob("*.py"))
    codes = set(re.findall(r'"(sops-[a-z-]+)"', sources))
    other_page = (
        (ROOM.parent / "README.md")
        .read_text(encoding="utf-8")
        .replace("`-key-service`", "`sops-unsupported-key-service`")
    )
    explained = README + other_page
    assert {code for code in codes if f"`{code}`" not in explained} == set()
