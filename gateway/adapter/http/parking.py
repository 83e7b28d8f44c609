"""Calls of modern clients whose legacy server asked something: they wait here until the client comes back with answers.

Source: "Multi round-trip requests" of revision 2026-07-28. A client may never come back, so a parked call is cancelled
when its time is over, and there is a limit to how many may wait. A state is good for one retry.
"""

import asyncio
import secrets
from typing import Protocol

from gateway.adapter.http.requeststate import Binding, InvalidState, StateSeal

PARKED_S = 300.0
_MAX_PARKED = 64


class Parked(Protocol):
    """A call that can wait."""

    binding: Binding

    def expire(self) -> None:
        """Its client did not come back in time."""
        ...


class ParkingLot:
    """See the module."""

    def __init__(self, seal: StateSeal, *, places: int = _MAX_PARKED, lifetime_s: float = PARKED_S) -> None:
        self._seal = seal
        self._places = places
        self._lifetime_s = lifetime_s
        self._calls: dict[str, tuple[Parked, asyncio.TimerHandle]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def park(self, call: Parked) -> str | None:
        """Keep a call; returns the state to give its client, None when there is no place."""
        if len(self._calls) >= self._places:
            return None
        continuation = secrets.token_urlsafe(16)
        timer = asyncio.get_running_loop().call_later(self._lifetime_s, self._expire, continuation)
        self._calls[continuation] = (call, timer)
        return self._seal.write(continuation, call.binding, self._lifetime_s)

    def claim(self, state: object, binding: Binding) -> Parked:
        """The call that a state belongs to, which no longer waits. Raises InvalidState."""
        found = self._calls.pop(self._seal.read(state, binding), None)
        if found is None:
            raise InvalidState("Invalid or expired requestState")
        call, timer = found
        timer.cancel()
        return call

    def restore(self, state: object, call: Parked) -> None:
        """Undo a claim: the retry was refused, and the client may send a better one with the same state."""
        continuation = self._seal.read(state, call.binding)
        timer = asyncio.get_running_loop().call_later(self._lifetime_s, self._expire, continuation)
        self._calls[continuation] = (call, timer)

    def forget(self, call: Parked) -> None:
        """A call that ended by itself."""
        for continuation, (each, timer) in list(self._calls.items()):
            if each is call:
                timer.cancel()
                del self._calls[continuation]

    def _expire(self, continuation: str) -> None:
        call, _ = self._calls.pop(continuation)
        call.expire()
