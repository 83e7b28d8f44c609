"""What a failed change leaves behind, so that the next plan waits before it tries the same again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from reconciler.core.problems import Problem

HOST_FULL: Final = "host-full"
CAPACITY_CODES: Final = frozenset({HOST_FULL, "region-full", "volume-host-full"})
"""Problem codes that say there is no room where a machine is asked for. Another place or way may do."""
QUOTA_CODES: Final = frozenset({"fly-limit-reached"})
"""Problem codes that say the organization may not have one machine more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """That a change of one machine failed, how often in a row, and when it is worth another try.

    `reconciler.core.attempts.attempt_of` tells which machine and digest an action counts under.
    """

    server: str
    machine: str
    """The name of the machine, its id for a start or a stop; empty for a failure that concerns the app as a whole."""
    digest: str
    """The desired digest that failed. A setback says nothing about any other configuration. Empty for what brings no
    configuration: orders to a machine, and actions on the app."""
    code: str
    """The problem code of the last failure."""
    attempts: int
    not_before: datetime
    failed_at: datetime | None = None
    problem: Problem | None = None
    """The last failure in full, so that its server can go on saying what ails it while it waits."""
