"""Log lines of a server that several clients share: each gets those of the level that it asked for.

Source: logging pages of the revisions 2025-11-25 (`logging/setLevel`, one level per session) and 2026-07-28 (a level
per request, silence without one). A legacy server has one level for all, so it is set to the most talkative that
anybody wants, and each line is measured again here.
"""

from gateway.adapter.upstream import Live
from gateway.protocol.messages import Message
from gateway.protocol.revisions import LOG_LEVELS

LEVELS = LOG_LEVELS
_UNKNOWN = len(LEVELS)


def rank(level: object) -> int:
    """The place of a level among the eight of RFC 5424, most talkative first; behind the last for any other value."""
    return LEVELS.index(level) if isinstance(level, str) and level in LEVELS else _UNKNOWN


def passes(message: Message, level: str | None) -> bool:
    """Whether a log line is at or above a level; without a level none is."""
    return level is not None and rank(message.params.get("level")) >= rank(level)


class ServerLevel:
    """The level of one shared legacy server: lowered when somebody wants more, never raised again."""

    def __init__(self) -> None:
        self._sent = _UNKNOWN

    @property
    def was_set(self) -> bool:
        """Whether the server writes more, or less, than it would by itself."""
        return self._sent < _UNKNOWN

    def forget(self) -> None:
        """A new process begins with its own level."""
        self._sent = _UNKNOWN

    def want(self, live: Live, level: str) -> None:
        """Have the server write lines of this level from now on, if it can log at all."""
        if "logging" not in live.handshake.capabilities or rank(level) >= self._sent:
            return
        live.connection.request_unheard("logging/setLevel", {"level": level})
        self._sent = rank(level)
