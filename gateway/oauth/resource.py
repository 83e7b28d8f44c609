"""What the gateway says of itself as a protected resource: metadata (RFC 9728) and challenges (RFC 6750, RFC 9728).

Every server's address is a resource of its own, and so is `/mcp`. All addresses are made of the configured one, never
of a request's headers: a client compares `resource` with the address that it called. Metadata is the same for a server
that exists and one that does not.
"""

from collections.abc import Sequence

from gateway.oauth.providers import AGGREGATE, Provider
from gateway.problems import Problem, ProblemKind, Refused

WELL_KNOWN = "/.well-known/oauth-protected-resource"
_HINT = "Send Authorization: Bearer with a token for this address."


class Resources:
    """The addresses of one gateway and who issues tokens for them."""

    def __init__(self, base_url: str, providers: Sequence[Provider]) -> None:
        """`base_url` is the gateway's public address without a slash at its end."""
        self._base_url = base_url.rstrip("/")
        self._providers = tuple(providers)

    def url(self, server: str) -> str:
        """The address of a server, which is what tokens are made out to."""
        return self._base_url + _path(server)

    def metadata(self, server: str) -> dict[str, object] | None:
        """The metadata document of a server's address; None where nobody issues tokens."""
        if not self._providers:
            return None
        scopes = [scope for provider in self._providers for scope in provider.required_scopes(server)]
        document: dict[str, object] = {
            "resource": self.url(server),
            "authorization_servers": [provider.issuer for provider in self._providers],
            "bearer_methods_supported": ["header"],
        }
        return document | ({"scopes_supported": list(dict.fromkeys(scopes))} if scopes else {})

    def unauthenticated(self, server: str, detail: str, *, error: str = "") -> Refused:
        """401. Without a token the challenge names no error (RFC 6750 section 3.1)."""
        parameters = [("error", error), ("error_description", detail)] if error else []
        parameters += [("scope", self._common_scopes(server)), ("resource_metadata", self._metadata_url(server))]
        return _refused(ProblemKind.UNAUTHENTICATED, detail, parameters)

    def insufficient(self, server: str, provider: Provider) -> Refused:
        """403, with every scope that the server needs at once."""
        detail = "The token is not good for this server."
        parameters = [
            ("error", "insufficient_scope"),
            ("scope", " ".join(provider.required_scopes(server))),
            ("resource_metadata", self._metadata_url(server)),
            ("error_description", detail),
        ]
        return _refused(ProblemKind.INSUFFICIENT_SCOPE, detail, parameters)

    def _metadata_url(self, server: str) -> str:
        return self._base_url + WELL_KNOWN + _path(server) if self._providers else ""

    def _common_scopes(self, server: str) -> str:
        """What to ask for, where it is the same whomever is asked: a provider refuses scopes that it does not have."""
        wanted = {provider.required_scopes(server) for provider in self._providers}
        return " ".join(wanted.pop()) if len(wanted) == 1 else ""


def _path(server: str) -> str:
    return "/mcp" if server == AGGREGATE else f"/servers/{server}/mcp"


def _refused(kind: ProblemKind, detail: str, parameters: Sequence[tuple[str, str]]) -> Refused:
    told = ", ".join(f'{name}="{value}"' for name, value in parameters if value)
    challenge = f"Bearer {told}" if told else "Bearer"
    header = (b"www-authenticate", challenge.encode("ascii"))
    return Refused(Problem(kind=kind, detail=detail, hint=_HINT, headers=(header,)))
