"""Replacing spans of a text: how a decrypted file keeps its formatting."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Splice:
    """`text` in the place of what stands from `start` to `end`."""

    start: int
    end: int
    text: str = field(repr=False)


def spliced(text: str, splices: Iterable[Splice]) -> str:
    """`text` with every splice made; where two overlap, the one that begins first wins."""
    parts: list[str] = []
    done = 0
    for splice in sorted(set(splices)):
        if splice.start < done or (splice.start == done == splice.end and parts):
            continue
        parts += [text[done : splice.start], splice.text]
        done = splice.end
    return "".join([*parts, text[done:]])
