"""How tools are named at the common address, as the revision in force has it."""

from gateway.aggregate.names import Prefix
from reconciler.cli.followed_rules import FollowsRules
from reconciler.core.gateway_rules import GatewayRules


class FollowedNames(FollowsRules):
    """Listens to the passes; until a manifest says otherwise, names always tell their server."""

    def __init__(self) -> None:
        self._prefix = Prefix.ALWAYS

    def prefix(self) -> Prefix:
        """When names say which server they belong to."""
        return self._prefix

    def _follow(self, rules: GatewayRules) -> None:
        self._prefix = Prefix(rules.prefix.value)
