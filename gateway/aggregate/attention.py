"""Which servers a client's open stream listens to: those that it has used lately.

An open stream keeps a machine awake, so a stream of the aggregate must not hold one to every server for as long as an
editor is open. A server is listened to from a call on, and for a while after the last one; a machine that sleeps then
changes nothing that could be told. What is subscribed to is listened to for as long as the stream is open.
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False, kw_only=True)
class Board:
    """What one open stream has to listen to."""

    used_at_s: dict[str, float] = field(default_factory=dict[str, float])
    pinned: set[str] = field(default_factory=set[str])
    lists: set[str] = field(default_factory=set[str])
    """Notices of changed lists that are to be told."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, server: str, at_s: float) -> None:
        """The server is used."""
        is_new = server not in self.used_at_s
        self.used_at_s[server] = at_s
        if is_new:
            self.changed.set()

    def pin(self, server: str) -> None:
        """The server has to be listened to until the end."""
        self.pinned.add(server)
        self.changed.set()

    def wanted(self, now_s: float, linger_s: float) -> set[str]:
        """The servers to listen to now."""
        self.used_at_s = {server: at_s for server, at_s in self.used_at_s.items() if at_s > now_s - linger_s}
        return self.pinned | self.used_at_s.keys()


class Attention:
    """The boards of one gateway. `clock` counts seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._boards: dict[object, set[Board]] = {}

    @contextmanager
    def board(self, key: object) -> Generator[Board]:
        """A board for an open stream of a session, or of a principal."""
        board = Board()
        self._boards.setdefault(key, set()).add(board)
        try:
            yield board
        finally:
            self._boards[key].discard(board)
            if not self._boards[key]:
                del self._boards[key]

    def used(self, key: object, server: str) -> None:
        """A call goes to that server."""
        for board in self._boards.get(key, ()):
            board.note(server, self._clock())

    def pin(self, key: object, server: str) -> None:
        """Something of that server is subscribed to."""
        for board in self._boards.get(key, ()):
            board.pin(server)

    def list_changed(self, key: object, method: str) -> None:
        """A list is no longer what its client was given."""
        for board in self._boards.get(key, ()):
            board.lists.add(method)
            board.changed.set()

    def pulse(self) -> None:
        """Something about the fleet has changed: have every stream look again."""
        for boards in self._boards.values():
            for board in boards:
                board.changed.set()
