"""Who may use the gateway, as the revision in force has it.

The rules follow the passes: a new revision counts as soon as it is accepted, and a process that stands by, or one that
has just started, takes those that the store remembers. Where no manifest says anything, a gateway that others can reach
lets nobody in, unless whoever started it said otherwise. An identity provider that stays as it is keeps its keys over a
change of the rules.
"""

import hashlib
import hmac
import time
from collections.abc import Mapping

from gateway.access import Access, Grant, Limits, OpenAccess
from gateway.oauth.access import AccessRules, BearerAccess
from gateway.oauth.fetching import Fetcher
from gateway.oauth.issuer import Issuer
from gateway.oauth.providers import Provider
from gateway.oauth.resource import Resources
from gateway.relay import OutsideRules
from reconciler.cli.followed_rules import FollowsRules
from reconciler.core.gateway_rules import GatewayRules, IdentityProvider, TokenGrant


class FollowedAccess(FollowsRules):
    """Implements the gateway's `Access` and listens to the passes."""

    def __init__(self, *, open_without_rules: bool, base_url: str = "", outside: OutsideRules | None = None) -> None:
        """`open_without_rules` lets everybody in while no manifest states who may.

        `base_url` is where clients reach the gateway, which tokens are made out to; `outside` says where identity
        providers may be.
        """
        self._open_without_rules = open_without_rules
        self._base_url = base_url
        self._fetcher = Fetcher(outside or OutsideRules())
        self._issuers: dict[Provider, Issuer] = {}
        self._rules = GatewayRules()
        self._resources = Resources(base_url, ())
        self._access: Access = self._built(self._rules)
        self._generation_before = 0

    @property
    def generation(self) -> int:
        """Grows with every change of the rules, and of the keys that tokens are checked with."""
        return self._generation_before + self._access.generation

    @property
    def closed(self) -> bool:
        """Whether nobody is let in, because no manifest says who may."""
        return not self._rules.name_somebody and not self._open_without_rules

    @property
    def is_open(self) -> bool:
        """Whether everybody is let in, because no manifest says who may."""
        return not self._rules.name_somebody and self._open_without_rules

    def admit(self, authorization: bytes | None, server: str, *, aggregate: bool = False) -> Grant | None:
        """As the rules of now have it.

        Raises:
            Refused, Undecided: as `Access.admit`.
        """
        return self._access.admit(authorization, server, aggregate=aggregate)

    def metadata(self, server: str) -> Mapping[str, object] | None:
        """The OAuth metadata of a server's address; None while no manifest names an identity provider."""
        return self._resources.metadata(server)

    def knows(self, token: bytes) -> bool:
        """Whether a token is one of those that the rules name, whatever it opens."""
        return self.static_grant(token) is not None

    def static_grant(self, token: bytes) -> TokenGrant | None:
        """What a token opens that the rules name; none for every other. Every hash is compared in full."""
        digest = hashlib.sha256(token).hexdigest()
        found = [known for known in self._rules.tokens if hmac.compare_digest(digest, known.sha256)]
        return found[0] if found else None

    def _follow(self, rules: GatewayRules) -> None:
        if rules == self._rules:
            return
        before = self.generation
        self._rules = rules
        self._access = self._built(rules)
        self._generation_before = before + 1 - self._access.generation

    def _built(self, rules: GatewayRules) -> Access:
        providers = [_provider(known) for known in rules.providers]
        self._issuers = {
            provider: self._issuers.get(provider) or Issuer(provider, self._fetcher, time.monotonic)
            for provider in providers
        }
        self._resources = Resources(self._base_url, providers)
        if not rules.name_somebody and self._open_without_rules:
            return OpenAccess()
        return BearerAccess(_access_rules(rules, providers), self._resources, list(self._issuers.values()))


def _provider(known: IdentityProvider) -> Provider:
    return Provider(
        name=known.name,
        issuer=known.issuer,
        audiences=known.audiences,
        scopes=known.scopes,
        server_scopes=known.server_scopes,
        username_claim=known.username_claim,
        groups_claim=known.groups_claim,
        jwks_url=known.jwks_url,
    )


def _access_rules(rules: GatewayRules, providers: list[Provider]) -> AccessRules:
    return AccessRules(
        tokens={token.name: token.sha256 for token in rules.tokens},
        providers=providers,
        access={token.name: dict(token.servers) for token in rules.tokens}
        | {group.name: dict(group.servers) for group in rules.groups},
        limits={
            limits.name: Limits(
                requests_per_minute=limits.requests_per_minute,
                burst=limits.burst,
                concurrent=limits.concurrent,
                calls_per_day=limits.calls_per_day,
            )
            for limits in rules.limits
        },
    )
