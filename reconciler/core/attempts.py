"""Under which name an action's failures are counted, and what they tell the next plan.

A create or an update counts for its machine's name and the digest that it brings: another configuration starts afresh.
An order that brings no configuration counts for the machine alone, an action on the app for the server alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from reconciler.core.actions import (
    Action,
    AllocateAddress,
    Cordon,
    Create,
    CreateApp,
    Destroy,
    DestroyApp,
    SetSecrets,
    Start,
    Stop,
    Uncordon,
    Update,
)
from reconciler.core.parts import Wait
from reconciler.core.setbacks import Setback


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What a setback is remembered by, beside the server."""

    machine: str = ""
    digest: str = ""


THE_APP: Final = Attempt()
"""What concerns the app as a whole."""


def attempt_of(action: Action) -> Attempt:
    """What an action counts under."""
    match action:
        case Create() | Update():
            return Attempt(machine=action.machine.name, digest=action.machine.digest)
        case Cordon() | Uncordon() | Destroy():
            return Attempt(machine=action.machine_name)
        case Start() | Stop():
            return Attempt(machine=action.machine_id)
        case CreateApp() | AllocateAddress() | SetSecrets() | DestroyApp():
            return THE_APP
        case _:
            assert_never(action)


def setback_of(attempt: Attempt, setbacks: Sequence[Setback]) -> Setback | None:
    """What is remembered of an attempt, whether its time has come or not; the latest where several are."""
    found = [setback for setback in setbacks if (setback.machine, setback.digest) == (attempt.machine, attempt.digest)]
    return max(found, key=lambda setback: setback.not_before, default=None)


def still_waiting(setback: Setback | None, now: datetime | None) -> bool:
    """Whether an attempt must wait because of it. Without a time nothing waits."""
    return setback is not None and now is not None and setback.not_before > now


def waiting_words(setback: Setback) -> str:
    """Until when, and why, in words."""
    times = "once" if setback.attempts == 1 else f"{setback.attempts} times"
    return f"{setback.not_before:%H:%M:%S} UTC, because it failed {times}, last with {setback.code}"


def wait_for(attempt: Attempt, setbacks: Sequence[Setback], now: datetime | None) -> Wait | None:
    """What an attempt waits for because it failed before; nothing if its time has come."""
    found = setback_of(attempt, setbacks) if setbacks else None
    if found is None or not still_waiting(found, now):
        return None
    return Wait(until=waiting_words(found), not_before=found.not_before)
