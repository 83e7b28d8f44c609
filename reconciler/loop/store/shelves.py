"""Texts under keys, for what other rooms must remember and the loop need not understand.

A shelf belongs to one purpose. Its texts come back in the order in which their keys first came, because whoever sends
them sends the oldest first.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from reconciler.loop.store.tables import kept_texts

MOST_KEYS_A_STATEMENT: Final = 500
"""Parameters of one statement: SQLite takes 999 in its older builds."""

_Transaction = Callable[[Callable[[Connection], Any]], Awaitable[Any]]


class Shelf:
    """One shelf. Implements `reconciler.loop.ports.TextShelf`."""

    def __init__(self, name: str, read: _Transaction, write: _Transaction) -> None:
        self._name, self._read, self._write = name, read, write

    async def load(self) -> Sequence[tuple[str, str]]:
        found: Sequence[tuple[str, str]] = await self._read(lambda connection: read_texts(connection, self._name))
        return found

    async def save(self, texts: Mapping[str, str]) -> None:
        await self._write(lambda connection: write_texts(connection, self._name, texts))

    async def forget(self, keys: Collection[str]) -> None:
        await self._write(lambda connection: remove_texts(connection, self._name, keys))


def read_texts(connection: Connection, shelf: str) -> Sequence[tuple[str, str]]:
    """All of a shelf: key and text."""
    query = select(kept_texts.c.key, kept_texts.c.text).where(kept_texts.c.shelf == shelf).order_by(kept_texts.c.id)
    return [(row.key, row.text) for row in connection.execute(query)]


def write_texts(connection: Connection, shelf: str, texts: Mapping[str, str]) -> None:
    """Adds or replaces these."""
    for key, text in texts.items():
        mine = (kept_texts.c.shelf == shelf) & (kept_texts.c.key == key)
        if connection.execute(update(kept_texts).where(mine).values(text=text)).rowcount == 0:
            connection.execute(insert(kept_texts).values(shelf=shelf, key=key, text=text))


def remove_texts(connection: Connection, shelf: str, keys: Collection[str]) -> None:
    """Removes these; one that is not there is no fault."""
    wanted = list(keys)
    for start in range(0, len(wanted), MOST_KEYS_A_STATEMENT):
        part = wanted[start : start + MOST_KEYS_A_STATEMENT]
        mine = (kept_texts.c.shelf == shelf) & kept_texts.c.key.in_(part)
        connection.execute(delete(kept_texts).where(mine))


def claim_text(connection: Connection, shelf: str, key: str, text: str, *, replace: bool) -> str:
    """Puts a text where there is none, or in any case where `replace`; gives what then stands there."""
    mine = (kept_texts.c.shelf == shelf) & (kept_texts.c.key == key)
    known = connection.execute(select(kept_texts.c.text).where(mine)).scalar_one_or_none()
    if known is not None and not replace:
        return str(known)
    write_texts(connection, shelf, {key: text})
    return text
