"""Checks of npm packages, by one GET of the abbreviated packument (npm registry documentation, "package metadata")."""

import json
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import quote

import httpx

from reconciler.core.types import PackageReference
from reconciler.errors import SourceError, Unavailable
from reconciler.sources.packages.fetch import fetch
from reconciler.sources.packages.nearest import missing_package, missing_version
from reconciler.sources.packages.npm_settings import NpmSettings

ABBREVIATED: Final = "application/vnd.npm.install-v1+json"


async def check_npm(
    client: httpx.AsyncClient, settings: NpmSettings, reference: PackageReference, entrypoint: str
) -> None:
    """Refuses a package, version or executable that does not exist.

    Raises:
        SourceError: it cannot start as written.
        Unavailable: the registry does not answer.
    """
    registry = settings.registry_of(reference.name)
    url = f"{registry}/{quote(reference.name, safe='@')}"
    page = await fetch(client, url, {"Accept": ABBREVIATED, **settings.authorization(registry)})
    if page is None:
        raise missing_package(reference)
    packument = _object(_parse(page.body))
    versions = _object(packument.get("versions"))
    wanted = reference.version or str(_object(packument.get("dist-tags")).get("latest", ""))
    if wanted not in versions:
        raise missing_version(reference, versions)
    _check_executable(reference, _object(versions[wanted]), entrypoint)


def _check_executable(reference: PackageReference, version: Mapping[str, object], entrypoint: str) -> None:
    """The adapter's rule: the entrypoint; else the only executable; else the one named like the package."""
    if "directories" in version and "bin" in _object(version["directories"]):
        return  # Which files that folder holds is only known when the package is there.
    executables = _executables(reference, version)
    if not executables:
        raise SourceError(
            "no-executable",
            f"{reference} has no executable: its package.json names no bin",
            hint="it is a library, not a server; look for the package that runs it",
        )
    named = ", ".join(sorted(executables))
    if entrypoint and entrypoint not in executables:
        raise SourceError("no-executable", f"{reference} has no executable {entrypoint}", hint=f"it has {named}")
    if not entrypoint and len(set(executables.values())) > 1 and _own_name(reference) not in executables:
        message = f"{reference} has several executables, and none is named like the package"
        raise SourceError("no-executable", message, hint=f"choose one with `entrypoint`: {named}")


def _executables(reference: PackageReference, version: Mapping[str, object]) -> Mapping[str, str]:
    """Names and files of `bin`; a bare string is an executable with the package's own name."""
    executables = version.get("bin")
    if isinstance(executables, str):
        return {_own_name(reference): executables}
    return {name: str(file) for name, file in _object(executables).items()}


def _own_name(reference: PackageReference) -> str:
    return reference.name.rsplit("/", 1)[-1]


def _parse(body: bytes) -> object:
    try:
        return cast("object", json.loads(body))
    except ValueError as error:
        raise Unavailable("registry-unavailable", "the npm registry answers with something that is no JSON") from error


def _object(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}
