"""Where letters wait: in the store that all processes of a fleet share, or in memory for tests.

Only the process that leads writes there, and a new leader finds what the last one had still to say. Losing the store
loses nothing but posts: GitHub's own list is read again before anything is sent.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import structlog
from pydantic import TypeAdapter, ValidationError

from reconciler.loop.ports import TextShelf
from reconciler.report.letters import Letter, LetterKey

LETTERS: Final = "letters"
"""The shelf of the store."""

_log = structlog.get_logger(__name__)
_letter: Final = TypeAdapter(Letter)


class OutboxStore(Protocol):
    """Letters by commit and context. Every call is durable when it returns."""

    async def load(self) -> Sequence[Letter]:
        """All of them, in the order in which their keys first came."""
        ...

    async def save(self, letters: Sequence[Letter]) -> None:
        """Adds or replaces these, all or none."""
        ...

    async def forget(self, keys: Iterable[LetterKey]) -> None:
        """Removes these; unknown keys are no fault."""
        ...


class MemoryOutboxStore:
    """Remembers as long as the process lives."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[LetterKey, Letter] = {}

    async def load(self) -> Sequence[Letter]:
        return tuple(self._kept.values())

    async def save(self, letters: Sequence[Letter]) -> None:
        self._kept.update((letter.key, letter) for letter in letters)

    async def forget(self, keys: Iterable[LetterKey]) -> None:
        for key in keys:
            self._kept.pop(key, None)


class ShelfOutboxStore:
    """Remembers on a shelf of the store. Errors are those of `TextShelf`.

    A letter that cannot be understood, as one of another release, is passed over: what should stand is wanted anew by
    the next pass.
    """

    __slots__ = ("_shelf",)

    def __init__(self, shelf: TextShelf) -> None:
        self._shelf = shelf

    async def load(self) -> Sequence[Letter]:
        found: list[Letter] = []
        for key, text in await self._shelf.load():
            try:
                found.append(_letter.validate_json(text))
            except ValidationError:
                _log.warning("letter_unreadable", key=key)
        return found

    async def save(self, letters: Sequence[Letter]) -> None:
        await self._shelf.save({_name(letter.key): _letter.dump_json(letter).decode("utf-8") for letter in letters})

    async def forget(self, keys: Iterable[LetterKey]) -> None:
        await self._shelf.forget([_name(key) for key in keys])


def _name(key: LetterKey) -> str:
    return " ".join(key)
