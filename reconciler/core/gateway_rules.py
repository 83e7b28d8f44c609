"""Who may use which servers through the gateway, as the manifests state it. Hashes only: a token is nowhere."""

from dataclasses import dataclass
from enum import StrEnum


class NamePrefix(StrEnum):
    """When tools and prompts at the common address are named after their server."""

    ALWAYS = "always"
    UNLESS_ALONE = "unless-alone"
    """Not where the caller may use exactly one server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGrant:
    """What one static token opens."""

    name: str
    """Whose it is, for the audit log."""
    sha256: str
    """Of the token, in lower-case hexadecimal."""
    servers: tuple[tuple[str, tuple[str, ...]], ...]
    """Patterns of servers, each with its patterns of tools, in the order of the manifest: the first that fits counts.
    """

    @property
    def opens_everything(self) -> bool:
        """Whether it opens every tool of every server, by patterns that leave no doubt."""
        patterns = [server for server, _ in self.servers]
        if "*" not in patterns:
            return False
        until_all = self.servers[: patterns.index("*") + 1]
        return all("*" in tools for _, tools in until_all)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupGrant:
    """What the members of a group of an identity provider may use."""

    name: str
    """`GROUP` or `PROVIDER:GROUP`; `*` in place of the group means everybody whom the provider knows."""
    servers: tuple[tuple[str, tuple[str, ...]], ...]
    """As `TokenGrant.servers`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityProvider:
    """An issuer whose tokens count."""

    name: str
    issuer: str
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    server_scopes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    username_claim: str = "sub"
    groups_claim: str = "groups"
    jwks_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLimits:
    """How much the callers of one name may ask for; None limits nothing."""

    name: str
    requests_per_minute: int | None = None
    burst: int | None = None
    concurrent: int | None = None
    calls_per_day: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayRules:
    """All that the manifests say about callers, and about what they see."""

    tokens: tuple[TokenGrant, ...] = ()
    """By name. None means that no manifest says anything about callers."""
    providers: tuple[IdentityProvider, ...] = ()
    """By name."""
    groups: tuple[GroupGrant, ...] = ()
    """By name."""
    limits: tuple[CallerLimits, ...] = ()
    """In the order of the manifests: the first that fits a caller counts."""
    prefix: NamePrefix = NamePrefix.ALWAYS

    @property
    def name_somebody(self) -> bool:
        """Whether anybody could prove who they are."""
        return bool(self.tokens or self.providers)
