"""npm's version ranges, as far as `engines.node` uses them (node-semver, "Ranges").

Alternatives with `||`, conjunctions by spaces, comparators, `^`, `~`, hyphen ranges, partial versions with `x` or `*`.
A range that cannot be read admits everything, because npm itself only warns about engines.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

Triple: TypeAlias = tuple[int, int, int]
_Interval: TypeAlias = tuple[Triple, Triple]
"""From, and up to but not including."""

_END: Final[Triple] = (10**9, 0, 0)
_START: Final[Triple] = (0, 0, 0)
_PARTIAL: Final = re.compile(r"v?(\d{1,9}|[xX*])(?:\.(\d{1,9}|[xX*]))?(?:\.(\d{1,9}|[xX*]))?(?:[-+][0-9A-Za-z.+-]*)?")
_COMPARATOR: Final = re.compile(r"(>=|<=|>|<|=|\^|~>?)?\s*(\S+)")
_HYPHEN: Final = re.compile(r"\s*(\S+)\s+-\s+(\S+)\s*")
_DETACHED: Final = re.compile(r"(>=|<=|>|<|=|\^|~>?)\s+")


class _UnreadableError(ValueError):
    """The text is outside the grammar."""


def satisfied_by_any(range_text: str, versions: Iterable[Triple]) -> bool:
    """Whether one of the versions is inside the range; an empty or unreadable range admits all."""
    try:
        alternatives = [list(_intervals(part)) for part in range_text.split("||")]
    except _UnreadableError:
        return True
    return any(all(low <= version < high for low, high in part) for version in versions for part in alternatives)


def _intervals(text: str) -> Iterator[_Interval]:
    if hyphen := _HYPHEN.fullmatch(text):
        yield _partial(hyphen[1])[0], _partial(hyphen[2])[1]
        return
    for word in _DETACHED.sub(r"\1", text).split():
        yield _comparator(word)


def _comparator(text: str) -> _Interval:
    match = _COMPARATOR.fullmatch(text)
    if match is None:
        raise _UnreadableError(text)
    low, high = _partial(match[2])
    kinds: dict[str, _Interval] = {
        ">=": (low, _END),
        ">": (high, _END),
        "<": (_START, low),
        "<=": (_START, high),
        "^": (low, _END if high == _END else max(high, _caret_end(low))),
        "~": (low, max(high, (low[0], low[1] + 1, 0))),
        "~>": (low, max(high, (low[0], low[1] + 1, 0))),
    }
    return kinds.get(match[1] or "", (low, high))


def _caret_end(low: Triple) -> Triple:
    """Up to the next change of the leftmost number that is not zero."""
    if low[0]:
        return low[0] + 1, 0, 0
    return (0, low[1] + 1, 0) if low[1] else (0, 0, low[2] + 1)


def _partial(text: str) -> _Interval:
    """What a possibly partial version stands for: `22` is everything from 22.0.0 to before 23.0.0."""
    match = _PARTIAL.fullmatch(text)
    if match is None:
        raise _UnreadableError(text)
    numbers: list[int] = []
    for part in match.groups():
        if part is None or not part.isdigit():
            break
        numbers.append(int(part))
    if not numbers:
        return _START, _END
    low = (*numbers, 0, 0)[:3]
    high = [*numbers[:-1], numbers[-1] + 1, 0, 0][:3]
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])
