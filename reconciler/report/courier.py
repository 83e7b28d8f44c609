"""Tells people and programs outside what they should know, until they know it. Durable, and at most once in effect.

A channel that does not answer is tried again with growing patience and holds no other channel up. One attempt at a
time: a message whose answer was lost is told again under the same mark, and channels that can tell (a comment that
already says so, a receiver that knows the mark) make nothing of it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import anyio
import structlog
from pydantic import TypeAdapter, ValidationError

from reconciler.errors import CatwalkError, Conflict, RateLimited, Unavailable
from reconciler.loop.ports import Clock, TextShelf
from reconciler.report.messages import Message, MessageKey, Wish, delivered, refused, wanting
from reconciler.report.sending import UNTIL_OUR_TURN_S, Always, Bell, Turn, send_forever

MESSAGES: Final = "messages"
"""The shelf of the store."""
FIRST_BACKOFF_S: Final = 2.0
LONGEST_BACKOFF_S: Final = 300.0
MOST_AGE: Final = timedelta(hours=24)
"""What nobody would hear for a day is given up: a message about yesterday helps nobody."""
MOST_MESSAGES: Final = 2000
"""Subjects that are remembered."""

_log = structlog.get_logger(__name__)
_message: Final = TypeAdapter(Message)


class Channel(Protocol):
    """One way to tell somebody something."""

    async def tell(self, message: Message) -> None:
        """Tells it.

        Raises:
            CatwalkError: `RateLimited` and `Unavailable` are worth another try, everything else is not.
        """
        ...


@dataclass(slots=True)
class _Pause:
    """How a channel is doing."""

    until: datetime | None = None
    failures: int = 0


class Courier:
    """The messages of one fleet and their only sender."""

    def __init__(
        self, channels: Mapping[str, Channel], shelf: TextShelf, clock: Clock, *, turn: Turn | None = None
    ) -> None:
        self._channels, self._shelf, self._clock = channels, shelf, clock
        self._turn = turn or Always()
        self._messages: dict[MessageKey, Message] = {}
        self._loaded_for = 0
        self._pauses = {name: _Pause() for name in channels}
        self._bell = Bell()
        self._changing = anyio.Lock()

    async def want(self, wishes: Sequence[Wish]) -> None:
        """Makes what should be known durable and wakes the sender. Wanting the same again changes nothing.

        Raises:
            CatwalkError: the store cannot be written.
        """
        now = self._clock.now()
        wished = [wish for wish in wishes if wish.channel in self._channels]
        fresh = await self._change(
            lambda known: [made for wish in wished if (made := wanting(known.get(wish.key), wish, now)) is not None]
        )
        if fresh:
            self._bell.ring()

    async def subjects(self, channel: str) -> Sequence[str]:
        """What a channel was told of, or is to be.

        Raises:
            CatwalkError: the store cannot be read.
        """
        return [message.subject for message in (await self._loaded()).values() if message.channel == channel]

    async def step(self) -> float:
        """Does the next thing that is due; gives the seconds until the next may be (infinite: none is)."""
        if not self._turn.may_act():
            return UNTIL_OUR_TURN_S
        waiting = [message for message in (await self._loaded()).values() if self._matters(message)]
        if not waiting:
            return math.inf
        now = self._clock.now()
        due = next((message for message in waiting if self._left_s(message, now) <= 0), None)
        if due is None:
            return min(self._left_s(message, now) for message in waiting)
        try:
            await self._send(due)
        except Conflict:
            self._loaded_for = 0
            return UNTIL_OUR_TURN_S
        return 0.0

    async def run(self) -> None:
        """Sends forever. A fault of its own is logged and never ends the process."""
        await send_forever(self.step, self._bell)

    def _matters(self, message: Message) -> bool:
        return message.waits and message.channel in self._channels

    def _left_s(self, message: Message, now: datetime) -> float:
        until = self._pauses[message.channel].until
        left = (until - now).total_seconds() if until is not None else 0.0
        return min(left, LONGEST_BACKOFF_S)

    async def _send(self, message: Message) -> None:
        pause = self._pauses[message.channel]
        try:
            if self._clock.now() - message.wanted_at > MOST_AGE:
                raise CatwalkError("message-too-old", "nobody could be told for a day")
            await self._channels[message.channel].tell(message)
        except RateLimited as limit:
            self._hold(pause, limit.retry_after_s, message, limit)
        except Unavailable as outage:
            pause.failures += 1
            self._hold(pause, FIRST_BACKOFF_S * 2 ** min(pause.failures - 1, 16), message, outage)
        except Conflict:
            raise
        except CatwalkError as refusal:
            why = str(refusal)
            _log.error("message_refused", channel=message.channel, subject=message.subject, problem=why)
            await self._replace(message, lambda now: refused(now, message, why))
        else:
            pause.failures, pause.until = 0, None
            _log.info("message_told", channel=message.channel, subject=message.subject)
            await self._replace(message, lambda now: delivered(now, message))

    def _hold(self, pause: _Pause, seconds: float, message: Message, fault: CatwalkError) -> None:
        pause.until = self._clock.now() + timedelta(seconds=min(seconds, LONGEST_BACKOFF_S))
        _log.warning("channel_unavailable", channel=message.channel, failures=pause.failures, problem=str(fault))

    async def _replace(self, message: Message, change: Callable[[Message], Message]) -> None:
        await self._change(lambda known: [change(known[message.key])] if message.key in known else [])

    async def _loaded(self) -> dict[MessageKey, Message]:
        """A new leader reads what the last one left; a refusal may have been for a setting that is another now."""
        if self._loaded_for != self._turn.token:
            found = [_read(text) for _, text in await self._shelf.load()]
            self._messages = {message.key: message for message in found if message is not None}
            self._loaded_for = self._turn.token
        return self._messages

    async def _change(self, changes: Callable[[Mapping[MessageKey, Message]], Sequence[Message]]) -> Sequence[Message]:
        async with self._changing:
            known = await self._loaded()
            different = [message for message in changes(known) if known.get(message.key) != message]
            if different:
                await self._shelf.save({_name(message.key): _text(message) for message in different})
                known.update((message.key, message) for message in different)
                await self._forget_beyond(known)
        return different

    async def _forget_beyond(self, known: dict[MessageKey, Message]) -> None:
        settled = [message for message in known.values() if not message.waits]
        gone = sorted(settled, key=lambda message: message.wanted_at)[: max(0, len(known) - MOST_MESSAGES)]
        if gone:
            await self._shelf.forget([_name(message.key) for message in gone])
            for message in gone:
                del known[message.key]


def _name(key: MessageKey) -> str:
    return " ".join(key)


def _text(message: Message) -> str:
    return _message.dump_json(message).decode("utf-8")


def _read(text: str) -> Message | None:
    """None for one of another release: what should be known is wanted anew."""
    try:
        return _message.validate_json(text)
    except ValidationError:
        _log.warning("message_unreadable")
        return None
