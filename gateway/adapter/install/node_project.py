"""Make a Node project ready to run, in its own folder: dependencies, a build where it has one, its executables.

Install scripts of dependencies never run. The project's own `build` script does: it is the code that is going to run
anyway, and it sees the installer's environment without the server's credentials.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.install.context import InstallContext, failure_of
from gateway.adapter.install.dates import as_of_hint, resolve_date
from gateway.adapter.install.environment import Installed
from gateway.adapter.install.node import Node, any_node, fitting_node

_LARGEST_MANIFEST_BYTES = 1024 * 1024
_LOCKS = ("package-lock.json", "npm-shrinkwrap.json")
_QUIET = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProject:
    """What `package.json` says. `bins` maps names to files inside the project."""

    name: str
    version: str
    bins: Mapping[str, str]
    node_range: str | None
    builds: bool


async def build_node(context: InstallContext, folder: Path, launchers: Path, published: str | None) -> Installed:
    """Install and build the project in `folder`; its executables become scripts in `launchers`. Raises AdapterFailure.

    `published` is the date of the project, as of which dependencies that no lock file pins are resolved.
    """
    project = read_node_project(folder)
    node = await fitting_node(context, await any_node(context), project.node_range)
    context.log.event("building", project=project.name, node=node.version, builds=project.builds)
    context.progress.begin(f"installing the dependencies of {project.name}")
    await _dependencies(context, folder, node, project, published)
    if project.builds:
        context.progress.begin(f"building {project.name}")
        await _npm(context, folder, node, ["run", "build"], f"the build of {project.name} failed")
        await _npm(context, folder, node, ["prune", "--omit=dev", *_QUIET], f"{project.name} cannot be pruned")
    return _inspect(folder, launchers, node, project, needed=context.needs_executable)


def read_node_project(folder: Path) -> NodeProject:
    """What the project says about itself. Raises AdapterFailure."""
    try:
        with (folder / "package.json").open("rb") as file:
            found = cast(object, json.loads(file.read(_LARGEST_MANIFEST_BYTES)))
    except (OSError, ValueError) as error:
        raise AdapterFailure(Cause.INSTALL_FAILED, f"package.json of the project cannot be read: {error}") from error
    facts = _mapping(found)
    name = _text(facts.get("name")) or folder.name
    engines, scripts = _mapping(facts.get("engines")), _mapping(facts.get("scripts"))
    return NodeProject(
        name=name,
        version=_text(facts.get("version")) or "0.0.0",
        bins=_bins(folder, facts, name.rsplit("/", 1)[-1]),
        node_range=_text(engines.get("node")) or None,
        builds="build" in scripts,
    )


def _bins(folder: Path, facts: Mapping[str, object], name: str) -> dict[str, str]:
    """The executables; without any the main module, which `node FOLDER` would run."""
    bins = facts.get("bin")
    if isinstance(bins, str):
        return {name: bins}
    named = {key: value for key, value in _mapping(bins).items() if isinstance(value, str)}
    if named:
        return named
    main = _text(facts.get("main")) or ("index.js" if (folder / "index.js").is_file() else "")
    return {name: main} if main else {}


async def _dependencies(
    context: InstallContext, folder: Path, node: Node, project: NodeProject, published: str | None
) -> None:
    without = [] if project.builds else ["--omit=dev"]
    if any((folder / lock).is_file() for lock in _LOCKS):
        await _npm(context, folder, node, ["ci", *without, *_QUIET], f"{project.name} cannot be installed as locked")
        return
    date = resolve_date(context.resolve_as_of, published)
    limit = [f"--before={date}"] if date else []
    words = ["install", "--no-save", "--no-package-lock", *without, *_QUIET, *limit]
    await _npm(context, folder, node, words, f"{project.name} cannot be installed{as_of_hint(date)}")


async def _npm(context: InstallContext, folder: Path, node: Node, words: list[str], what: str) -> None:
    command = [*node.npm, "--prefix", str(folder), *words]
    finished = await context.install(command, path=[node.folder, folder / "node_modules" / ".bin"])
    if finished.status != 0:
        raise failure_of(finished, what)


def _inspect(folder: Path, launchers: Path, node: Node, project: NodeProject, *, needed: bool) -> Installed:
    files = {name: (folder / file).resolve() for name, file in project.bins.items()}
    missing = sorted(name for name, file in files.items() if not file.is_file())
    if missing and needed:
        text = f"{project.name} says that {missing[0]} is {project.bins[missing[0]]}, which does not exist: "
        raise AdapterFailure(Cause.NO_EXECUTABLE, f"{text}commit it, or add a `build` script that makes it")
    launchers.mkdir(parents=True, exist_ok=True)
    present = {name: file for name, file in files.items() if name not in missing}
    return Installed(
        version=project.version,
        executables={name: _launcher(launchers, name, node, file) for name, file in present.items()},
        targets={name: str(file) for name, file in present.items()},
        path=(str(launchers), str(folder / "node_modules" / ".bin"), str(node.folder)),
        needs=(str(node.folder / "node"),),
    )


def _launcher(launchers: Path, name: str, node: Node, file: Path) -> str:
    """A script that runs the file with the Node that was chosen for it, whatever its first line says."""
    script = launchers / Path(name).name
    program = shlex.join([str(node.folder / "node"), str(file)])
    script.write_text(f'#!/bin/sh\nexec {program} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return str(script)


def _mapping(value: object) -> Mapping[str, object]:
    return cast(Mapping[str, object], value) if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
