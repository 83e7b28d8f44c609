"""What a row of the error table is: which answers it fits, and the error that it makes of them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from reconciler.errors import CatwalkError
from reconciler.fly import errors
from reconciler.fly.calls import Effect

_MACHINE_ID: Final = re.compile(r"machine ID ([0-9a-z]{6,32}) already exists", re.IGNORECASE)
LONGEST_PAUSE_S: Final = 60.0
"""A longer pause than this is not slept through but left to the next pass."""
ALL_EFFECTS: Final = frozenset(Effect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that is no success."""

    status: int
    text: str
    """What the body says, in the words of its `message` or `error`, else the raw text."""
    code: str = ""
    """The `status` field of the body, Fly's machine-readable reason."""
    request_id: str = ""
    retry_after_s: float = 0.0
    """How long the API asks to be left alone; 0 where it does not say, as on Fly today."""


Build = Callable[["Rule", Answer, str], CatwalkError]


def plain(rule: "Rule", answer: Answer, message: str) -> CatwalkError:
    del answer
    return rule.error(rule.code, message, hint=rule.hint)


def already_exists(rule: "Rule", answer: Answer, message: str) -> CatwalkError:
    error = errors.AlreadyExists(rule.code, message, hint=rule.hint)
    if found := _MACHINE_ID.search(answer.text):
        error.machine_id = found.group(1)
    return error


def throttled(rule: "Rule", answer: Answer, message: str) -> CatwalkError:
    error = errors.Throttled(rule.code, message, hint=rule.hint)
    if answer.retry_after_s > 0:
        error.retry_after_s = min(answer.retry_after_s, LONGEST_PAUSE_S)
    return error


def capacity(scope: errors.CapacityScope) -> Build:
    def build(rule: "Rule", answer: Answer, message: str) -> CatwalkError:
        del answer
        error = errors.NoCapacity(rule.code, message, hint=rule.hint)
        error.scope = scope
        return error

    return build


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row: which answers it fits, and what they mean."""

    statuses: frozenset[int]
    error: type[CatwalkError]
    code: str
    hint: str = ""
    effects: frozenset[Effect] = ALL_EFFECTS
    reasons: frozenset[str] = frozenset()
    """Fits when the body's `status` is one of these …"""
    phrases: tuple[str, ...] = ()
    """… or when the text holds one of these, in lower case. Without reasons and phrases every answer fits."""
    weak: bool = False
    """The phrases count only where the body has no `status`, which otherwise outranks them."""
    build: Build = plain

    def fits(self, effect: Effect, answer: Answer) -> bool:
        """Whether this row judges the answer."""
        if answer.status not in self.statuses or effect not in self.effects:
            return False
        if answer.code in self.reasons:
            return True
        if not self.phrases:
            return not self.reasons
        readable = not (self.weak and answer.code)
        return readable and any(phrase in answer.text.lower() for phrase in self.phrases)
