"""Facts about npm packages, from the packument (npm registry documentation, "package metadata").

The abbreviated form is asked for first: it holds all that an installation needs. It leaves out dates and links, so the
full form follows where somebody needs them, which is for a lock and for packages that may be new.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, cast
from urllib.parse import quote

from reconciler.core.moments import moment_of
from reconciler.core.releases import Links, Release
from reconciler.core.types import PackageReference, Registry
from reconciler.errors import Unavailable
from reconciler.sources.packages.fetch import Page, Request
from reconciler.sources.packages.nearest import missing_package, missing_version
from reconciler.sources.packages.npm_settings import NpmSettings
from reconciler.sources.packages.release_json import release_json, release_of
from reconciler.sources.packages.session import Session

ABBREVIATED: Final = "application/vnd.npm.install-v1+json"
FULL: Final = "application/json"
SETTLED_AFTER: Final = timedelta(days=60)
"""A package that was last touched so long ago is old whatever its first day was."""


async def npm_release(
    session: Session, settings: NpmSettings, reference: PackageReference, *, complete: bool = False
) -> Release:
    """The facts about one version; without a version about the newest.

    Args:
        session: connections and cache.
        settings: which registry, and with which credentials.
        reference: what to ask about.
        complete: with dates and links, which may need a page of some megabytes.

    Raises:
        SourceError: the package or the version does not exist.
        Unavailable: the registry does not answer, and nothing of it was kept.
    """
    release = await _release(session, settings, reference, FULL if complete else ABBREVIATED)
    since = release.package_since
    if complete or release.published_at or (since is not None and session.now() - since > SETTLED_AFTER):
        return release
    return await _release(session, settings, reference, FULL)


async def _release(session: Session, settings: NpmSettings, reference: PackageReference, form: str) -> Release:
    registry = settings.registry_of(reference.name)
    url = f"{registry}/{quote(reference.name, safe='@')}"
    request = Request(url=url, headers={"Accept": form, **settings.authorization(registry)})
    facts = await session.answer(
        ("npm", url, form, reference.version), request, lambda page: release_json(read_packument(reference, page))
    )
    if facts is None:
        raise missing_package(reference)
    return release_of(facts)


async def npm_registry_name(session: Session, settings: NpmSettings, package: PackageReference) -> str:
    """`mcpName` of one version, which the abbreviated packument leaves out; empty where it has none.

    Raises:
        Unavailable: the registry does not answer, and nothing of it was kept.
    """
    registry = settings.registry_of(package.name)
    url = f"{registry}/{quote(package.name, safe='@')}/{quote(package.version, safe='')}"
    request = Request(url=url, headers={"Accept": FULL, **settings.authorization(registry)})
    name = await session.answer(
        ("npm-name", url), request, lambda page: _text(_object(_parse(page.body)).get("mcpName"))
    )
    return name if isinstance(name, str) else ""


def read_packument(reference: PackageReference, page: Page) -> Release:
    """What a packument says about one version.

    Raises:
        SourceError: it has no such version.
        Unavailable: it is no packument.
    """
    packument = _object(_parse(page.body))
    versions = _object(packument.get("versions"))
    newest = str(_object(packument.get("dist-tags")).get("latest", ""))
    wanted = reference.version or newest
    if wanted not in versions:
        raise missing_version(reference, versions)
    version, times = _object(versions[wanted]), _object(packument.get("time"))
    return Release(
        package=PackageReference(registry=Registry.NPM, name=reference.name, version=wanted),
        published_at=moment_of(times.get(wanted)),
        package_since=_since(times, packument.get("modified")),
        executables=_executables(reference, version),
        runtime=_text(_object(version.get("engines")).get("node")),
        deprecated=_deprecated(version.get("deprecated")),
        files=_files(_object(version.get("dist"))),
        newest=newest,
        registry_name=_text(version.get("mcpName")),
        links=_links(version),
    )


def _since(times: Mapping[str, object], modified: object) -> datetime | None:
    """The first day of the package at the latest: that of its first version, else the day when it last changed."""
    moments = [moment for key, value in times.items() if key != "modified" and (moment := moment_of(value))]
    return min(moments, default=moment_of(modified))


def _executables(reference: PackageReference, version: Mapping[str, object]) -> Mapping[str, str] | None:
    """Names and files of `bin`; a bare string is an executable with the package's own name."""
    if "bin" in _object(version.get("directories")):
        return None  # Which files that folder holds is only known when the package is there.
    executables = version.get("bin")
    if isinstance(executables, str):
        return {reference.name.rsplit("/", 1)[-1]: executables}
    return {name: str(file) for name, file in _object(executables).items()}


def _files(dist: Mapping[str, object]) -> Mapping[str, str]:
    name = _text(dist.get("tarball")).rsplit("/", 1)[-1]
    integrity = _text(dist.get("integrity")) or _from_shasum(_text(dist.get("shasum")))
    return {name: integrity} if name and integrity else {}


def _from_shasum(shasum: str) -> str:
    """Packages from before 2017 have a SHA-1 alone."""
    try:
        return f"sha1-{base64.b64encode(binascii.unhexlify(shasum)).decode()}" if shasum else ""
    except binascii.Error:
        return ""


def _deprecated(value: object) -> str:
    return value if isinstance(value, str) else "no reason is given" if value is True else ""


def _links(version: Mapping[str, object]) -> Links:
    repository = version.get("repository")
    address = repository if isinstance(repository, str) else _text(_object(repository).get("url"))
    return Links(repository=web_address(address), homepage=_text(version.get("homepage")))


def web_address(repository: str) -> str:
    """The page of a repository for a browser; empty for what has none.

    npm's `repository` (npm documentation, "package.json") may be `git+https://…`, `git@host:…` or `github:owner/name`.
    """
    address = repository.removeprefix("git+").removesuffix(".git")
    if address.startswith("github:"):
        return f"https://github.com/{address.removeprefix('github:')}"
    if address.startswith(("git@", "ssh://git@")):
        return "https://" + address.removeprefix("ssh://").removeprefix("git@").replace(":", "/", 1)
    if address.startswith("git://"):
        return "https://" + address.removeprefix("git://")
    return address if address.startswith("https://") else ""


def _parse(body: bytes) -> object:
    try:
        return cast("object", json.loads(body))
    except (ValueError, RecursionError) as error:
        raise Unavailable("registry-unavailable", "the npm registry answers with something that is no JSON") from error


def _object(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
