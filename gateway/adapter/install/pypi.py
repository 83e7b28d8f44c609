"""Install a PyPI package into an environment of its own and find its console scripts.

Never into the adapter's environment: most servers would change the libraries under it. Never `python -m`: most packages
have no main module.
"""

import configparser
import re
from collections.abc import Sequence
from pathlib import Path

import anyio

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.install.context import InstallContext, failure_of
from gateway.adapter.install.dates import as_of_hint, resolve_date
from gateway.adapter.install.environment import Installed, empty, folder_for, locked, read_installed, write_installed
from gateway.adapter.install.integrity import folder_part, is_refusal_of_uv, mismatch, pypi_requirement
from gateway.adapter.install.nearest import missing_version
from gateway.adapter.install.simple_index import Release, normal_version, releases_of
from gateway.adapter.install.uv import find_uv, index_urls
from gateway.adapter.package import PackageRef

_NEWEST_PYTHON = "3.13"
"""The Python for which an unpinned package is resolved; every server of the reference panel runs on it."""


async def install_pypi(context: InstallContext, package: PackageRef) -> Installed:
    """Install one version; a finished environment is used without a network. Raises AdapterFailure."""
    version = package.version or await _newest(context, package)
    parts = (version, context.resolve_as_of, *folder_part(context.integrity))
    folder = folder_for(context.cache, "pypi", package.name, *parts)
    async with locked(folder):
        finished = read_installed(folder)
        if finished is not None:
            return finished
        context.progress.begin(f"asking the registry about {package}")
        release = await _release(context, package, version)
        await _install_into(context, folder, package, release)
        installed = await anyio.to_thread.run_sync(_inspect, folder, package, release.version)
        write_installed(folder, installed)
        return installed


async def _newest(context: InstallContext, package: PackageRef) -> str:
    """The newest version that fits a current Python, as uv sees it."""
    folder = context.cache / "requests"
    folder.mkdir(parents=True, exist_ok=True)
    request = folder / f"{package.name}.in"
    request.write_text(f"{package.name}\n", encoding="utf-8")
    options = ["--no-deps", "--no-header", "--no-annotate", "--python-version", _NEWEST_PYTHON]
    finished = await context.query([find_uv(), "pip", "compile", *options, str(request)])
    match = re.search(r"^[A-Za-z0-9._-]+==(\S+)$", finished.output, re.MULTILINE)
    if match is not None:
        return match[1]
    if "was not found in the package registry" in finished.text:
        raise AdapterFailure(Cause.PACKAGE_NOT_FOUND, f"there is no PyPI package {package.name}")
    raise failure_of(finished, f"no version of {package} can be resolved")


async def _release(context: InstallContext, package: PackageRef, version: str) -> Release:
    releases = await releases_of(await index_urls(context), package.name)
    if releases is None:
        return Release(version=version, published=None, requires_python=None)
    release = releases.get(normal_version(version))
    if release is None:
        text = missing_version(f"pypi:{package.name}", version, [each.version for each in releases.values()])
        raise AdapterFailure(Cause.VERSION_NOT_FOUND, text)
    return release


async def _install_into(context: InstallContext, folder: Path, package: PackageRef, release: Release) -> None:
    await empty(folder)
    python = ["--python", release.requires_python] if release.requires_python else []
    made = await context.install([find_uv(), "venv", "--no-project", *python, str(folder)])
    if made.status != 0:
        what = f"no Python fits {package} (requires-python {release.requires_python or 'any'})"
        raise AdapterFailure(Cause.RUNTIME_UNAVAILABLE, failure_of(made, what).detail)
    date = resolve_date(context.resolve_as_of, release.published)
    name = f"pypi:{package.name}@{release.version}"
    context.log.event("installing", package=name, dependencies_as_of=date or "today")
    context.progress.begin(f"installing {name}")
    limit = ["--exclude-newer", date] if date else []
    target = ["--python", str(folder / "bin" / "python"), "--compile-bytecode", *limit]
    wanted = [f"{package.name}=={release.version}"]
    if context.integrity:
        wanted = ["--requirement", str(_locked_requirement(folder, package, release.version, context.integrity))]
    finished = await context.install([find_uv(), "pip", "install", *target, *wanted])
    if context.integrity and is_refusal_of_uv(finished):
        raise mismatch(package, "uv downloaded a file with another digest")
    if finished.status != 0:
        raise failure_of(finished, f"{package} cannot be installed{as_of_hint(date)}")


def _locked_requirement(folder: Path, package: PackageRef, version: str, digests: Sequence[str]) -> Path:
    """A requirements file with the digests, which uv takes from nowhere else."""
    file = folder / "catwalk-locked.txt"
    file.write_text(f"{pypi_requirement(package.name, version, digests)}\n", encoding="utf-8")
    return file


def _inspect(folder: Path, package: PackageRef, version: str) -> Installed:
    """Read the console scripts of the package itself; those of its dependencies are not it."""
    targets = console_scripts(folder, package.name)
    return Installed(
        version=version,
        executables={name: str(folder / "bin" / name) for name in targets},
        targets=targets,
        path=(str(folder / "bin"),),
        needs=(str(folder / "bin" / "python"),),
    )


def console_scripts(folder: Path, name: str) -> dict[str, str]:
    """The console scripts (name -> module:function) of one package in an environment, not those of its dependencies."""
    normal = re.sub(r"[-_.]+", "_", name).lower()
    for info in folder.glob("lib/python*/site-packages/*.dist-info"):
        if re.sub(r"[-_.]+", "_", info.name.partition("-")[0]).lower() == normal:
            return entry_points(info / "entry_points.txt")
    return {}


def entry_points(file: Path) -> dict[str, str]:
    """The console scripts that an `entry_points.txt` names (name -> module:function); none where it does not exist."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # Names of scripts keep their case.
    if file.exists():
        parser.read(file, encoding="utf-8")
    return dict(parser["console_scripts"]) if parser.has_section("console_scripts") else {}
