"""Facts about PyPI packages, by the simple API (PEP 503, 691, 700) of the indexes that uv is configured with.

An index tells versions, dates, digests and the Python that is needed. Console scripts stand in the wheel alone, of
which the end is read. An index that is older, or has HTML alone, tells less, and what it does not tell stays unknown.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Final, cast
from urllib.parse import urljoin, urlsplit

import httpx
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    canonicalize_version,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from reconciler.core.digests import JSON
from reconciler.core.moments import moment_of
from reconciler.core.releases import Links, Release
from reconciler.core.types import PackageReference, Registry
from reconciler.errors import Unavailable
from reconciler.sources.packages.fetch import Page, Request
from reconciler.sources.packages.nearest import missing_package, missing_version
from reconciler.sources.packages.release_json import release_json, release_of
from reconciler.sources.packages.session import Session
from reconciler.sources.packages.wheel import kept_wheel_facts

ACCEPT: Final = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
NEWEST_PYTHON: Final = "3.13"
"""The Python for which the adapter resolves a package without a version."""
_CHANGELOG_LABELS: Final = ("changelog", "changes", "release notes", "releases", "history", "what's new")
_REPOSITORY_LABELS: Final = ("repository", "source", "source code", "github", "code")


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    name: str
    version: str
    url: str
    digest: str = ""
    python: str = ""
    uploaded_at: datetime | None = None
    yanked: str = ""

    @property
    def is_wheel(self) -> bool:
        return self.name.endswith(".whl")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Project:
    versions: Sequence[str]
    files: Sequence[_File] = field(default_factory=list[_File])

    def by_version(self) -> Mapping[str, Sequence[_File]]:
        """The files under the normal form of their version, sorted by name."""
        found: dict[str, list[_File]] = {}
        for file in sorted(self.files, key=lambda file: file.name):
            found.setdefault(_normal(file.version), []).append(file)
        return found


async def pypi_release(
    session: Session, indexes: Iterable[str], reference: PackageReference, auth: httpx.Auth | None
) -> Release:
    """The facts about one version; without a version about the one that the adapter would install.

    Raises:
        SourceError: the package or the version does not exist.
        Unavailable: the index does not answer, and nothing of it was kept.
    """
    name = canonicalize_name(reference.name)
    for index in indexes:
        url = f"{index.rstrip('/')}/{name}/"
        request = Request(url=url, headers={"Accept": ACCEPT}, auth=_auth_for(url, auth))
        key = ("pypi", _without_credentials(url), reference.version)
        facts = await session.answer(key, request, lambda page: _page_facts(reference, name, page))
        if facts is not None:
            # The first index that has the package is the one that counts, as in uv.
            return await _with_wheel(session, cast("Mapping[str, JSON]", facts), url, request.auth)
    raise missing_package(reference)


def _auth_for(url: str, auth: httpx.Auth | None) -> httpx.Auth | None:
    """The netrc file counts where the address has no credentials of its own."""
    return None if urlsplit(url).username else auth


def _without_credentials(url: str) -> str:
    return urlsplit(url)._replace(netloc=urlsplit(url).netloc.rpartition("@")[2]).geturl()


def _page_facts(reference: PackageReference, name: str, page: Page) -> JSON:
    try:
        project = _json_project(page) if "json" in page.media_type else _html_project(name, page)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Unavailable("registry-unavailable", "the package index answers with a page that is no index") from error
    by_version = project.by_version()
    release = _release(reference, project, by_version)
    wheels = [file for file in by_version.get(_normal(release.package.version), ()) if file.is_wheel]
    wheel = wheels[0] if wheels else None
    return {
        "release": release_json(release),
        "wheel": [_without_credentials(wheel.url), wheel.digest] if wheel else None,
    }


def _json_project(page: Page) -> _Project:
    raw = json.loads(page.body)
    files = [_json_file(file, page.url) for file in raw["files"]]
    known = [file for file in files if file.version]
    # PEP 700 lists the versions; an index that is older has them in the names of its files alone.
    versions = [str(version) for version in raw.get("versions") or dict.fromkeys(file.version for file in known)]
    return _Project(versions=versions, files=known)


def _json_file(raw: Mapping[str, object], base: str) -> _File:
    name, yanked, hashes = str(raw["filename"]), raw.get("yanked"), raw.get("hashes")
    sha256 = cast("Mapping[str, object]", hashes).get("sha256") if isinstance(hashes, Mapping) else None
    return _File(
        name=name,
        version=_file_version(name),
        url=urljoin(base, str(raw["url"])),
        digest=f"sha256:{sha256}" if sha256 else "",
        python=str(raw.get("requires-python") or ""),
        uploaded_at=moment_of(raw.get("upload-time")),
        yanked=yanked if isinstance(yanked, str) and yanked else "-" if yanked else "",
    )


def _file_version(filename: str) -> str:
    """Empty for a file that is neither a wheel nor a source archive by its name."""
    try:
        if filename.endswith(".whl"):
            return str(parse_wheel_filename(filename)[1])
        return str(parse_sdist_filename(filename)[1])
    except (InvalidWheelFilename, InvalidSdistFilename):
        return ""


def _html_project(name: str, page: Page) -> _Project:
    from pypi_simple import ProjectPage, UnsupportedRepoVersionError  # noqa: PLC0415 - A second, for rare mirrors.

    try:
        project = ProjectPage.from_html(name, page.body, base_url=page.url)
    except UnsupportedRepoVersionError as error:
        raise ValueError("the index is of a newer kind") from error
    files = [
        _File(
            name=file.filename,
            version=file.version,
            url=file.url,
            digest=f"sha256:{file.digests['sha256']}" if "sha256" in file.digests else "",
            python=file.requires_python or "",
            yanked=(file.yanked_reason or "-") if file.is_yanked else "",
        )
        for file in project.packages
        if file.version
    ]
    return _Project(versions=list(dict.fromkeys(file.version for file in files)), files=files)


def _release(reference: PackageReference, project: _Project, by_version: Mapping[str, Sequence[_File]]) -> Release:
    newest = _newest(project.versions, by_version)
    wanted = _normal(reference.version or newest)
    version = next((each for each in project.versions if _normal(each) == wanted), None)
    if version is None:
        raise missing_version(reference, sorted(project.versions))
    files = by_version.get(wanted, ())
    dates = [file.uploaded_at for file in files if file.uploaded_at]
    every_date = [file.uploaded_at for file in project.files if file.uploaded_at]
    yanked = [file.yanked for file in files if file.yanked]
    return Release(
        package=PackageReference(registry=Registry.PYPI, name=reference.name, version=version),
        published_at=min(dates, default=None),
        package_since=min(every_date, default=None),
        runtime=next((file.python for file in files if file.python), ""),
        yanked=yanked[0] if files and len(yanked) == len(files) else "",
        files={file.name: file.digest for file in files if file.digest},
        newest=newest,
    )


def _newest(versions: Sequence[str], by_version: Mapping[str, Sequence[_File]]) -> str:
    """The newest version that the adapter would choose: final, not yanked, for its Python; else the newest of all."""
    parsed = {text: version for text in versions if (version := _version(text)) is not None}
    ordered = sorted(parsed, key=lambda text: parsed[text], reverse=True)
    good = (
        text for text in ordered if not parsed[text].is_prerelease and _installable(by_version.get(_normal(text), ()))
    )
    return next(good, next(iter(ordered), ""))


def _installable(files: Sequence[_File]) -> bool:
    return not files or any(not file.yanked and _fits(file.python) for file in files)


def _fits(python: str) -> bool:
    try:
        return SpecifierSet(python).contains(NEWEST_PYTHON)
    except InvalidSpecifier:
        return True


async def _with_wheel(session: Session, facts: Mapping[str, JSON], url: str, auth: httpx.Auth | None) -> Release:
    """Adds what stands in the wheel: console scripts, links, its name in the official registry."""
    release = release_of(facts["release"])
    if facts["wheel"] is None:
        return release
    address, digest = cast("list[str]", facts["wheel"])
    wheel = await kept_wheel_facts(session, (digest or address), _with_credentials(address, url), auth)
    return replace(release, executables=wheel.scripts, registry_name=wheel.registry_name, links=_links(wheel.links))


def _with_credentials(address: str, index: str) -> str:
    """A file on the host of its index is opened with the credentials of the index."""
    file, known = urlsplit(address), urlsplit(index)
    same = file.scheme == known.scheme and file.netloc == known.netloc.rpartition("@")[2]
    return file._replace(netloc=known.netloc).geturl() if same else address


def _links(found: Mapping[str, str]) -> Links:
    def first(labels: Sequence[str]) -> str:
        return next((found[label] for label in labels if found.get(label, "").startswith("https://")), "")

    return Links(
        repository=first(_REPOSITORY_LABELS), changelog=first(_CHANGELOG_LABELS), homepage=first(("homepage",))
    )


@lru_cache(maxsize=4096)
def _normal(version: str) -> str:
    """`1.0` and `1.0.0` are one version (PEP 440)."""
    parsed = _version(version)
    return canonicalize_version(parsed) if parsed is not None else version


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
