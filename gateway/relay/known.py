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
    content_length: int


_VARYING = b"\r\nfly-request-id: "
"""Fly's proxy gives every response a number of its own. Without that one line, heads are alike again."""


def _key(data: bytes, end: int) -> bytes:
    """The block without the line that differs each time; such a line means nothing for where the message ends."""
    start = data.find(_VARYING, 0, end)
    if start < 0:
        return data[:end]
    line_end = data.index(b"\r\n", start + 2)
    is_plain = data[start + len(_VARYING) : line_end].replace(b"-", b"").isalnum()
    return data[:start] + data[line_end:end] if is_plain else data[:end]


class KnownHeads:
    """The memory of one relay."""

    __slots__ = ("_by_block",)

    def __init__(self) -> None:
        self._by_block: dict[bytes, KnownHead] = {}

    def find(self, data: bytes) -> KnownHead | None:
        """The head that `data` begins with, if it has been parsed before."""
        end = data.find(HEAD_END, 0, _MAX_BLOCK_BYTES)
        return self._by_block.get(_key(data, end + 4)) if end >= 0 else None

    def learn(self, data: bytes, head: ResponseHead, content_length: int) -> None:
        """Remember the head that `data` begins with; the oldest is forgotten where there are too many."""
        end = data.find(HEAD_END, 0, _MAX_BLOCK_BYTES)
        if end < 0:
            return
        block = _key(data, end + 4)
        if len(self._by_block) >= _MAX_HEADS:
            del self._by_block[next(iter(self._by_block))]
        self._by_block[block] = KnownHead(head=replace(head, block=block), content_length=content_length)
