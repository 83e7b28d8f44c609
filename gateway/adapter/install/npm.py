"""Install an npm package with npm into a folder of its own and find its executables.

npm itself is asked for the facts about the package, so registries per scope, credentials, proxies and certificates
count as they do for npm. Install scripts never run.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.install.context import InstallContext, failure_of
from gateway.adapter.install.dates import as_of_hint, resolve_date
from gateway.adapter.install.environment import Installed, empty, folder_for, locked, read_installed, write_installed
from gateway.adapter.install.executables import choose_executable
from gateway.adapter.install.integrity import folder_part, verify_npm
from gateway.adapter.install.nearest import missing_version
from gateway.adapter.install.node import Node, any_node, fitting_node
from gateway.adapter.package import PackageRef

_FACTS = ("name", "version", "bin", "engines", "time", "deprecated")


@dataclass(frozen=True, slots=True, kw_only=True)
class NpmFacts:
    """What the registry says about one version. `bins` maps names to files inside the package."""

    version: str
    bins: Mapping[str, str]
    node_range: str | None
    published: str | None
    deprecated: str | None


async def install_npm(context: InstallContext, package: PackageRef) -> Installed:
    """Install one version; a finished folder is used without a network. Raises AdapterFailure."""
    if package.version is not None:
        finished = read_installed(_folder(context, package, package.version))
        if finished is not None:
            return finished
    node = await any_node(context)
    context.progress.begin(f"asking the registry about {package}")
    facts = await _facts(context, node, package)
    if not facts.bins and context.needs_executable:
        choose_executable(package, facts.bins, None)
    folder = _folder(context, package, facts.version)
    async with locked(folder):
        finished = read_installed(folder)
        if finished is None:
            finished = await _install(
                context, folder, package, (await fitting_node(context, node, facts.node_range), facts)
            )
        return finished


def _folder(context: InstallContext, package: PackageRef, version: str) -> Path:
    parts = (version, context.resolve_as_of, *folder_part(context.integrity))
    return folder_for(context.cache, "npm", package.name, *parts)


async def _facts(context: InstallContext, node: Node, package: PackageRef) -> NpmFacts:
    spec = f"{package.name}@{package.version}" if package.version else package.name
    finished = await context.query([*node.npm, "view", spec, *_FACTS, "--json"], path=[node.folder])
    answer: object = _last(_json(finished.output))
    if finished.status == 0 and isinstance(answer, dict) and "version" in answer:
        return _read_facts(package, cast(dict[str, object], answer))
    if _error_code(finished.output) == "E404" or (finished.status == 0 and not finished.output.strip()):
        raise await _absent(context, node, package)
    raise failure_of(finished, f"npm cannot say anything about {package}", Cause.REGISTRY_UNAVAILABLE)


async def _absent(context: InstallContext, node: Node, package: PackageRef) -> AdapterFailure:
    """Tell a missing package from a missing version."""
    finished = await context.query([*node.npm, "view", package.name, "versions", "--json"], path=[node.folder])
    answer = _json(finished.output)
    if finished.status != 0 or package.version is None:
        return AdapterFailure(Cause.PACKAGE_NOT_FOUND, f"there is no npm package {package.name}")
    versions = [str(each) for each in cast(list[object], answer)] if isinstance(answer, list) else [str(answer)]
    text = missing_version(f"npm:{package.name}", package.version, versions)
    return AdapterFailure(Cause.VERSION_NOT_FOUND, text)


def _read_facts(package: PackageRef, answer: Mapping[str, object]) -> NpmFacts:
    version = str(answer["version"])
    bins = answer.get("bin")
    if isinstance(bins, str):
        bins = {package.unscoped_name: bins}
    engines, times = answer.get("engines"), answer.get("time")
    deprecated = answer.get("deprecated")
    return NpmFacts(
        version=version,
        bins=cast(dict[str, str], bins) if isinstance(bins, dict) else {},
        node_range=_text(engines, "node"),
        published=_text(times, version),
        deprecated=deprecated if isinstance(deprecated, str) else None,
    )


async def _install(
    context: InstallContext, folder: Path, package: PackageRef, found: tuple[Node, NpmFacts]
) -> Installed:
    node, facts = found
    date = resolve_date(context.resolve_as_of, facts.published)
    name = f"npm:{package.name}@{facts.version}"
    context.log.event("installing", package=name, node=node.version, dependencies_as_of=date or "today")
    context.progress.begin(f"installing {name}")
    if facts.deprecated:
        context.log.event("deprecated", package=name, reason=facts.deprecated)
    await empty(folder)
    options = ["--prefix", str(folder), "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    limit = [f"--before={date}"] if date else []
    command = [*node.npm, "install", *options, *limit, f"{package.name}@{facts.version}"]
    finished = await context.install(command, path=[node.folder])
    if finished.status != 0:
        raise failure_of(finished, f"{package} cannot be installed{as_of_hint(date)}")
    verify_npm(folder, package, context.integrity)
    installed = _inspect(folder, node, facts)
    write_installed(folder, installed)
    return installed


def _inspect(folder: Path, node: Node, facts: NpmFacts) -> Installed:
    bin_folder = folder / "node_modules" / ".bin"
    present = {name: bin_folder / name for name in facts.bins if (bin_folder / name).exists()}
    return Installed(
        version=facts.version,
        executables={name: str(path) for name, path in present.items()},
        targets={name: os.path.realpath(path) for name, path in present.items()},
        path=(str(bin_folder), str(node.folder)),
        needs=(str(node.folder / "node"),),
    )


def _json(text: str) -> object:
    try:
        return cast(object, json.loads(text))
    except ValueError:
        return None


def _last(answer: object) -> object:
    """Npm answers with a list where the wanted version is a range."""
    answers = cast(list[object], answer) if isinstance(answer, list) else [answer]
    return answers[-1] if answers else None


def _error_code(output: str) -> str | None:
    answer = _json(output)
    error = cast(dict[str, object], answer).get("error") if isinstance(answer, dict) else None
    return _text(error, "code")


def _text(mapping: object, key: str) -> str | None:
    value = cast(dict[str, object], mapping).get(key) if isinstance(mapping, dict) else None
    return value if isinstance(value, str) else None
