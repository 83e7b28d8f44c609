"""Long lists in pages: which part is shown, and how many parts there are. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from litestar.params import QueryParameter

ItemT = TypeVar("ItemT")
PageNumber = Annotated[int, QueryParameter(name="page", ge=1, le=100_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[ItemT]):
    """One page of a list."""

    items: Sequence[ItemT]
    number: int
    """From 1."""
    last: int
    """The number of the last page, at least 1."""
    total: int
    """Items on all pages."""
    first: int
    """The place of the first item here, from 1; 0 where there is none."""

    @property
    def is_all(self) -> bool:
        return self.last == 1


def part_of(items: Sequence[ItemT], number: int, size: int) -> Part[ItemT]:
    """The page of that number; the nearest one where there is none."""
    last = max(1, -(-len(items) // size))
    number = min(max(number, 1), last)
    begin = (number - 1) * size
    shown = items[begin : begin + size]
    return Part(items=shown, number=number, last=last, total=len(items), first=begin + 1 if shown else 0)
