"""Which newer versions there are for the packages of a fleet, as values to show and to write."""

import re
from dataclasses import dataclass
from datetime import datetime

from packaging.version import InvalidVersion, Version

from reconciler.core.releases import Links, Release
from reconciler.core.types import PackageReference, Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """One server and the version that it could run."""

    server: str
    now: str
    package: PackageReference
    """With the new version."""
    published_at: datetime | None = None
    reading: str = ""
    """Where a person reads what changed; empty where the package names no place."""


def upgrade_to(server: str, now: str, newest: Release) -> Upgrade | None:
    """The upgrade of a server; None where it runs the newest version, or one that is newer still."""
    if not is_newer(newest.package.registry, newest.package.version, now):
        return None
    return Upgrade(
        server=server,
        now=now,
        package=newest.package,
        published_at=newest.published_at,
        reading=changes_page(newest.links),
    )


def changes_page(links: Links) -> str:
    """The changelog; else the releases of a repository on GitHub; else whatever page there is."""
    if links.changelog:
        return links.changelog
    if links.repository.startswith("https://github.com/"):
        return f"{'/'.join(links.repository.split('/')[:5])}/releases"
    return links.repository or links.homepage


def is_newer(registry: Registry, candidate: str, than: str) -> bool:
    """Whether a version comes after another one in the order of its registry; an unknown one comes before all."""
    if not than or candidate == than:
        return candidate != than
    if registry is Registry.NPM:
        return _npm_order(candidate) > _npm_order(than)
    try:
        return Version(candidate) > Version(than)
    except InvalidVersion:
        return False


def _npm_order(version: str) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]:
    """Precedence of SemVer 2.0.0, section 11: numbers, then no pre-release before one, then its parts."""
    numbers, _, before = version.partition("+")[0].partition("-")
    parts = tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in before.split(".") if part)
    return tuple(int(number) for number in re.findall(r"\d+", numbers)), not before, parts
