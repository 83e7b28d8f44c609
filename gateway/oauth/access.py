"""Who may use what, by static tokens and by those of identity providers; one list of rules for both.

A caller's rules are those of its token's name, or of the groups that its provider says it is in. Where several apply,
each may give something: what is listed and called is all of it together. Rules of a provider are named `GROUP` or
`PROVIDER:GROUP`, and `*` or `PROVIDER:*` for everybody whom it knows. Two safeguards: with several providers only the
full form counts, so that none of them can put its users into another's groups; and a name that a static token has is
that token's alone.

A verified token is remembered by its hash until it expires or its issuer's keys change. Number and size are bounded.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from gateway.access import Grant, Limits, ToolPolicy
from gateway.oauth.issuer import Issuer, KeysUnavailable
from gateway.oauth.providers import AGGREGATE, Identity, Provider
from gateway.oauth.resource import Resources
from gateway.oauth.tokens import BadToken, is_token, read_token_head, verify
from gateway.problems import Problem, ProblemKind, Refused

MAX_REMEMBERED: Final = 10_000
EVERYBODY: Final = "*"
_SCHEME = b"bearer "
_MAX_HEADER_BYTES = 17 * 1024

Servers = Mapping[str, Sequence[str]]
"""Tool patterns by server pattern: `{"github": ["get_*"], "wiki-*": ["*"]}`. The first pattern that fits counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """All that is configured about callers."""

    tokens: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """SHA-256 of each static token, in hexadecimal, by its name. The tokens themselves are nowhere."""
    providers: Sequence[Provider] = ()
    access: Mapping[str, Servers] = field(default_factory=dict[str, Servers])
    """What each name opens."""
    limits: Mapping[str, Limits] = field(default_factory=dict[str, Limits])
    """How much each name may ask for; the first that fits a caller counts, `*` fits all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRule:
    """One static token: whose it is, its hash, and what it opens."""

    name: str
    sha256: str = field(repr=False)
    """Of the token, in hexadecimal. The token itself is nowhere."""
    servers: Servers


@dataclass(frozen=True, slots=True)
class _Verified:
    identity: Identity
    generation: int


class BearerAccess:
    """Implements `Access` for bearer tokens of all kinds."""

    def __init__(
        self,
        rules: AccessRules,
        resources: Resources,
        issuers: Sequence[Issuer],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`issuers` are those of the rules' providers. `now` is the clock, in Unix seconds, that tokens expire by."""
        self._rules = rules
        self._resources = resources
        self._issuers = {issuer.provider.issuer: issuer for issuer in issuers}
        self._now = now
        self._verified: dict[bytes, _Verified] = {}

    @property
    def generation(self) -> int:
        """Grows when keys change: what was decided with the old ones has to be decided again."""
        return sum(issuer.generation for issuer in self._issuers.values())

    def admit(self, authorization: bytes | None, server: str, *, aggregate: bool = False) -> Grant | None:
        """As `Access.admit`."""
        token = self._token(authorization, AGGREGATE if aggregate else server)
        name = self._static_name(token)
        if name is not None:
            return self._grant((name,), name, server, None)
        identity = self._identity(token, server, aggregate=aggregate)
        if aggregate and identity.missing_scopes(server):
            return None
        names = tuple(self._names_of(identity))
        return self._grant(names, identity.principal, server, self._expiry(identity))

    def _grant(self, names: Sequence[str], principal: str, server: str, expires_at_s: float | None) -> Grant | None:
        policies = [policy for each in names if (policy := self._opened(each, server)) is not None]
        if not policies:
            return None
        patterns = tuple(dict.fromkeys(pattern for policy in policies for pattern in policy))
        return Grant(
            principal=principal,
            tools=None if "*" in patterns else ToolPolicy(patterns),
            expires_at_s=expires_at_s,
            limits=self._limits_of(names),
        )

    def _token(self, authorization: bytes | None, resource: str) -> bytes:
        if authorization is None:
            raise self._resources.unauthenticated(resource, "This gateway needs a token.")
        token = authorization[len(_SCHEME) :].strip()
        if not authorization.lower().startswith(_SCHEME) or not token or len(authorization) > _MAX_HEADER_BYTES:
            detail = "The Authorization header is no bearer token."
            raise self._resources.unauthenticated(resource, detail, error="invalid_request")
        return token

    def _static_name(self, token: bytes) -> str | None:
        """Every hash is compared in full, so that time tells nothing about tokens."""
        digest = hashlib.sha256(token).hexdigest()
        names = [name for name, sha256 in self._rules.tokens.items() if hmac.compare_digest(sha256, digest)]
        return names[0] if names else None

    def _identity(self, token: bytes, server: str, *, aggregate: bool) -> Identity:
        """Who calls, with a token that is good for the address that was called.

        Raises:
            Refused: it is not good (401, 403), or nobody can say (503).
            Undecided: keys have to be fetched first.
        """
        resource = AGGREGATE if aggregate else server
        try:
            identity = self._remembered(token) or self._verify(token)
            allowed = {*identity.provider.audiences, self._resources.url(resource)}
            if not allowed & identity.audiences:
                raise BadToken("The token is made out to another address.")
        except BadToken as error:
            raise self._resources.unauthenticated(resource, str(error), error="invalid_token") from error
        except KeysUnavailable as error:
            raise _nobody_can_say(error) from error
        if identity.missing_scopes(resource):
            raise self._resources.insufficient(resource, identity.provider)
        return identity

    def _remembered(self, token: bytes) -> Identity | None:
        known = self._verified.get(hashlib.sha256(token).digest())
        if known is None or known.identity.expires_at_s <= self._now():
            return None
        issuer = self._issuers[known.identity.provider.issuer]
        issuer.check()
        return known.identity if known.generation == issuer.generation else None

    def _verify(self, token: bytes) -> Identity:
        if not self._issuers or not is_token(token):
            raise BadToken("The token is not one that this gateway knows.")
        head = read_token_head(token)
        issuer = self._issuers.get(head.issuer)
        if issuer is None:
            raise BadToken("The token is of an issuer that this gateway does not know.")
        identity = verify(token, head, issuer.key_for(head), issuer.provider)
        if identity.expires_at_s <= self._now():
            raise BadToken("The token has expired.")
        self._remember(token, _Verified(identity, issuer.generation))
        return identity

    def _remember(self, token: bytes, verified: _Verified) -> None:
        if len(self._verified) >= MAX_REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[hashlib.sha256(token).digest()] = verified

    def _expiry(self, identity: Identity) -> float:
        """Also the moment from which the issuer's keys have to be looked at again ends what was decided."""
        looks_again_in_s = self._issuers[identity.provider.issuer].looks_again_in_s
        return min(identity.expires_at_s, self._now() + max(looks_again_in_s, 0.0))

    def _names_of(self, identity: Identity) -> Iterator[str]:
        """Under which names of the rules a caller is meant."""
        groups = sorted(identity.groups - {EVERYBODY})
        for group in (*groups, EVERYBODY):
            if len(self._issuers) == 1 and group not in self._rules.tokens:
                yield group
            yield f"{identity.provider.name}:{group}"

    def _opened(self, name: str, server: str) -> Sequence[str] | None:
        servers = self._rules.access.get(name, {})
        return next((tools for pattern, tools in servers.items() if fnmatchcase(server, pattern)), None)

    def _limits_of(self, names: Sequence[str]) -> Limits | None:
        fitting = (limits for name, limits in self._rules.limits.items() if name in names or name == EVERYBODY)
        return next(fitting, None)


def token_access(rules: Sequence[TokenRule]) -> BearerAccess:
    """For a gateway that knows static tokens alone, and so announces nobody who would issue others."""
    known = AccessRules(
        tokens={rule.name: rule.sha256 for rule in rules}, access={rule.name: rule.servers for rule in rules}
    )
    return BearerAccess(known, Resources("", ()), ())


def _nobody_can_say(error: KeysUnavailable) -> Refused:
    return Refused(
        Problem(
            kind=ProblemKind.ISSUER_UNAVAILABLE,
            detail="The keys of the token's issuer cannot be had at the moment.",
            hint="Try again later; the gateway's log says what is wrong with the issuer.",
            headers=((b"retry-after", b"%d" % max(1, int(error.retry_s))),),
        )
    )
