"""npm's version ranges, as far as `engines.node` uses them.

Grammar: alternatives with `||`, conjunctions by spaces, comparators, `^`, `~`, hyphen ranges, partial versions with `x`
or `*`. A range that cannot be read admits everything: npm itself only warns about engines.
"""

import re
from collections.abc import Sequence

Version = tuple[int, int, int]
Bounds = tuple[Version, Version]

_TOP: Version = (10**9, 0, 0)
_PARTIAL = re.compile(r"v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:[-+].*)?")
_COMPARATOR = re.compile(r"(>=|<=|>|<|=|\^|~>?)?\s*(\S+)")
_HYPHEN = re.compile(r"(\S+)\s+-\s+(\S+)")


class UnreadableRange(ValueError):
    """The text is outside the grammar."""


def parse_version(text: str) -> Version:
    """Read `v24.1.0`; pre-release parts are left out. Raises UnreadableRange."""
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text.strip())
    if match is None:
        raise UnreadableRange(text)
    return int(match[1]), int(match[2]), int(match[3])


def satisfies(version: str, range_text: str | None) -> bool:
    """Whether a Node version is inside a range."""
    if range_text is None or not range_text.strip():
        return True
    try:
        wanted = parse_version(version)
        return any(_inside(wanted, _conjunction(part)) for part in range_text.split("||"))
    except UnreadableRange:
        return True


def _inside(version: Version, bounds: Sequence[Bounds]) -> bool:
    return all(low <= version < high for low, high in bounds)


def _conjunction(text: str) -> list[Bounds]:
    hyphen = _HYPHEN.fullmatch(text.strip())
    if hyphen is not None:
        return [(_partial(hyphen[1])[0], _partial(hyphen[2])[1])]
    joined = re.sub(r"(>=|<=|>|<|=|\^|~>?)\s+", r"\1", text)
    return [_comparator(part) for part in joined.split()]


def _comparator(text: str) -> Bounds:
    match = _COMPARATOR.fullmatch(text)
    if match is None:
        raise UnreadableRange(text)
    low, high = _partial(match[2])
    bounds: dict[str, Bounds] = {
        ">=": (low, _TOP),
        ">": (high, _TOP),
        "<": ((0, 0, 0), low),
        "<=": ((0, 0, 0), high),
        "^": (low, _next_caret(low)),
    }
    if (match[1] or "").startswith("~"):
        return low, max(high, (low[0], low[1] + 1, 0))
    return bounds.get(match[1] or "", (low, high))


def _partial(text: str) -> Bounds:
    """The half-open interval that a possibly partial version names."""
    match = _PARTIAL.fullmatch(text)
    if match is None:
        raise UnreadableRange(text)
    numbers: list[int] = []
    for part in match.groups():
        if part is None or not part.isdigit():
            break
        numbers.append(int(part))
    if not numbers:
        return (0, 0, 0), _TOP
    if len(numbers) == 1:
        return (numbers[0], 0, 0), (numbers[0] + 1, 0, 0)
    if len(numbers) == 2:
        return (numbers[0], numbers[1], 0), (numbers[0], numbers[1] + 1, 0)
    low = (numbers[0], numbers[1], numbers[2])
    return low, _after(low)


def _after(version: Version) -> Version:
    return version[0], version[1], version[2] + 1


def _next_caret(low: Version) -> Version:
    if low[0]:
        return low[0] + 1, 0, 0
    return (0, low[1] + 1, 0) if low[1] else (0, 0, low[2] + 1)
