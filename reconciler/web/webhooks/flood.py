"""How much of the webhooks is in memory at once. Anybody can knock; who may come in is known only by the whole body.

Nothing is counted per second: a limit on knocks would let whoever forges a thousand a second turn GitHub away, which
does not come again by itself. A forged knock costs a hash over a bounded body; the bodies together are bounded too.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

MOST_BYTES_AT_ONCE: Final = 32 * 2**20
"""All bodies that are being read or checked: a thousand of the size that matters."""


class TooMuchAtOnce(Exception):
    """There is no room for one more body now."""


class BodyBudget:
    """The room for bodies. Everything is called on the event loop's thread."""

    __slots__ = ("_left",)

    def __init__(self, most_bytes: int = MOST_BYTES_AT_ONCE) -> None:
        self._left = most_bytes

    @contextmanager
    def room_for(self, size_bytes: int) -> Generator[None]:
        """Keeps room for a body while it is in use.

        Raises:
            TooMuchAtOnce: as it says.
        """
        if size_bytes > self._left:
            raise TooMuchAtOnce
        self._left -= size_bytes
        try:
            yield
        finally:
            self._left += size_bytes
