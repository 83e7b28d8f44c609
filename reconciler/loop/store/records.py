"""What readers get from the store besides the values of the core."""

from dataclasses import dataclass
from datetime import datetime

from reconciler.core.actions import Action
from reconciler.core.types import Cause, ServerState, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSummary:
    """One line of the history of passes."""

    number: int
    trigger: Trigger
    started_at: datetime
    finished_at: datetime
    commit: str
    """The revision that was looked at; empty when not even that was known."""
    applied_commit: str
    """The revision in force."""
    actions: int
    """How many actions were planned."""
    problems: int
    settled: bool
    attempts: int = 0
    """How often in a row the most stubborn failure had been tried when the pass ended; 0 when nothing was failing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A server went from one state to another."""

    server: str
    state: ServerState
    cause: Cause | None
    detail: str
    at: datetime
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """An action that was about to happen and whose outcome nobody recorded: the process ended in between."""

    number: int
    """The pass."""
    action: Action
    recorded_at: datetime
