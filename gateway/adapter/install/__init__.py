"""From a package name to an installed program: registries, runtimes, environments. Nothing here runs the server."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.install.context import InstallContext
from gateway.adapter.install.environment import Installed, newest_finished
from gateway.adapter.install.executables import choose_executable
from gateway.adapter.install.npm import install_npm
from gateway.adapter.install.pypi import install_pypi
from gateway.adapter.log import AdapterLog
from gateway.adapter.options import Options
from gateway.adapter.package import PackageRef, Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An installed server: its command without arguments, and folders that go before PATH."""

    command: tuple[str, ...]
    path: Sequence[Path]


async def install_package(options: Options, package: PackageRef, log: AdapterLog) -> Program:
    """Make a package ready to run, from the cache where it is there. Raises AdapterFailure."""
    context = InstallContext(cache=options.cache_dir.absolute(), resolve_as_of=options.resolve_as_of, log=log)
    installed = await _installed(context, package)
    name = choose_executable(package, installed.targets, options.entrypoint)
    log.event("installed", package=f"{package.registry.value}:{package.name}@{installed.version}", executable=name)
    return Program(command=(installed.executables[name],), path=[Path(each) for each in installed.path])


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
