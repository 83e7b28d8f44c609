"""Ask a Python package index which releases of a project exist, when they were published and which Python they need.

Source: the simple repository API, JSON form (PEP 691, PEP 700). An index that has only HTML, or no upload times, is no
error: those facts are then missing, and the installer alone decides.
"""

import base64
import json
import netrc
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import unquote, urlsplit, urlunsplit

import anyio

from gateway.adapter.causes import AdapterFailure, Cause

_JSON = "application/vnd.pypi.simple.v1+json"
_TIMEOUT_S = 30.0
_MAX_BYTES = 64 * 1024 * 1024
_ARCHIVE = re.compile(r"\.(?:whl|tar\.gz|zip|tar\.bz2)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version: when its first file was uploaded, and the Python that it asks for; None where the index does not
    say.
    """

    version: str
    published: str | None
    requires_python: str | None


async def releases_of(indexes: Sequence[str], name: str) -> dict[str, Release] | None:
    """The releases by normalised version from the first index that has the project; None when no index says.

    Raises AdapterFailure: package-not-found when every index denies it, registry-unavailable when one cannot be asked.
    """
    denied = False
    for index in indexes:
        if urlsplit(index).scheme not in {"http", "https"}:
            continue
        try:
            page = await anyio.to_thread.run_sync(_fetch, index, name, abandon_on_cancel=True)
        except FileNotFoundError:
            denied = True
            continue
        return None if page is None else parse_releases(page)
    if denied:
        raise AdapterFailure(Cause.PACKAGE_NOT_FOUND, f"there is no PyPI package {name}")
    return None


def normal_version(version: str) -> str:
    """A version without the differences in writing that PEP 440 ignores: case, a leading v, leading zeros."""
    text = version.lower().removeprefix("v")
    return ".".join(str(int(part)) if part.isdigit() else part for part in text.split("."))


def _fetch(index: str, name: str) -> Mapping[str, object] | None:
    normal = re.sub(r"[-_.]+", "-", name).lower()
    url, headers = _authorised(f"{index.rstrip('/')}/{normal}/")
    request = urllib.request.Request(url, headers={"Accept": _JSON, **headers})  # noqa: S310 - http and https only, see above
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310 - as above
            body = cast(bytes, response.read(_MAX_BYTES))
            is_json = "json" in response.headers.get_content_type()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise FileNotFoundError(name) from error
        raise AdapterFailure(
            Cause.REGISTRY_UNAVAILABLE, f"the package index answers {error.code} for {name}"
        ) from error
    except (OSError, ValueError) as error:
        raise AdapterFailure(Cause.REGISTRY_UNAVAILABLE, f"the package index cannot be asked: {error}") from error
    return cast(Mapping[str, object], json.loads(body)) if is_json else None


def _authorised(url: str) -> tuple[str, dict[str, str]]:
    """The URL without its credentials, and the header that carries them; those of the netrc file count too."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user and parts.hostname:
        user, password = _from_netrc(parts.hostname)
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return plain, {"Authorization": f"Basic {token}"} if user else {}


def _from_netrc(host: str) -> tuple[str, str]:
    try:
        found = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return "", ""
    return (found[0], found[2]) if found else ("", "")


def parse_releases(page: Mapping[str, object]) -> dict[str, Release]:
    """Read a project page in JSON form: one release per version, without yanked files."""
    releases: dict[str, Release] = {}
    for file in cast(Sequence[Mapping[str, object]], page.get("files", [])):
        version = _version_of(str(file.get("filename", "")))
        if version is None or file.get("yanked") is True:
            continue
        known = releases.get(normal_version(version))
        releases[normal_version(version)] = _merged(version, file, known)
    return releases


def _merged(version: str, file: Mapping[str, object], known: Release | None) -> Release:
    uploaded = cast(str | None, file.get("upload-time"))
    dates = [each for each in (uploaded, known.published if known else None) if each]
    needed = cast(str | None, file.get("requires-python")) or (known.requires_python if known else None)
    return Release(version=version, published=min(dates, default=None), requires_python=needed)


def _version_of(filename: str) -> str | None:
    """The version in the name of a wheel (second part) or a source archive (last part)."""
    if not _ARCHIVE.search(filename):
        return None
    stem = _ARCHIVE.sub("", filename)
    parts = stem.split("-")
    if filename.endswith(".whl"):
        return parts[1] if len(parts) > 1 else None
    return parts[-1] if len(parts) > 1 else None
