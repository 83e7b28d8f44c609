"""What an outcome does to the memory of failures: how a setback begins, grows and ends.

Pure, so that the store and the double of the tests cannot disagree. There is no jitter: one process applies the plans
of a fleet, and two servers that fail together may well be tried together.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from reconciler.core.actions import Action, Create, Destroy, DestroyApp, Outcome, Update
from reconciler.core.attempts import attempt_of
from reconciler.core.setbacks import Setback
from reconciler.core.types import OutcomeKind

FIRST_WAIT_S: Final = 5.0
LONGEST_WAIT_S: Final = 600.0
_PREPARATION: Final = ("CreateApp", "AllocateAddress", "SetSecrets")
"""What an app needs before its first machine, in this order."""
DONE: Final = frozenset({OutcomeKind.APPLIED, OutcomeKind.ADOPTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A setback and the kind of action that failed: a start that works says nothing about an update that does not."""

    setback: Setback
    kind: str
    """The class name of the action."""


def wait_s(attempts: int) -> float:
    """How long to wait after that many failures in a row: 5, 10, 20 … 600 seconds."""
    doublings = min(attempts - 1, 20)
    return min(FIRST_WAIT_S * float(2**doublings), LONGEST_WAIT_S)


def failure_after(outcome: Outcome, known: Failure | None, now: datetime) -> Failure | None:
    """The failure that is remembered for the action's machine after `outcome`; none when nothing is.

    Args:
        outcome: what came of the action.
        known: what was remembered for the same server and machine before, as `attempt_of` names them.
        now: when the action ended.
    """
    if outcome.kind in DONE:
        return None if known is None or _clears(outcome.action, known) else known
    if outcome.kind is not OutcomeKind.FAILED:
        return known
    attempt, kind = attempt_of(outcome.action), type(outcome.action).__name__
    again = known is not None and (known.setback.digest, known.kind) == (attempt.digest, kind)
    attempts = known.setback.attempts + 1 if known is not None and again else 1
    setback = Setback(
        server=outcome.action.server,
        machine=attempt.machine,
        digest=attempt.digest,
        code=outcome.problem.code if outcome.problem else "failed",
        attempts=attempts,
        not_before=now + timedelta(seconds=wait_s(attempts)),
        failed_at=now,
        problem=outcome.problem,
    )
    return Failure(setback=setback, kind=kind)


def _clears(action: Action, known: Failure) -> bool:
    """A machine that was made, changed or removed is past its failures; other actions only past their own.

    Apps are prepared step by step: who gets past a step has found done what an earlier one is said to have failed in.
    """
    kind = type(action).__name__
    if kind in _PREPARATION and known.kind in _PREPARATION:
        return _PREPARATION.index(kind) >= _PREPARATION.index(known.kind)
    return isinstance(action, Create | Update | Destroy | DestroyApp) or kind == known.kind
