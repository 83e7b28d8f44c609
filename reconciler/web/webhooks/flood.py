"""How much of the webhooks is in memory at once. Anybody can knock; who may come in is known only by the whole body.

Nothing is counted per second: a limit on knocks would let whoever forges a thousand a second turn GitHub away, which
does not come again by itself. A forged knock costs a hash over a bounded body; the bodies together are bounded too, by
the bytes that have come and not by those that are announced, so that announcing much and sending nothing takes no room.
"""

from typing import Final, Self

from litestar.types import Receive

MOST_BYTES_AT_ONCE: Final = 32 * 2**20
"""All bodies that are being read or checked: a thousand of the size that matters."""
SMALL_BYTES: Final = 128 * 2**10
"""What Catwalk acts on is some 30 KB."""
KEPT_FOR_SMALL: Final = 0.5
"""The share of the room that no larger body gets, so that a few vast ones keep no push out."""


class TooMuchAtOnce(Exception):
    """There is no room for more of this body now."""


class TooLarge(Exception):
    """The body is larger than any that is read."""


class Gone(Exception):
    """The sender hung up."""


class BodyBudget:
    """The room for bodies. Everything is called on the event loop's thread."""

    __slots__ = ("left", "most")

    def __init__(self, most_bytes: int = MOST_BYTES_AT_ONCE) -> None:
        self.most = self.left = most_bytes


class Room:
    """The room that one body takes, as a context; it is given back at the end."""

    __slots__ = ("_budget", "_taken")

    def __init__(self, budget: BodyBudget) -> None:
        self._budget, self._taken = budget, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.left += self._taken
        self._taken = 0

    def take(self, size_bytes: int) -> None:
        """Takes room for more of the body.

        Raises:
            TooMuchAtOnce: as it says.
        """
        larger = self._taken + size_bytes > SMALL_BYTES
        kept = int(self._budget.most * KEPT_FOR_SMALL) if larger else 0
        if self._budget.left - size_bytes < kept:
            raise TooMuchAtOnce
        self._budget.left -= size_bytes
        self._taken += size_bytes


async def read_body(receive: Receive, room: Room, most_bytes: int) -> bytes:
    """The body of a request, of at most `most_bytes`, from the messages of its ASGI channel.

    Raises:
        TooMuchAtOnce, TooLarge, Gone: as they say.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > most_bytes:
            raise TooLarge
        room.take(len(part))
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
