"""How tools are named at the common address, as the revision in force has it."""

from gateway.aggregate.names import Prefix
from reconciler.core.actions import Pass
from reconciler.core.gateway_rules import GatewayRules
from reconciler.loop.progress import PassFinished, ProgressEvent, RevisionAccepted


class FollowedNames:
    """Listens to the passes. A process that stands by takes what the store remembers."""

    def __init__(self) -> None:
        self._prefix = Prefix.ALWAYS

    def prefix(self) -> Prefix:
        """When names say which server they belong to."""
        return self._prefix

    def remember(self, latest: Pass | None) -> None:
        """Takes what the last recorded pass had in force."""
        if latest is not None and latest.gateway is not None:
            self._follow(latest.gateway)

    def on_event(self, event: ProgressEvent) -> None:
        """Follows what is accepted."""
        match event:
            case RevisionAccepted():
                self._follow(event.gateway)
            case PassFinished():
                self.remember(event.finished)
            case _:
                pass

    def _follow(self, rules: GatewayRules) -> None:
        self._prefix = Prefix(rules.prefix.value)
