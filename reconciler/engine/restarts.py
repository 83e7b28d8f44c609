"""Whether a machine whose command has ended is started again: the restart policy, as a decision.

Fly's rules (docs, "Machine restart policy"): `no` never; `always` whatever the exit code; `on-failure` when it is not
0, at most `max_retries` times. Tries are counted in a window of five minutes, so that a server which crashes once a
day is never given up. The growing pause between them is the engine's own: Fly does not document its pause.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.engine.config import Restart
from reconciler.engine.records import Exit
from reconciler.engine.settings import Timings

WINDOW_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Start it again, after a pause."""

    pause_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """Leave it stopped."""

    exhausted: bool = False
    """Whether it would have been started again, had it not been tried too often."""


def decide(policy: Restart, ended: Exit, exit_ages_s: Sequence[float], timings: Timings) -> Again | Stay:
    """What follows an exit nobody asked for.

    Args:
        policy: the machine's `restart`.
        ended: how the command ended.
        exit_ages_s: how long ago each earlier exit was that nobody asked for, in seconds; this one not included.
        timings: gives the pauses.
    """
    if policy.policy == "no" or (policy.policy == "on-failure" and ended.code == 0):
        return Stay()
    recent = sum(1 for age_s in exit_ages_s if age_s < WINDOW_S)
    if policy.policy == "on-failure" and recent >= policy.max_retries:
        return Stay(exhausted=True)
    return Again(pause_s=min(timings.backoff_first_s * 2 ** min(recent, 16), timings.backoff_limit_s))
