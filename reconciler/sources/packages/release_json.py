"""A release as JSON and back, for the cache on disk."""

from collections.abc import Mapping
from datetime import datetime
from typing import cast

from reconciler.core.digests import JSON
from reconciler.core.releases import Links, Release
from reconciler.core.types import PackageReference, Registry


def release_json(release: Release) -> JSON:
    """The release as a JSON value."""
    return {
        "registry": release.package.registry.value,
        "name": release.package.name,
        "version": release.package.version,
        "published_at": _text(release.published_at),
        "package_since": _text(release.package_since),
        "executables": dict(release.executables) if release.executables is not None else None,
        "runtime": release.runtime,
        "deprecated": release.deprecated,
        "yanked": release.yanked,
        "files": dict(release.files),
        "newest": release.newest,
        "registry_name": release.registry_name,
        "links": [release.links.repository, release.links.changelog, release.links.homepage],
    }


def release_of(value: JSON) -> Release:
    """The release that `release_json` wrote.

    Raises:
        ValueError, KeyError, TypeError: something else wrote it.
    """
    facts = cast("Mapping[str, JSON]", value)
    package = PackageReference(
        registry=Registry(str(facts["registry"])), name=str(facts["name"]), version=str(facts["version"])
    )
    executables = facts["executables"]
    repository, changelog, homepage = cast("list[str]", facts["links"])
    return Release(
        package=package,
        published_at=_moment(facts["published_at"]),
        package_since=_moment(facts["package_since"]),
        executables=cast("Mapping[str, str] | None", executables),
        runtime=str(facts["runtime"]),
        deprecated=str(facts["deprecated"]),
        yanked=str(facts["yanked"]),
        files=cast("Mapping[str, str]", facts["files"]),
        newest=str(facts["newest"]),
        registry_name=str(facts["registry_name"]),
        links=Links(repository=repository, changelog=changelog, homepage=homepage),
    )


def _text(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


def _moment(text: JSON) -> datetime | None:
    return datetime.fromisoformat(str(text)) if text else None
