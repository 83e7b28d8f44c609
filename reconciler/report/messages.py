"""What somebody outside is to know about one subject, and what they were told last. Pure.

A message is level-triggered: it holds what should be known now. What changes before it was sent is sent once, and what
has been told is not told again, also not after a restart.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

LONGEST_REFUSAL: Final = 300

MessageKey = tuple[str, str]
"""Channel and subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One subject on one channel."""

    channel: str
    """Who is told: `comment`, `webhook`, `slack`."""
    subject: str
    """What it is about: `pull/12`, `server/time`."""
    text: str
    """What should be known; empty once it was told."""
    digest: str
    """Of what should be known; of the parts that make it news."""
    told: str = ""
    """The digest of what was told last."""
    wanted_at: datetime
    """When this became what should be known."""
    refusal: str = ""
    """Why the channel will never take it; empty when it does."""

    @property
    def key(self) -> MessageKey:
        return self.channel, self.subject

    @property
    def waits(self) -> bool:
        """Whether it is still to be told."""
        return self.digest != self.told and not self.refusal

    @property
    def mark(self) -> str:
        """The same for every attempt to tell the same thing, so that whoever is told twice can see it."""
        parts = (self.channel, self.subject, self.digest, self.wanted_at.isoformat())
        return hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What should be known from now on."""

    channel: str
    subject: str
    text: str
    news: str = ""
    """The part of it that makes it news; all of it where empty."""
    only_after: bool = False
    """Whether it matters only where something was told, or waits, about the subject: that a server is well again."""

    @property
    def key(self) -> MessageKey:
        return self.channel, self.subject


def wanting(known: Message | None, wish: Wish, now: datetime) -> Message | None:
    """The message after a wish; none where there is nothing to remember."""
    digest = hashlib.sha256((wish.news or wish.text).encode("utf-8")).hexdigest()
    if known is None:
        if wish.only_after:
            return None
        return Message(channel=wish.channel, subject=wish.subject, text=wish.text, digest=digest, wanted_at=now)
    if known.digest == digest:
        return known
    if wish.only_after and not known.told:
        # It was over before anybody was told that it had begun.
        return replace(known, digest="", text="", refusal="")
    return replace(known, digest=digest, text=wish.text, wanted_at=now, refusal="")


def delivered(message: Message, sent: Message) -> Message:
    """The message after `sent` was told; what should be known may have changed meanwhile."""
    text = "" if message.digest == sent.digest else message.text
    return replace(message, told=sent.digest, text=text)


def refused(message: Message, sent: Message, why: str) -> Message:
    """The message after the channel refused `sent` for good."""
    return replace(message, refusal=why[:LONGEST_REFUSAL]) if message.digest == sent.digest else message
