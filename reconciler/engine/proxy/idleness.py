"""Which machine of an app may be put to sleep now: the platform's rule for one region, as a decision.

Fly (docs, "Autostop/autostart"): with several started machines, those above what is needed are in excess, where needed
is one more than the number of machines at their soft limit; a single one is in excess when it has nothing to do. At
most one is stopped in a pass. `min_machines_running` counts in the primary region only. This stand-in is stricter in
one point: a machine that has a request, an open event stream, or had one a moment ago is never stopped, however many
there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Autostop(StrEnum):
    """What a machine's services want done with it when it is idle."""

    OFF = "off"
    STOP = "stop"
    SUSPEND = "suspend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """One started machine of a region."""

    machine_id: str
    is_over_soft: bool
    is_idle: bool
    """Nothing under way, and nothing for long enough."""
    is_ready: bool
    autostop: Autostop
    least_running: int
    """`min_machines_running`, or 0 outside the primary region."""


def spare(started: Sequence[Started]) -> Started | None:
    """The machine to put to sleep, of all that are started in one region of one app."""
    if not _has_excess(started) or len(started) <= max(one.least_running for one in started):
        return None
    stoppable = [one for one in started if one.is_idle and one.autostop is not Autostop.OFF]
    # One that is not ready is missed by nobody.
    return min(stoppable, key=lambda one: (one.is_ready, one.machine_id), default=None)


def _has_excess(started: Sequence[Started]) -> bool:
    if len(started) <= 1:
        return bool(started) and started[0].is_idle
    return len(started) - (sum(one.is_over_soft for one in started) + 1) >= 1
