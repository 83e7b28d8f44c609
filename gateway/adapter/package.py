"""The package that a machine runs: `npm:NAME@VERSION` or `pypi:NAME@VERSION`.

Names and versions become arguments of installers and names of folders, so everything outside the registries' own
grammars is refused.
"""

import re
from dataclasses import dataclass
from enum import Enum

_NPM_NAME = re.compile(r"(?:@[a-z0-9~_][a-z0-9._~-]*/)?[a-z0-9~_][a-z0-9._~-]*", re.IGNORECASE)
_PYPI_NAME = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE)
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]*")


class Registry(Enum):
    """The kinds of packages."""

    NPM = "npm"
    PYPI = "pypi"


class BadPackage(ValueError):
    """The text is no package of the form REGISTRY:NAME@VERSION."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRef:
    """One package. `version` None means the newest one at the time of the start."""

    registry: Registry
    name: str
    version: str | None

    def __str__(self) -> str:
        """As it is written in a manifest."""
        version = f"@{self.version}" if self.version else ""
        return f"{self.registry.value}:{self.name}{version}"

    @property
    def unscoped_name(self) -> str:
        """The last part of an npm name; the whole name otherwise."""
        return self.name.rsplit("/", 1)[-1]


def parse_package(text: str) -> PackageRef:
    """Read `npm:NAME@VERSION`, `pypi:NAME@VERSION`, or either without a version. Raises BadPackage."""
    prefix, colon, rest = text.partition(":")
    registry = next((each for each in Registry if each.value == prefix), None)
    if not colon or registry is None:
        raise BadPackage(f"{text!r} does not begin with npm: or pypi:")
    at = rest.rfind("@")
    name, version = (rest[:at], rest[at + 1 :]) if at > 0 else (rest, None)
    grammar = _NPM_NAME if registry is Registry.NPM else _PYPI_NAME
    if not grammar.fullmatch(name):
        raise BadPackage(f"{name!r} is no {registry.value} package name")
    if version is not None and not _VERSION.fullmatch(version):
        raise BadPackage(f"{version!r} is no version")
    return PackageRef(registry=registry, name=name, version=version)
