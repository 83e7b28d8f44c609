"""From a project to an installed program: a commit of a repository, or a folder that came with the machine.

Like a package it is built once for each content, in a folder that every machine of the host shares and that counts only
when it is finished.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import anyio

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.install.archive import unpack
from gateway.adapter.install.context import InstallContext
from gateway.adapter.install.environment import Installed, empty, folder_for, locked, read_installed, write_installed
from gateway.adapter.install.git_source import Checkout
from gateway.adapter.install.node_project import build_node
from gateway.adapter.install.python_project import build_python
from gateway.adapter.projects import ArchiveProject, GitProject, Project

_PYTHON_FILES = ("pyproject.toml", "setup.py", "requirements.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectOrder:
    """What to build. `runtime` None is found out from the files; `home` is where git looks for keys."""

    project: Project
    runtime: str | None
    directory: str
    home: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A finished project: what can run, and the folder that it lies in."""

    installed: Installed
    folder: Path


async def build_project(context: InstallContext, order: ProjectOrder) -> Built:
    """Bring the files, and build them; what was built before is used without a network. Raises AdapterFailure."""
    place = await _place(context, order)
    source = place / "source"
    async with locked(place):
        installed = read_installed(place)
        if installed is None:
            await empty(place)
            source.mkdir()
            published = await _bring(context, order, source)
            installed = await _build(context, order, place, published)
            write_installed(place, installed)
    return Built(installed=installed, folder=_inside(source, order))


async def _place(context: InstallContext, order: ProjectOrder) -> Path:
    project, chosen = order.project, (order.runtime or "", order.directory, context.resolve_as_of)
    if isinstance(project, GitProject):
        return folder_for(context.cache, "git", project.name, project.commit, project.url, *chosen)
    content = await anyio.to_thread.run_sync(_digest, project)
    return folder_for(context.cache, "archive", "folder", content, *chosen)


def _digest(project: ArchiveProject) -> str:
    try:
        with project.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        text = f"the folder of the server did not come with the machine: {error.strerror}"
        raise AdapterFailure(Cause.INSTALL_FAILED, text) from error


async def _bring(context: InstallContext, order: ProjectOrder, source: Path) -> str | None:
    """The files; the date of the commit, None where there is none."""
    context.log.event("fetching", project=str(order.project))
    context.progress.begin(f"fetching {order.project}")
    if isinstance(order.project, GitProject):
        return await Checkout(context, source, order.home).bring(order.project)
    await anyio.to_thread.run_sync(unpack, order.project.path, source)
    return None


def _inside(source: Path, order: ProjectOrder) -> Path:
    folder = (source / order.directory).resolve()
    if not folder.is_relative_to(source.resolve()) or not folder.is_dir():
        raise AdapterFailure(Cause.INSTALL_FAILED, f"{order.project} has no folder {order.directory}")
    return folder


async def _build(context: InstallContext, order: ProjectOrder, place: Path, published: str | None) -> Installed:
    folder = _inside(place / "source", order)
    runtime = order.runtime or _runtime(folder)
    if runtime == "node":
        return await build_node(context, folder, place / "launchers", published)
    if runtime == "python":
        return await build_python(context, folder, place / "environment", published)
    if context.needs_executable:
        text = f"{order.project} holds neither package.json nor pyproject.toml, so that nothing says what to run"
        raise AdapterFailure(Cause.NO_EXECUTABLE, text)
    return Installed(version="0.0.0", executables={}, targets={}, path=(), needs=(str(folder),))


def _runtime(folder: Path) -> str:
    if (folder / "package.json").is_file():
        return "node"
    return "python" if any((folder / name).is_file() for name in _PYTHON_FILES) else ""
