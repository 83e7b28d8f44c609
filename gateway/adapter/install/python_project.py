"""Make a Python project ready to run: an environment of its own with its dependencies, and its console scripts.

A `uv.lock` is followed to the hash. Without one dependencies are resolved as of the date of the project.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.install.context import InstallContext, failure_of
from gateway.adapter.install.dates import as_of_hint, resolve_date
from gateway.adapter.install.environment import Installed
from gateway.adapter.install.pypi import entry_points
from gateway.adapter.install.uv import find_uv

_LARGEST_MANIFEST_BYTES = 1024 * 1024
_SCM_VERSION = "SETUPTOOLS_SCM_PRETEND_VERSION=0.0.0"
"""A commit alone has no tags to take a version from."""


async def build_python(context: InstallContext, folder: Path, target: Path, published: str | None) -> Installed:
    """Install the project in `folder` into the environment `target`. Raises AdapterFailure.

    `published` is the date of the project, as of which dependencies that no lock file pins are resolved.
    """
    facts = _facts(folder)
    await _environment(context, target, _text(facts.get("requires-python")))
    name = _text(facts.get("name")) or folder.name
    context.log.event("building", project=name)
    context.progress.begin(f"building {name}")
    if (folder / "uv.lock").is_file():
        await _as_locked(context, folder, target)
    else:
        await _as_of(context, folder, target, published)
    scripts = _own_scripts(target)
    return Installed(
        version=_text(facts.get("version")) or "0.0.0",
        executables={name: str(target / "bin" / name) for name in scripts},
        targets=scripts,
        path=(str(target / "bin"),),
        needs=(str(target / "bin" / "python"),),
    )


def _facts(folder: Path) -> Mapping[str, object]:
    """The `[project]` table; empty where the project has none."""
    path = folder / "pyproject.toml"
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file:
            found = tomllib.loads(file.read(_LARGEST_MANIFEST_BYTES).decode("utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterFailure(Cause.INSTALL_FAILED, f"pyproject.toml of the project cannot be read: {error}") from error
    project = found.get("project")
    return cast(Mapping[str, object], project) if isinstance(project, dict) else {}


async def _environment(context: InstallContext, target: Path, requires_python: str) -> None:
    python = ["--python", requires_python] if requires_python else []
    made = await context.install([find_uv(), "venv", "--no-project", *python, str(target)])
    if made.status != 0:
        what = f"no Python fits the project (requires-python {requires_python or 'any'})"
        raise AdapterFailure(Cause.RUNTIME_UNAVAILABLE, failure_of(made, what).detail)


async def _as_locked(context: InstallContext, folder: Path, target: Path) -> None:
    requirements = str(target / "requirements.txt")
    options = ["--frozen", "--no-dev", "--no-emit-project", "--no-header", "--quiet", "--output-file", requirements]
    await _run(context, ["export", "--project", str(folder), *options], "uv.lock of the project cannot be followed")
    await _install(context, target, ["--require-hashes", "--requirement", requirements], "the locked dependencies")
    await _install(context, target, ["--no-deps", str(folder)], "the project")


async def _as_of(context: InstallContext, folder: Path, target: Path, published: str | None) -> None:
    date = resolve_date(context.resolve_as_of, published)
    limit = ["--exclude-newer", date] if date else []
    is_package = any((folder / name).is_file() for name in ("pyproject.toml", "setup.py"))
    what = [str(folder)] if is_package else ["--requirement", str(folder / "requirements.txt")]
    await _install(context, target, [*limit, *what], f"the project{as_of_hint(date)}")


async def _install(context: InstallContext, target: Path, words: Sequence[str], what: str) -> None:
    place = ["--python", str(target / "bin" / "python"), "--compile-bytecode"]
    await _run(context, ["pip", "install", *place, *words], f"{what} cannot be installed")


async def _run(context: InstallContext, words: Sequence[str], what: str) -> None:
    finished = await context.install(["env", _SCM_VERSION, find_uv(), *words])
    if finished.status != 0:
        raise failure_of(finished, what)


def _own_scripts(target: Path) -> dict[str, str]:
    """The console scripts of what was installed from a folder: the project, not its dependencies (PEP 610)."""
    for origin in target.glob("lib/python*/site-packages/*.dist-info/direct_url.json"):
        url = json.loads(origin.read_text(encoding="utf-8")).get("url", "")
        if str(url).startswith("file:"):
            return entry_points(origin.parent / "entry_points.txt")
    return {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
