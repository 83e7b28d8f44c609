"""How long GitHub wants to be left alone, read from one of its answers. Pure.

Source: GitHub docs, "Rate limits for the REST API" and "Best practices for using the REST API": obey `retry-after`;
else, when `x-ratelimit-remaining` is 0, wait until `x-ratelimit-reset`; else, for a secondary limit, at least a minute.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

SHORTEST_S: Final = 1.0
LONGEST_S: Final = 3600.0
"""The primary limit is counted by the hour; nothing that GitHub asks for in earnest is longer."""
SECONDARY_S: Final = 60.0

_LIMITED: Final = frozenset({403, 429})
_SECONDARY_WORDS: Final = ("secondary rate limit", "abuse detection")


def wait_asked_for(status: int, headers: Mapping[str, str], message: str, *, now: datetime) -> float | None:
    """Seconds to wait before the next call, or none when the answer is not about a limit.

    `headers` must find names without regard to case.
    """
    if status not in _LIMITED:
        return None
    after = _number(headers.get("retry-after"))
    if after is not None:
        return _clamped(after)
    if headers.get("x-ratelimit-remaining") == "0":
        reset = _number(headers.get("x-ratelimit-reset"))
        return _clamped(reset - now.timestamp()) if reset is not None else SECONDARY_S
    is_secondary = status == 429 or any(words in message.lower() for words in _SECONDARY_WORDS)
    return SECONDARY_S if is_secondary else None


def _clamped(seconds: float) -> float:
    return min(max(seconds, SHORTEST_S), LONGEST_S)


def _number(text: str | None) -> float | None:
    """Whole seconds, as GitHub writes them; a date or anything else is no number."""
    return float(text) if text is not None and text.strip().isascii() and text.strip().isdigit() else None
