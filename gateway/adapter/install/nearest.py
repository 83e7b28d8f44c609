"""Which versions to name when the wanted one does not exist."""

from collections.abc import Iterable
from difflib import SequenceMatcher


def nearest_versions(wanted: str, available: Iterable[str], count: int = 3) -> list[str]:
    """The versions whose text is most like the wanted one, best first."""
    ranked = sorted(available, key=lambda each: SequenceMatcher(None, wanted, each).ratio(), reverse=True)
    return ranked[:count]


def missing_version(package: str, wanted: str, available: Iterable[str]) -> str:
    """The sentence for a version that does not exist."""
    nearest = nearest_versions(wanted, available)
    if not nearest:
        return f"{package} has no version {wanted}"
    return f"{package} has no version {wanted}; the nearest are {', '.join(nearest)}"
