"""What readers get from the store besides the values of the core and those of `reconciler.loop.history`."""

from dataclasses import dataclass
from datetime import datetime

from reconciler.core.actions import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """An action that was about to happen and whose outcome nobody recorded: the process ended in between."""

    number: int
    """The pass."""
    action: Action
    recorded_at: datetime
