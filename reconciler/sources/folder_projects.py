"""What a folder of the repository says about its dependencies, without running any of its tools.

Dependencies that no lock file pins are resolved when a machine installs them, so that two machines of one revision may
run different code.
"""

import json
import tomllib
from collections.abc import Mapping
from typing import Final, cast

NODE_LOCKS: Final = frozenset({"package-lock.json", "npm-shrinkwrap.json"})
PYTHON_LOCK: Final = "uv.lock"
_LARGEST_BYTES: Final = 256 * 1024


def missing_lock(files: Mapping[str, bytes]) -> str:
    """The lock file that would pin the dependencies of a project; empty where it is there, or nothing needs one.

    Args:
        files: content by path relative to the project's folder.
    """
    if "package.json" in files:
        return "package-lock.json" if not files.keys() & NODE_LOCKS and _node_dependencies(files) else ""
    if "pyproject.toml" in files:
        return PYTHON_LOCK if PYTHON_LOCK not in files and _python_dependencies(files) else ""
    return ""


def _node_dependencies(files: Mapping[str, bytes]) -> bool:
    try:
        found: object = json.loads(files["package.json"][:_LARGEST_BYTES])
    except (ValueError, RecursionError):
        return False  # The machine says what is wrong with it.
    return bool(_mapping(found).get("dependencies"))


def _python_dependencies(files: Mapping[str, bytes]) -> bool:
    try:
        found = tomllib.loads(files["pyproject.toml"][:_LARGEST_BYTES].decode("utf-8"))
    except (ValueError, RecursionError):
        return False  # The machine says what is wrong with it.
    return bool(_mapping(found.get("project")).get("dependencies"))


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}
