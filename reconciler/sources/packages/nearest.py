"""What was probably meant when a version does not exist."""

from collections.abc import Iterable
from difflib import SequenceMatcher

from reconciler.core.types import PackageReference
from reconciler.errors import SourceError

NAMED = 3


def missing_version(reference: PackageReference, available: Iterable[str]) -> SourceError:
    """The error for a version that does not exist, with those that are most like it."""
    ranked = sorted(available, key=lambda version: SequenceMatcher(None, reference.version, version).ratio())
    nearest = ", ".join(reversed(ranked[-NAMED:]))
    return SourceError(
        "version-not-found",
        f"{reference.registry}:{reference.name} has no version {reference.version}",
        hint=f"the nearest are {nearest}" if nearest else "no version can be installed",
    )


def missing_package(reference: PackageReference) -> SourceError:
    """The error for a package that does not exist."""
    other = "pypi" if reference.registry == "npm" else "npm"
    return SourceError(
        "package-not-found",
        f"there is no package {reference.name} on {reference.registry}",
        hint=f"check the spelling, and that it is not a package of {other}",
    )
