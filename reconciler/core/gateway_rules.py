"""Who may use which servers through the gateway, as the manifests state it. Hashes only: a token is nowhere."""

from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayRules:
    """All that the manifests say about callers."""

    tokens: tuple[TokenGrant, ...] = ()
    """By name. None means that no manifest says anything about callers."""
