"""From a package name to an installed program: registries, runtimes, environments. Nothing here runs the server."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.install.context import InstallContext
from gateway.adapter.install.environment import Installed, newest_finished
from gateway.adapter.install.executables import choose_executable
from gateway.adapter.install.npm import install_npm
from gateway.adapter.install.progress import Progress
from gateway.adapter.install.project import ProjectOrder, build_project
from gateway.adapter.install.pypi import install_pypi
from gateway.adapter.log import AdapterLog
from gateway.adapter.options import Options
from gateway.adapter.package import PackageRef, Registry
from gateway.adapter.projects import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An installed server: its command without arguments, and folders that go before PATH."""

    command: tuple[str, ...]
    path: Sequence[Path]
    folder: Path | None = None
    """Where a command of a project runs; None for what runs anywhere."""


async def install_package(options: Options, package: PackageRef, log: AdapterLog, progress: Progress) -> Program:
    """Make a package ready to run, from the cache where it is there. Raises AdapterFailure."""
    installed = await _installed(_context(options, log, progress), package)
    command = _command(options, package, installed)
    name = f"{package.registry.value}:{package.name}@{installed.version}"
    log.event("installed", package=name, executable=Path(command[0]).name)
    return Program(command=command, path=[Path(each) for each in installed.path])


async def install_project(options: Options, order: ProjectOrder, log: AdapterLog, progress: Progress) -> Program:
    """Make a project ready to run, from the cache where it is there. Raises AdapterFailure."""
    built = await build_project(_context(options, log, progress), order)
    command = _command(options, order.project, built.installed, built.folder)
    log.event("installed", project=str(order.project), executable=Path(command[0]).name)
    folder = built.folder if options.program else None
    return Program(command=command, path=[Path(each) for each in built.installed.path], folder=folder)


def _context(options: Options, log: AdapterLog, progress: Progress) -> InstallContext:
    return InstallContext(
        cache=options.cache_dir.absolute(),
        resolve_as_of=options.resolve_as_of,
        log=log,
        needs_executable=not options.program,
        integrity=options.integrity,
        progress=progress,
    )


def _command(
    options: Options, source: PackageRef | Project, installed: Installed, folder: Path | None = None
) -> tuple[str, ...]:
    """An executable of the package or project, or the command that was given in its place."""
    if not options.program:
        return (installed.executables[choose_executable(source, installed.targets, options.entrypoint)],)
    name, *words = options.program
    if folder is not None and "/" in name:
        name = str(folder / name)
    found = shutil.which(name, path=os.pathsep.join([*installed.path, os.environ.get("PATH", os.defpath)]))
    if found is None:
        raise AdapterFailure(Cause.NO_EXECUTABLE, f"neither {source} nor the machine has a program {name!r}")
    return (found, *words)


async def _installed(context: InstallContext, package: PackageRef) -> Installed:
    install = install_npm if package.registry is Registry.NPM else install_pypi
    try:
        return await install(context, package)
    except AdapterFailure as failure:
        kept = newest_finished(context.cache, package.registry.value, package.name)
        if failure.cause is not Cause.REGISTRY_UNAVAILABLE or package.version is not None or kept is None:
            raise
        context.log.event("registry-unavailable", detail=failure.detail, using=kept.version)
        return kept
