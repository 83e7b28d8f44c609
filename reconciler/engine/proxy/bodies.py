"""The body of a request on its way to a machine, remembered while a replay to another machine is possible.

Pieces are passed on as they come. Up to `REPLAY_LIMIT` bytes of them are kept until the machine has begun to answer;
a larger request streams all the same, and cannot be replayed (Fly docs, "Dynamic request routing": 1 MB).
"""

import asyncio
from contextlib import suppress

from reconciler.engine.proxy.heads import LAST_CHUNK, chunk, is_chunked
from reconciler.engine.proxy.messages import BadMessage, End, Head, Part, RequestReader, StreamEnded
from reconciler.engine.proxy.upstreams import Upstream

REPLAY_LIMIT = 1024 * 1024
"""Bytes of a request body, as framed, that can be sent again."""
LINGER_S = 1.0
"""How long a caller that was refused may go on sending."""


class RequestBody:
    def __init__(self, head: Head, requests: RequestReader) -> None:
        self._requests = requests
        self._chunked = is_chunked(head)
        self._kept: list[bytes] | None = []
        self._kept_size = 0
        self.ended = False
        """Whether it was read from the caller to its end."""

    @property
    def is_replayable(self) -> bool:
        return self._kept is not None

    def forget(self) -> None:
        """From here on no replay is possible, and nothing is remembered."""
        self._kept = None

    def whole(self) -> bytes | None:
        """All of it as a machine gets it, where all of it is here; else None, and nothing has been taken."""
        if not self.ended and not self._requests.complete():
            return None
        before = b"".join(self._kept or ())
        return before if self.ended else before + self._passed(self._requests.ready())

    async def send(self, upstream: Upstream) -> None:
        """Writes it from its beginning. Ends the machine's connection when it cannot be had, so the answer ends too."""
        try:
            upstream.writer.write(b"".join(self._kept or ()))
            while not self.ended:
                upstream.writer.write(self._passed(await self._requests.parts()))
                await upstream.writer.drain()
        except ConnectionError:
            # The machine takes no more. What it had to say before it closed is for the answer's reader to find.
            return
        except (StreamEnded, BadMessage):
            upstream.discard()

    async def discard(self) -> None:
        """Reads what is left for a moment: to close on a caller that still sends would destroy the answer it got."""
        self.forget()
        with suppress(StreamEnded, BadMessage, TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while not self.ended:
                    self._passed(await self._requests.parts())

    def _passed(self, parts: list[Part]) -> bytes:
        framed = chunks(parts) if self._chunked else plain(parts)
        self.ended = parts[-1] is End.OF_MESSAGE
        self._kept_size += len(framed)
        if self._kept_size > REPLAY_LIMIT:
            self._kept = None
        if self._kept is not None:
            self._kept.append(framed)
        return framed


def plain(parts: list[Part]) -> bytes:
    return b"".join(part for part in parts if isinstance(part, bytes))


def chunks(parts: list[Part]) -> bytes:
    pieces = [chunk(part) for part in parts if isinstance(part, bytes) and part]
    if parts[-1] is End.OF_MESSAGE:
        pieces.append(LAST_CHUNK)
    return b"".join(pieces)
