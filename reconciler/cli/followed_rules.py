"""What the gateway follows of the passes: the rules of the newest revision that was accepted.

A new revision counts as soon as it is accepted, and a process that stands by, or one that has just started, takes what
the store remembers. A pass that accepted nothing changes nothing.
"""

from abc import ABC, abstractmethod

from reconciler.core.actions import Pass
from reconciler.core.gateway_rules import GatewayRules
from reconciler.loop.progress import PassFinished, ProgressEvent, RevisionAccepted


class FollowsRules(ABC):
    """Listens to the passes; what is done with the rules is told by whoever extends it."""

    def remember(self, latest: Pass | None) -> None:
        """Takes the rules of the last recorded pass."""
        if latest is not None and latest.gateway is not None:
            self._follow(latest.gateway)

    def on_event(self, event: ProgressEvent) -> None:
        """Takes the rules of what is accepted."""
        match event:
            case RevisionAccepted():
                self._follow(event.gateway)
            case PassFinished():
                self.remember(event.finished)
            case _:
                pass

    @abstractmethod
    def _follow(self, rules: GatewayRules) -> None:
        """Rules that count from now on; they may be those that counted before."""
