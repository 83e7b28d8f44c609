"""Whether a package name looks like that of a well-known server and is another one.

Packages are taken by typing mistakes and by publishers who count on them. Three shapes are told: a name that is a slip
or two away from a well-known one, a well-known name without its scope, and the same name in the other registry, where
half of the names belong to somebody else. Most names of MCP servers share words such as `mcp-server-`, so that slips
count in what is left without these: `mcp-server-gcp` is no slip for `mcp-server-git`.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from packaging.utils import canonicalize_name

from reconciler.core.types import PackageReference, Registry
from reconciler.core.well_known import NAMES

_SHARED: Final = frozenset({"mcp", "server", "servers"})
_SLIPS: Final = ((4, 0), (9, 1))
"""Below so many characters of its own, a name may be so many slips away; two from there on."""


def lookalike_of(package: PackageReference) -> str:
    """The well-known package that a name looks like, as `npm:NAME`; empty where it is one itself or looks like none."""
    return _lookalike(package.registry, _normal(package.registry, package.name))


@lru_cache(maxsize=16_384)
def _lookalike(registry: Registry, name: str) -> str:
    """Remembered, because every pass asks about every server, and names do not change their looks."""
    known = NAMES[registry]
    if name in known:
        return ""
    near = next(_near(name, known), "")
    if near:
        return f"{registry}:{near}"
    other = Registry.PYPI if registry is Registry.NPM else Registry.NPM
    return f"{other}:{name}" if name in NAMES[other] else ""


def _near(name: str, known: frozenset[str]) -> Iterator[str]:
    scope = _scope(name)
    for candidate in sorted(known):
        if scope and scope == _scope(candidate):
            continue  # A scope has one publisher.
        if (candidate.partition("/")[2] == name and _own_words(name)) or _is_slip(name, candidate):
            yield candidate


def _is_slip(name: str, candidate: str) -> bool:
    if edit_distance("-".join(_words(name)), "-".join(_words(candidate)), 2) > 2:
        return False
    own = _own_words(candidate)
    if set(own) <= set(_words(name)):
        return True  # The slip is in the words that all share.
    length = len(" ".join(own))
    most = next((slips for limit, slips in _SLIPS if length < limit), 2)
    return edit_distance(" ".join(_own_words(name)), " ".join(own), most) <= most


@lru_cache(maxsize=1_024)
def _words(name: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[-_./@]+", name) if word)


def _own_words(name: str) -> tuple[str, ...]:
    return tuple(word for word in _words(name) if word not in _SHARED)


def _scope(name: str) -> str:
    return name.partition("/")[0] if name.startswith("@") else ""


def _normal(registry: Registry, name: str) -> str:
    return str(canonicalize_name(name)) if registry is Registry.PYPI else name.lower()


def edit_distance(left: str, right: str, most: int) -> int:
    """How many insertions, deletions, replacements and swaps of neighbours apart two words are.

    The optimal string alignment distance. Anything above `most` is given as `most` + 1.
    """
    if abs(len(left) - len(right)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        above, before, row = before, row, [i]
        for j, b in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
        if min(row) > most and min(before) > most:
            return most + 1
    return min(row[-1], most + 1)
