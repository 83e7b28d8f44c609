"""What a registry says about one version of a package: facts alone, no judgement.

Registries differ in what they tell. A fact that nobody told is empty or None and never guessed, so that every rule can
tell "there is none" from "not known".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.core.types import PackageReference


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where a person reads on; each empty where the package names none."""

    repository: str = ""
    changelog: str = ""
    homepage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of one package."""

    package: PackageReference
    """With the exact version."""
    published_at: datetime | None = None
    """When its first file was uploaded."""
    package_since: datetime | None = None
    """When the package first had any version."""
    executables: Mapping[str, str] | None = None
    """Name to the program that it starts; None where only an installation tells."""
    runtime: str = ""
    """npm: `engines.node`; PyPI: `requires-python`. Empty where every runtime is fine."""
    deprecated: str = ""
    """npm: why its author advises against it."""
    yanked: str = ""
    """PyPI: why it was withdrawn (PEP 592); a dash where no reason is given."""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """File name to its digest: `sha512-BASE64` as npm writes it (Subresource Integrity), `sha256:HEX` for PyPI."""
    newest: str = ""
    """The version that an unpinned installation would take."""
    registry_name: str = ""
    """Its name in the official MCP registry, where the package states one (`mcpName`, `mcp-name:`)."""
    links: Links = field(default_factory=Links)
