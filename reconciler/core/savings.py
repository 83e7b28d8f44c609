"""What a server cost since a moment, what sleeping saved, and how often it was woken, from the changes of its state.

An estimate for people, by the prices of `cost`. Verdicts are passed every few seconds, so that a nap between two looks
is not seen. A server that sleeps is counted as free: its root file system costs $0.15 per GB a month, and how large it
is, is not known here. One that fails, or that the manifest suspends, counts as awake: nobody put its machine to sleep.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from reconciler.core.cost import guest_price
from reconciler.core.remotes import RemoteProgram
from reconciler.core.types import ServerSpec, ServerState

PRICED_MONTH: Final = timedelta(days=30)
"""The price table is in dollars per 30 days."""
_BY_A_CALL: Final = frozenset({ServerState.STARTING, ServerState.READY, ServerState.DEGRADED})
"""What a sleeping server becomes when it is called; an update makes it `installing` or `pending` instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """A moment at which a server became something else."""

    at: datetime
    state: ServerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One server since a moment."""

    since: datetime
    """The beginning of the period, or the first that is known of the server within it."""
    awake_s: float = 0.0
    asleep_s: float = 0.0
    wakes: int = 0
    """How often it was woken by a call."""
    last_wake_s: float | None = None
    """From the first sight of the machine starting until it answered; none where nobody looked in between."""
    cost: float | None = None
    """US dollars for the time awake; none for a size that the table does not price."""
    saved: float | None = None
    """US dollars that the time asleep would have cost awake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stay:
    """A stretch of time in one state."""

    state: ServerState
    begin: datetime
    end: datetime
    before: ServerState | None

    @property
    def seconds(self) -> float:
        return (self.end - self.begin).total_seconds()

    @property
    def is_wake(self) -> bool:
        return self.before is ServerState.IDLE and self.state in _BY_A_CALL


def usage(changes: Sequence[StateChange], *, since: datetime, now: datetime, price: float | None) -> Usage:
    """What became of a server between two moments.

    Args:
        changes: of its state, oldest first; those before `since` tell how it began.
        since: the beginning of the period.
        now: its end.
        price: dollars per 30 days awake; none where there is no price.
    """
    stays = list(_stays(changes, since, now))
    asleep_s = sum(stay.seconds for stay in stays if stay.state is ServerState.IDLE)
    awake_s = sum(stay.seconds for stay in stays if _is_awake(stay.state))
    return Usage(
        since=stays[0].begin if stays else now,
        awake_s=awake_s,
        asleep_s=asleep_s,
        wakes=sum(stay.is_wake for stay in stays if stay.begin > since),
        last_wake_s=_last_wake_s(stays),
        cost=_dollars(awake_s, price),
        saved=_dollars(asleep_s, price),
    )


def server_price(spec: ServerSpec) -> float | None:
    """Dollars per 30 days of the machines that are certainly awake when the server is: its minimum, or one."""
    if isinstance(spec.package, RemoteProgram):
        return 0.0
    price = guest_price(spec.guest)
    return None if price is None else price * max(1, spec.scale.minimum)


def _stays(changes: Sequence[StateChange], since: datetime, now: datetime) -> Iterator[_Stay]:
    end = StateChange(at=now, state=ServerState.PENDING)
    before: ServerState | None = None
    for change, following in pairwise((*changes, end)):
        begin, until = max(change.at, since), min(following.at, now)
        if until > begin:
            yield _Stay(state=change.state, begin=begin, end=until, before=before)
        before = change.state


def _is_awake(state: ServerState) -> bool:
    """A server that is pending has no machine yet."""
    return state not in {ServerState.IDLE, ServerState.PENDING}


def _last_wake_s(stays: Sequence[_Stay]) -> float | None:
    """Of the newest wake; none when it is not over, or was over before anybody looked."""
    newest = next((place for place in reversed(range(len(stays))) if stays[place].is_wake), None)
    if newest is None or stays[newest].state is not ServerState.STARTING:
        return None
    arrived = newest + 1 < len(stays) and stays[newest + 1].state is ServerState.READY
    return stays[newest].seconds if arrived else None


def _dollars(seconds: float, price: float | None) -> float | None:
    return None if price is None else price * seconds / PRICED_MONTH.total_seconds()
