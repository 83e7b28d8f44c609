"""The changes of state of every server since the month began, in memory: what cost and savings are computed from.

It begins with what the store kept and listens to passes from then on, so that a page that shows a thousand servers asks
no database. Losing it costs an estimate, never a decision.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from reconciler.core.savings import StateChange, Usage, server_price, usage
from reconciler.core.types import ServerSpec
from reconciler.loop.history import Transition
from reconciler.loop.progress import ProgressEvent, ServerChanged, ServerRemoved

MOST_CHANGES: Final = 2_000
"""Changes of one server that are kept: a nap every twenty minutes for a month."""


class UsageBook:
    """Listens to passes, and answers what each server cost and saved."""

    def __init__(self) -> None:
        self._changes: dict[str, list[StateChange]] = {}

    def remember(self, transitions: Iterable[Transition]) -> None:
        """Begins with what the store kept, in any order."""
        self._changes = {}
        for transition in sorted(transitions, key=lambda transition: transition.at):
            self._add(transition.server, StateChange(at=transition.at, state=transition.state))

    def on_event(self, event: ProgressEvent) -> None:
        match event:
            case ServerChanged():
                at = event.status.since
                if at is not None:
                    self._add(event.status.server, StateChange(at=at, state=event.status.state))
            case ServerRemoved():
                self._changes.pop(event.server, None)
            case _:
                return

    def usages(self, specs: Mapping[str, ServerSpec], now: datetime) -> dict[str, Usage]:
        """By server, since the first of the month (UTC). A server that no manifest names any more has no price."""
        since = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return {
            server: usage(changes, since=since, now=now, price=_price(specs.get(server)))
            for server, changes in self._changes.items()
        }

    def _add(self, server: str, change: StateChange) -> None:
        changes = self._changes.setdefault(server, [])
        if changes and changes[-1].state is change.state:
            return
        if changes and change.at < changes[-1].at:
            return
        changes.append(change)
        del changes[:-MOST_CHANGES]


def _price(spec: ServerSpec | None) -> float | None:
    return None if spec is None else server_price(spec)
