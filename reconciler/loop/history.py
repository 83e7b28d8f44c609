"""The history for people, in a line each: passes, and changes of a state. `reconciler.loop.ports` names them."""

from dataclasses import dataclass
from datetime import datetime

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
    branch: str = ""
    """Of the revision; empty for a pass that an older version recorded, and so are the next two."""
    subject: str = ""
    """First line of the revision's message."""
    failed: int = 0
    """How many actions failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A server went from one state to another."""

    server: str
    state: ServerState
    cause: Cause | None
    detail: str
    at: datetime
    revision: str
    """The commit whose configuration the server's machine ran."""
    pass_number: int = 0
    """The pass that saw it; 0 where an older version recorded it."""
