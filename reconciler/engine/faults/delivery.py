"""How an answer gets to the caller, or does not: whole, in a trickle, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

from reconciler.engine.clock import Clock
from reconciler.engine.faults.answers import Recorded
from reconciler.engine.faults.effects import Effect, LostAnswer, SlowBody
from reconciler.engine.serving import ABORT, AsgiApp, Message

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
BODY_LIMIT = 16 * 1024 * 1024
"""Twice what the API takes: the API is to refuse what is too large, not this door."""


async def whole_body(receive: Receive) -> tuple[bytes, Receive]:
    """The body of a request, and a `receive` that gives it again."""
    messages: list[Message] = []
    size, more = 0, True
    while more and size <= BODY_LIMIT:
        messages.append(await receive())
        size += len(messages[-1].get("body", b""))
        more = bool(messages[-1].get("more_body"))
    pending = iter(messages)

    async def again() -> Message:
        return next(pending, None) or await receive()

    return b"".join(message.get("body", b"") for message in messages), again


async def record(api: AsgiApp, scope: Message, receive: Receive) -> Recorded:
    """The answer of the API, which thereby has had its effect."""
    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    await api(scope, receive, keep)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Recorded(status=sent[0]["status"], headers=tuple(sent[0]["headers"]), body=body)


class Delivery:
    """One answer on its way."""

    def __init__(self, scope: Message, receive: Receive, send: Send, clock: Clock) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._clock = clock

    async def carry(self, answer: Recorded, effects: Sequence[Effect]) -> None:
        if any(isinstance(effect, LostAnswer) for effect in effects):
            await self.lose()
            return
        slow = next((effect for effect in effects if isinstance(effect, SlowBody)), None)
        await self._send({"type": "http.response.start", "status": answer.status, "headers": list(answer.headers)})
        if slow is not None:
            await self._trickle(answer.body, slow)
        else:
            await self._send({"type": "http.response.body", "body": answer.body})

    async def lose(self) -> None:
        """Closes the caller's connection without a word."""
        self._scope["extensions"][ABORT]["close"]()
        await self.left()

    async def left(self) -> None:
        """Returns when the caller's connection is closed."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _trickle(self, body: bytes, slow: SlowBody) -> None:
        never = asyncio.Event()
        for piece in _pieces(body, slow.pieces):
            await self._clock.wait(never, slow.pause_s)
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})


def _pieces(body: bytes, number: int) -> Iterator[bytes]:
    size = -(-len(body) // number) or 1
    for start in range(0, len(body), size):
        yield body[start : start + size]
