"""Which versions to name when the wanted one does not exist: its neighbours and the newest."""

import re
from collections.abc import Iterable


def nearest_versions(wanted: str, available: Iterable[str]) -> list[str]:
    """The next older, the next newer and the newest version, in that order, without repetition."""
    ordered = sorted(available, key=_numbers)
    older = [each for each in ordered if _numbers(each) < _numbers(wanted)][-1:]
    newer = [each for each in ordered if _numbers(each) >= _numbers(wanted)][:1]
    return list(dict.fromkeys([*older, *newer, *ordered[-1:]]))


def missing_version(package: str, wanted: str, available: Iterable[str]) -> str:
    """The sentence for a version that does not exist."""
    nearest = nearest_versions(wanted, available)
    if not nearest:
        return f"{package} has no version {wanted}"
    return f"{package} has no version {wanted}; the nearest: {', '.join(nearest)}"


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
