"""What a failed change leaves behind, so that the next plan waits before it tries the same again."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """That a change of one machine failed, how often in a row, and when it is worth another try."""

    server: str
    machine: str
    """The name of the desired machine; empty for a failure that concerns the app as a whole."""
    digest: str
    """The desired digest that failed. A setback says nothing about any other configuration."""
    code: str
    """The problem code of the last failure."""
    attempts: int
    not_before: datetime
