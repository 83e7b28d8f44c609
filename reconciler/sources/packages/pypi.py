"""Checks of PyPI packages, by the simple API (PEP 503, 691, 700) of the indexes that uv is configured with.

Console scripts are not in the index, so that a package without one is found out when it is installed.
"""

import json
import subprocess
from collections.abc import Iterable, Mapping
from typing import Final

import anyio.to_thread
import httpx
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    canonicalize_version,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version
from uv import find_uv_bin

from reconciler.core.types import PackageReference
from reconciler.errors import Unavailable
from reconciler.sources.packages.fetch import Page, fetch
from reconciler.sources.packages.nearest import missing_package, missing_version

ACCEPT: Final = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
TIMEOUT_S: Final = 20.0


async def read_indexes(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The index addresses of uv, first the extra ones, as uv asks them.

    uv is asked rather than its files read, so that environment, `uv.toml` and its own default count as they do for uv.

    Raises:
        Unavailable: uv does not answer.
    """
    return await anyio.to_thread.run_sync(_ask_uv, dict(environment))


def _ask_uv(environment: dict[str, str]) -> tuple[str, ...]:
    command = [find_uv_bin(), "pip", "compile", "--quiet", "--no-header", "--emit-index-url", "-"]
    try:
        finished = subprocess.run(
            command,
            input="",
            # A project above the working directory may configure another index for itself; it is not meant here.
            cwd="/",
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable("registry-unavailable", "uv does not say which package index it uses") from error
    words = [line.split() for line in finished.stdout.splitlines()]
    extra = [word[1] for word in words if len(word) == 2 and word[0] == "--extra-index-url"]
    main = [word[1] for word in words if len(word) == 2 and word[0] in {"--index-url", "-i"}]
    return (*extra, *main)


async def check_pypi(client: httpx.AsyncClient, indexes: Iterable[str], reference: PackageReference) -> None:
    """Refuses a package or version that does not exist.

    Raises:
        SourceError: it cannot start as written.
        Unavailable: the index does not answer.
    """
    name = canonicalize_name(reference.name)
    for index in indexes:
        page = await fetch(client, f"{index.rstrip('/')}/{name}/", {"Accept": ACCEPT})
        if page is not None:
            # The first index that has the package is the one that counts, as in uv.
            _check_version(reference, _versions(name, page))
            return
    raise missing_package(reference)


def _versions(name: str, page: Page) -> set[str]:
    try:
        return _json_versions(page.body) if "json" in page.media_type else _html_versions(name, page)
    except (ValueError, TypeError, KeyError) as error:
        raise Unavailable("registry-unavailable", "the package index answers with a page that is no index") from error


def _json_versions(body: bytes) -> set[str]:
    """PEP 700 lists the versions; an index that is older has them in the names of its files alone.

    Yanked ones count: who pins a version exactly may install it although it was yanked (PEP 592).
    """
    project = json.loads(body)
    if "versions" in project:
        return {str(version) for version in project["versions"]}
    return {version for file in project["files"] if (version := _file_version(str(file["filename"])))}


def _file_version(filename: str) -> str:
    """Empty for a file that is neither a wheel nor a source archive by its name."""
    try:
        if filename.endswith(".whl"):
            return str(parse_wheel_filename(filename)[1])
        return str(parse_sdist_filename(filename)[1])
    except (InvalidWheelFilename, InvalidSdistFilename):
        return ""


def _html_versions(name: str, page: Page) -> set[str]:
    from pypi_simple import ProjectPage, UnsupportedRepoVersionError  # noqa: PLC0415 - A second, for rare mirrors.

    try:
        project = ProjectPage.from_html(name, page.body, base_url=page.url)
    except UnsupportedRepoVersionError as error:
        raise ValueError("the index is of a newer kind") from error
    return {file.version for file in project.packages if file.version}


def _check_version(reference: PackageReference, versions: set[str]) -> None:
    if reference.version and _normal(reference.version) not in {_normal(version) for version in versions}:
        raise missing_version(reference, sorted(versions))


def _normal(version: str) -> str:
    """`1.0` and `1.0.0` are one version (PEP 440)."""
    try:
        return canonicalize_version(Version(version))
    except InvalidVersion:
        return version
