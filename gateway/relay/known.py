"""Response heads that have been parsed before, by their bytes.

Servers send the same head again and again: status, type, length, and a date that changes once a second. The same bytes
on a connection that stands between two messages mean the same each time, so a head is parsed strictly once and looked
up from then on. Kept are only heads with an announced length, without interim responses before them, that leave the
connection open; everything else goes through the parser each time. The memory is bounded in number and size.
"""

from dataclasses import dataclass, replace

from gateway.relay.wire import ResponseHead

HEAD_END = b"\r\n\r\n"
_MAX_BLOCK_BYTES = 2048
_MAX_HEADS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHead:
    """A parsed head and what follows it."""

    head: ResponseHead
    block_size: int
    content_length: int


class KnownHeads:
    """The memory of one relay."""

    __slots__ = ("_by_block",)

    def __init__(self) -> None:
        self._by_block: dict[bytes, KnownHead] = {}

    def find(self, data: bytes) -> KnownHead | None:
        """The head that `data` begins with, if it has been parsed before."""
        end = data.find(HEAD_END, 0, _MAX_BLOCK_BYTES)
        return self._by_block.get(data[: end + 4]) if end >= 0 else None

    def learn(self, data: bytes, head: ResponseHead, content_length: int) -> None:
        """Remember the head that `data` begins with; the oldest is forgotten where there are too many."""
        end = data.find(HEAD_END, 0, _MAX_BLOCK_BYTES)
        if end < 0:
            return
        block = data[: end + 4]
        if len(self._by_block) >= _MAX_HEADS:
            del self._by_block[next(iter(self._by_block))]
        known = KnownHead(head=replace(head, block=block), block_size=end + 4, content_length=content_length)
        self._by_block[block] = known
