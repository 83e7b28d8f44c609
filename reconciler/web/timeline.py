"""How a server fared, as a band of time: from verdicts that changed to the pieces that a page draws.

A piece lasts from one change of the verdict to the next. Changes that follow each other closer than a reader could see
are drawn as one piece in the worst of their states, so that a short failure never hides between two good hours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from reconciler.core.types import ServerState
from reconciler.web.documents import TransitionDocument

WIDTH: Final = 1000
"""Of the drawing, in its own units."""
NARROWEST: Final = 4
"""What a reader still sees."""
LONGEST_SHOWN: Final = timedelta(days=7)
_BY_BADNESS: Final = (
    ServerState.FAILED,
    ServerState.HELD,
    ServerState.DEGRADED,
    ServerState.PENDING,
    ServerState.INSTALLING,
    ServerState.STARTING,
    ServerState.SUSPENDED,
    ServerState.IDLE,
    ServerState.READY,
)
_WELL: Final = frozenset({ServerState.READY, ServerState.IDLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One stretch of time in one state."""

    state: str
    begun_at: datetime
    ended_at: datetime
    x: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The pieces, oldest first, and what share of the time the server was well."""

    pieces: tuple[Piece, ...]
    begun_at: datetime
    ended_at: datetime
    well: float
    """From 0 to 1; time asleep counts as well, time suspended not at all."""


def timeline(history: Sequence[TransitionDocument], now: datetime) -> Timeline | None:
    """The band of a server; none where nothing is known of it yet.

    Args:
        history: changes of the verdict, newest first.
        now: the end of the band.
    """
    if not history or history[-1].at >= now:
        return None
    begun_at = max(history[-1].at, now - LONGEST_SHOWN)
    stretches = [found for found in _stretches(history, now) if found[2] > begun_at]
    span_s = (now - begun_at).total_seconds()
    pieces = [
        Piece(
            state=state,
            begun_at=max(start, begun_at),
            ended_at=end,
            x=round((max(start, begun_at) - begun_at).total_seconds() / span_s * WIDTH, 2),
            width=round((end - max(start, begun_at)).total_seconds() / span_s * WIDTH, 2),
        )
        for state, start, end in stretches
    ]
    return Timeline(pieces=tuple(_seen(pieces)), begun_at=begun_at, ended_at=now, well=_share(pieces))


def _stretches(history: Sequence[TransitionDocument], now: datetime) -> Iterator[tuple[str, datetime, datetime]]:
    ends = [now, *(item.at for item in history[:-1])]
    for item, end in zip(reversed(history), reversed(ends), strict=True):
        if end > item.at:
            yield item.state, item.at, end


def _seen(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Pieces that are wide enough, narrow neighbours drawn together."""
    held: Piece | None = None
    for piece in pieces:
        held = piece if held is None else _joined(held, piece)
        if held.width >= NARROWEST:
            yield held
            held = None
    if held is not None:
        yield _widened(held)


def _joined(first: Piece, second: Piece) -> Piece:
    worst = min((first.state, second.state), key=_badness)
    return Piece(
        state=worst,
        begun_at=first.begun_at,
        ended_at=second.ended_at,
        x=first.x,
        width=round(second.x + second.width - first.x, 2),
    )


def _widened(piece: Piece) -> Piece:
    """The last piece, when it has only just begun."""
    return Piece(
        state=piece.state,
        begun_at=piece.begun_at,
        ended_at=piece.ended_at,
        x=min(piece.x, WIDTH - NARROWEST),
        width=NARROWEST,
    )


def _badness(state: str) -> int:
    return next((place for place, known in enumerate(_BY_BADNESS) if known == state), len(_BY_BADNESS))


def _share(pieces: Sequence[Piece]) -> float:
    counted = [piece for piece in pieces if piece.state != ServerState.SUSPENDED]
    whole = sum((piece.ended_at - piece.begun_at).total_seconds() for piece in counted)
    well = sum((piece.ended_at - piece.begun_at).total_seconds() for piece in counted if piece.state in _WELL)
    return well / whole if whole else 1.0
