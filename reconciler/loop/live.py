"""What is known now, in memory: for readiness, the dashboard and the API.

The state is fed by the events of a pass and read without waiting, so that a page is never slower than a dictionary.
Readers that follow the events have a buffer of their own with an end: one that is slow loses the oldest events and
is told how many, and never holds up the loop.
"""

from collections import deque
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import anyio

from reconciler.core.actions import Pass
from reconciler.core.problems import Problem
from reconciler.core.types import Revision, ServerStatus, Trigger
from reconciler.loop.progress import (
    PassFinished,
    PassStarted,
    ProgressEvent,
    RevisionAccepted,
    RevisionRefused,
    ServerChanged,
    ServerRemoved,
    WarningsChanged,
)

BUFFER_EVENTS: Final = 256
"""Events that a reader may lag behind; a thousand servers that change at once tell about four thousand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One consistent reading of the live state."""

    latest: Pass | None = None
    """The newest pass that ended here."""
    remembered: Pass | None = None
    """The newest pass of the last process, or of the one that leads."""
    running: Trigger | None = None
    """Why a pass runs now; none while none does."""
    statuses: tuple[ServerStatus, ...] = ()
    """By name. Newer than those of the latest pass while a pass runs."""
    revision: Revision | None = None
    """The revision in force."""
    refusal: tuple[Problem, ...] = ()
    """Why the newest revision is not in force; empty when it is."""
    warnings: tuple[Problem, ...] = ()
    next_pass_at: datetime | None = None
    """When the loop looks again if nothing wakes it before."""

    @property
    def ready(self) -> bool:
        """Whether a first pass is done, so that routes and statuses mean something."""
        return self.latest is not None

    @property
    def newest(self) -> Pass | None:
        """The newest pass of the fleet that is known of, whoever ran it."""
        if self.latest is None or self.remembered is None:
            return self.latest or self.remembered
        return max(self.latest, self.remembered, key=lambda finished: finished.number)


class Subscription:
    """The events since it was opened, oldest first, as an asynchronous iterator without an end."""

    def __init__(self, capacity: int) -> None:
        self._events: deque[ProgressEvent] = deque(maxlen=capacity)
        self._arrived = anyio.Event()
        self.lost = 0
        """Events that were dropped because the reader was slow."""

    def put(self, event: ProgressEvent) -> None:
        if len(self._events) == self._events.maxlen:
            self.lost += 1
        self._events.append(event)
        self._arrived.set()

    def __aiter__(self) -> AsyncIterator[ProgressEvent]:
        return self

    async def __anext__(self) -> ProgressEvent:
        while not self._events:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        return self._events.popleft()


@dataclass(slots=True)
class _Known:
    latest: Pass | None = None
    remembered: Pass | None = None
    running: Trigger | None = None
    statuses: dict[str, ServerStatus] = field(default_factory=dict[str, ServerStatus])
    revision: Revision | None = None
    refusal: tuple[Problem, ...] = ()
    manifest_warnings: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


class LiveState:
    """Listens to passes and answers what is known. It belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._known = _Known()
        self._subscriptions: set[Subscription] = set()
        self.next_pass_at: datetime | None = None

    def remember(self, latest: Pass | None, statuses: tuple[ServerStatus, ...]) -> None:
        """Takes over what the store kept of another process. It does not count as a first pass."""
        self._known.remembered = latest
        self._known.statuses = {status.server: status for status in statuses}
        self._known.revision = latest.applied_revision if latest else None

    def view(self) -> View:
        known = self._known
        return View(
            latest=known.latest,
            remembered=known.remembered,
            running=known.running,
            statuses=tuple(known.statuses[name] for name in sorted(known.statuses)),
            revision=known.revision,
            refusal=known.refusal,
            warnings=(*known.manifest_warnings, *known.warnings),
            next_pass_at=self.next_pass_at,
        )

    def status(self, server: str) -> ServerStatus | None:
        """The last verdict on one server; none where there is no such server."""
        return self._known.statuses.get(server)

    @contextmanager
    def subscribe(self, *, capacity: int = BUFFER_EVENTS) -> Generator[Subscription, None, None]:
        """Follows the events from here on, until the block ends."""
        subscription = Subscription(capacity)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def on_event(self, event: ProgressEvent) -> None:
        self._learn(event)
        for subscription in self._subscriptions:
            subscription.put(event)

    def _learn(self, event: ProgressEvent) -> None:
        known = self._known
        match event:
            case PassStarted():
                known.running = event.trigger
            case RevisionAccepted():
                known.revision, known.manifest_warnings = event.revision, event.warnings
            case RevisionRefused():
                known.refusal = event.problems
            case WarningsChanged():
                known.warnings = event.warnings
            case ServerChanged():
                known.statuses[event.status.server] = event.status
            case ServerRemoved():
                known.statuses.pop(event.server, None)
            case PassFinished():
                self._finish(event.finished)
            case _:
                pass

    def _finish(self, finished: Pass) -> None:
        known = self._known
        known.latest, known.running = finished, None
        known.statuses = {status.server: status for status in finished.statuses}
        known.revision = finished.applied_revision or known.revision
        if finished.revision == finished.applied_revision:
            known.refusal = ()
