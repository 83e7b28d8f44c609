"""One call of the Machines API, described as a value before it is sent.

Everything that decides how a call is scheduled, repeated and explained stands in the description, so that the client
has one way of sending and the error table one way of judging.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from reconciler.core.digests import JSON
from reconciler.fly.rates import ORDINARY, Rate

MEBIBYTE: Final = 2**20


class Effect(StrEnum):
    """What an answer that never came means."""

    READ = "read"
    """Nothing can have happened."""
    WAIT = "wait"
    """Nothing can have happened, and running out of time is an ordinary answer."""
    WRITE = "write"
    """It may have happened."""
    REPEATABLE = "repeatable"
    """It may have happened, and doing it twice is the same as once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request to send."""

    method: str
    path: str
    """Absolute, with every part quoted: `/v1/apps/acme-time/machines`."""
    purpose: str
    """What it is for, to follow "could not": `create machine time-1 in app acme-time`."""
    action: str
    """Fly counts calls per action …"""
    subject: str
    """… and per identifier: the machine, app or organization."""
    effect: Effect = Effect.READ
    rate: Rate = ORDINARY
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    body: JSON = field(default=None, repr=False)
    nonce: str = field(default="", repr=False)
    """The lease nonce, where the machine is leased."""
    confidential: bool = False
    """The body holds secrets: neither it nor the text of the answer is ever quoted."""
    timeout_s: float = 30.0
    limit_bytes: int = 8 * MEBIBYTE
