"""Who may use the gateway, as the revision in force has it.

The rules follow the passes: a new revision counts as soon as it is accepted, and a process that stands by, or one that
has just started, takes those that the store remembers. Where no manifest says anything, a gateway that others can reach
lets nobody in, unless whoever started it said otherwise.
"""

import hashlib
import hmac

from gateway.access import Access, Grant, OpenAccess, TokenAccess, TokenRule
from reconciler.core.actions import Pass
from reconciler.core.gateway_rules import GatewayRules
from reconciler.loop.progress import PassFinished, ProgressEvent, RevisionAccepted


class FollowedAccess:
    """Implements the gateway's `Access` and listens to the passes."""

    def __init__(self, *, open_without_rules: bool) -> None:
        """`open_without_rules` lets everybody in while no manifest states who may."""
        self._open_without_rules = open_without_rules
        self._rules = GatewayRules()
        self._access: Access = OpenAccess() if open_without_rules else TokenAccess(())
        self._generation = 0

    @property
    def generation(self) -> int:
        """Grows with every change of the rules."""
        return self._generation

    @property
    def closed(self) -> bool:
        """Whether nobody is let in, because no manifest says who may."""
        return not self._rules.tokens and not self._open_without_rules

    def admit(self, authorization: bytes | None, server: str) -> Grant | None:
        """As the rules of now have it.

        Raises:
            Refused: the credential is missing or not good.
        """
        return self._access.admit(authorization, server)

    def knows(self, token: bytes) -> bool:
        """Whether a token is one of those that the rules name, whatever it opens."""
        digest = hashlib.sha256(token).hexdigest()
        return any(hmac.compare_digest(digest, known.sha256) for known in self._rules.tokens)

    def remember(self, latest: Pass | None) -> None:
        """Takes the rules of the last recorded pass."""
        if latest is not None and latest.gateway is not None:
            self._follow(latest.gateway)

    def on_event(self, event: ProgressEvent) -> None:
        match event:
            case RevisionAccepted():
                self._follow(event.gateway)
            case PassFinished():
                self.remember(event.finished)
            case _:
                pass

    def _follow(self, rules: GatewayRules) -> None:
        if rules == self._rules:
            return
        self._rules = rules
        self._access = self._built(rules)
        self._generation += 1

    def _built(self, rules: GatewayRules) -> Access:
        if not rules.tokens and self._open_without_rules:
            return OpenAccess()
        return TokenAccess(
            [TokenRule(name=token.name, sha256=token.sha256, servers=dict(token.servers)) for token in rules.tokens]
        )
