"""Give a client what its outbox receives: one JSON body where possible, an event stream where something must go before.

JSON first, because a status can still be chosen and because clients limit the size of an event but not that of a body.
A stream begins with the first message that is not the answer, or after fifteen seconds of silence, and then carries a
comment every fifteen seconds so that nothing on the way takes it for dead.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from types import TracebackType

import anyio

from gateway.adapter.http.outbox import ClientGone, Reader, Reply
from gateway.adapter.http.wire import (
    EVENT_STREAM_HEADERS,
    KEEP_ALIVE_COMMENT,
    Exchange,
    respond,
    start,
    write,
)

KEEP_ALIVE_S = 15.0
_QUICK_S = 0.05
_STALLED_S = 60.0
_WRITE_BYTES = 64 * 1024
_NO_END = sys.maxsize

Headers = Sequence[tuple[bytes, bytes]]


async def answer(exchange: Exchange, reader: Reader, *, headers: Headers = (), expected: int = 1) -> bool:
    """Answer a POST with what the reader takes, until `expected` final messages have come.

    Returns False when the client leaves first. The watch for that begins after 50 ms, because most calls are over by
    then and a task for each would be the largest part of their cost.
    """
    try:
        first = await reader.take(_QUICK_S)
        if first is not None and first.final and expected == 1:
            await _send_json(exchange, first, headers)
            return True
    except ClientGone:
        return False
    async with _Watch(exchange, reader):
        return await _answer_slowly(exchange, reader, first, (headers, expected))


async def stream(exchange: Exchange, reader: Reader, is_over: Callable[[], bool]) -> None:
    """Serve a GET stream until the client leaves, the outbox is closed or `is_over`. Raises nothing for any.

    Thousands of these wait at once, so that every function between this one and the queue counts.
    """
    opening = reader.opening(None)
    async with _Watch(exchange, reader):
        try:
            await start(exchange, 200, EVENT_STREAM_HEADERS)
            await write(exchange, KEEP_ALIVE_COMMENT + opening, more=True)
            while not is_over():
                body, _ = _events(reader, await reader.take(KEEP_ALIVE_S), _NO_END)
                await _write(exchange, body, more=True)
        except ClientGone:
            pass  # Its session may also have been closed while the client still listens: end the body in either case.
        finally:
            reader.leave()
    await write(exchange, b"", more=False)


class _Watch:
    """Tells a reader that the client of its exchange has gone, for as long as the block runs."""

    __slots__ = ("_exchange", "_group", "_reader", "_watching")

    def __init__(self, exchange: Exchange, reader: Reader) -> None:
        self._exchange = exchange
        self._reader = reader
        self._group: asyncio.TaskGroup | None = None
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        connection = self._exchange.connection
        if connection is None:
            self._group = await asyncio.TaskGroup().__aenter__()
            self._watching = self._group.create_task(self._wait())
        elif connection.is_lost:
            self._reader.leave()
        else:
            connection.on_lost = self._reader.leave

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._exchange.connection is not None:
            self._exchange.connection.on_lost = None
        if self._watching is not None and self._group is not None:
            self._watching.cancel()
            await self._group.__aexit__(kind, error, trace)

    async def _wait(self) -> None:
        while (await self._exchange.receive())["type"] != "http.disconnect":
            pass
        self._reader.leave()


async def _answer_slowly(exchange: Exchange, reader: Reader, first: Reply | None, shape: tuple[Headers, int]) -> bool:
    headers, expected = shape
    try:
        first = first or await reader.take(KEEP_ALIVE_S - _QUICK_S)
        if first is not None and first.final and expected == 1:
            await _send_json(exchange, first, headers)
        else:
            await start(exchange, 200, [*EVENT_STREAM_HEADERS, *headers])
            await _write(exchange, reader.opening(first), more=True)
            await _send_events(exchange, reader, first, expected)
    except ClientGone:
        reader.leave()
        return False
    return True


async def _send_events(exchange: Exchange, reader: Reader, reply: Reply | None, expected: int) -> None:
    remaining = expected
    while True:
        body, finals = _events(reader, reply, remaining)
        remaining -= finals
        await _write(exchange, body, more=remaining > 0)
        if not remaining:
            return
        reply = await reader.take(KEEP_ALIVE_S)


def _events(reader: Reader, first: Reply | None, remaining: int) -> tuple[bytes, int]:
    """A message with all that wait behind it, for one write: each of them costs more than a message does. The second
    value is how many of them are final.
    """
    if first is None:
        return KEEP_ALIVE_COMMENT, 0
    events, finals, size = [reader.event(first)], int(first.final), len(first.body)
    while size < _WRITE_BYTES and finals < remaining and (reply := reader.take_at_once()) is not None:
        events.append(reader.event(reply))
        finals += reply.final
        size += len(reply.body)
    return b"".join(events), finals


async def _write(exchange: Exchange, body: bytes, *, more: bool) -> None:
    """A client that takes nothing for a minute is gone, whatever its connection says."""
    if not body and more:
        return
    try:
        with anyio.fail_after(_STALLED_S):
            await write(exchange, body, more=more)
    except TimeoutError as error:
        raise ClientGone from error


async def _send_json(exchange: Exchange, reply: Reply, headers: Headers) -> None:
    await respond(exchange, reply.status, reply.body, headers=headers)
