"""Three versions of a text to one, line by line: what only one side changed is taken, what both changed differently is
a conflict. Pure; the texts never leave the memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedLines:
    """The joined text; where there are conflicts it has git's markers."""

    text: str = field(repr=False)
    conflicts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Region:
    """The same lines in all three versions."""

    base: int
    ours: int
    theirs: int
    length: int


def merge_lines(base: str, ours: str, theirs: str) -> MergedLines:
    """The merge of two descendants of `base`."""
    texts = tuple(text.splitlines(keepends=True) for text in (base, ours, theirs))
    merged: list[str] = []
    conflicts = 0
    at = (0, 0, 0)
    for region in _common(*texts):
        starts = (region.base, region.ours, region.theirs)
        chunk = tuple(tuple(text[begin:end]) for text, begin, end in zip(texts, at, starts, strict=True))
        joined = _joined(*chunk)
        conflicts += joined is None
        merged += _with_markers(chunk[1], chunk[2]) if joined is None else joined
        merged += texts[1][region.ours : region.ours + region.length]
        at = (region.base + region.length, region.ours + region.length, region.theirs + region.length)
    return MergedLines(text="".join(merged), conflicts=conflicts)


def _joined(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> Sequence[str] | None:
    if theirs in (base, ours):
        return ours
    return theirs if ours == base else None


def _with_markers(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    return ["<<<<<<< ours\n", *_ended(ours), "=======\n", *_ended(theirs), ">>>>>>> theirs\n"]


def _ended(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield line if line.endswith("\n") else line + "\n"


def _common(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> Iterator[_Region]:
    """Where all three agree, in order; at the end an empty region."""
    with_theirs = list(SequenceMatcher(None, base, theirs, autojunk=False).get_matching_blocks())
    for one in SequenceMatcher(None, base, ours, autojunk=False).get_matching_blocks():
        for other in with_theirs:
            start = max(one.a, other.a)
            length = min(one.a + one.size, other.a + other.size) - start
            if length > 0:
                yield _Region(base=start, ours=one.b + start - one.a, theirs=other.b + start - other.a, length=length)
    yield _Region(base=len(base), ours=len(ours), theirs=len(theirs), length=0)
