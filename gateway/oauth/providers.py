"""An identity provider as it is configured: whose tokens count, for what, and who their bearers are."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

AGGREGATE = ""
"""In place of a server's name: the address `/mcp`, at which all servers of a caller are one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One issuer of tokens."""

    name: str
    """Stands before the names of its users and groups: `corp:alice`."""
    issuer: str
    """As it stands in the tokens (`iss`)."""
    audiences: tuple[str, ...] = ()
    """What tokens may be made out to (`aud`) beside the address that is called."""
    scopes: tuple[str, ...] = ()
    """What every token must be good for."""
    server_scopes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Further scopes by patterns of servers; the first that fits counts."""
    username_claim: str = "sub"
    groups_claim: str = "groups"
    jwks_url: str = ""
    """Where its keys are, for an issuer that does not publish metadata."""

    def required_scopes(self, server: str) -> tuple[str, ...]:
        """All scopes that a call of that server needs, each once."""
        further = next((scopes for pattern, scopes in self.server_scopes if fnmatchcase(server, pattern)), ())
        return tuple(dict.fromkeys((*self.scopes, *(further if server != AGGREGATE else ()))))

    @property
    def all_scopes(self) -> tuple[str, ...]:
        """Every scope that matters anywhere."""
        return tuple(dict.fromkeys((*self.scopes, *(scope for _, scopes in self.server_scopes for scope in scopes))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a verified token belongs to, and what it is good for."""

    provider: Provider
    username: str
    groups: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    audiences: frozenset[str] = frozenset()
    expires_at_s: float
    """Unix time after which it is no longer accepted."""

    @property
    def principal(self) -> str:
        """Its name everywhere in the gateway."""
        return f"{self.provider.name}:{self.username}"

    def missing_scopes(self, server: str) -> Sequence[str]:
        """Which of the scopes that a server needs the token lacks."""
        return [scope for scope in self.provider.required_scopes(server) if scope not in self.scopes]
