"""What a pass tells while it runs: a closed set of events for the terminal, the dashboard and the log.

Events are values about what happened, never requests to do something, and none can hold a secret: they are made of
core values, which cannot, and their texts are redacted before they get here. Listeners are called on the event loop
and must return at once; one that fails is logged and does not disturb the pass.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import structlog

from reconciler.core.actions import Action, Outcome, Pass, Plan
from reconciler.core.gateway_rules import GatewayRules
from reconciler.core.problems import Problem
from reconciler.core.types import Revision, ServerStatus, Trigger
from reconciler.loop.faults import stack_of

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.loop")


@dataclass(frozen=True, slots=True, kw_only=True)
class PassStarted:
    number: int
    trigger: Trigger
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionAccepted:
    """Another revision than before is the one that the fleet is brought to."""

    revision: Revision
    warnings: tuple[Problem, ...] = ()
    gateway: GatewayRules = field(default_factory=GatewayRules)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRefused:
    """The newest revision cannot be used. Told once for each new set of problems."""

    revision: Revision | None
    """None when not even the newest revision could be found out."""
    problems: tuple[Problem, ...]
    in_force: Revision | None
    """The last good revision, which the fleet stays on; none when there is none yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningsChanged:
    """What a person should know and what stops nothing, such as a registry that does not answer."""

    warnings: tuple[Problem, ...]
    """All that hold now."""
    added: tuple[Problem, ...]
    """Those that did not hold before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMade:
    """There is something to do. Not told for an empty plan."""

    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionStarted:
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFinished:
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerChanged:
    """The verdict on a server differs from the last one in state, cause, detail, or the version it is passed on."""

    status: ServerStatus
    previous: ServerStatus | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRemoved:
    """A server that had a verdict is no longer part of the fleet."""

    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PassFinished:
    finished: Pass


ProgressEvent = (
    PassStarted
    | RevisionAccepted
    | RevisionRefused
    | WarningsChanged
    | PlanMade
    | ActionStarted
    | ActionFinished
    | ServerChanged
    | ServerRemoved
    | PassFinished
)


class Progress(Protocol):
    """Listens to a pass."""

    def on_event(self, event: ProgressEvent) -> None:
        """Takes note of an event at once, without blocking."""
        ...


class Silence:
    """Listens to nothing."""

    def on_event(self, event: ProgressEvent) -> None:
        del event


class Chorus:
    """Hands every event to several listeners. One that fails is logged, and the others still hear it."""

    def __init__(self, *listeners: Progress) -> None:
        self._listeners = listeners

    def on_event(self, event: ProgressEvent) -> None:
        for listener in self._listeners:
            try:
                listener.on_event(event)
            except Exception as error:  # noqa: BLE001  # A terminal that is gone must not stop a pass.
                log.error("listener-failed", fault=type(error).__name__, stack=stack_of(error))
