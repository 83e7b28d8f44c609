"""Who may use the servers of a fleet through its gateway."""

from typing import Annotated

from pydantic import Field

from schemas.v1.common_address import Aggregate
from schemas.v1.identity import Caller, CallerLimits, IdentityProvider
from schemas.v1.part import Part
from schemas.v1.terms import Name, Sha256, Text


class Token(Part):
    """One static token, kept as its hash."""

    sha256: Sha256 = Field(
        title="SHA-256",
        description="SHA-256 of the token, 64 lower-case hexadecimal digits. Make the token of 32 random bytes: a hash "
        "of something that can be guessed protects nothing.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )


class Auth(Part):
    """How callers prove who they are."""

    tokens: dict[Name, Token] = Field(
        default_factory=dict,
        title="Tokens",
        description="Static tokens by the name of who has them. Callers send `Authorization: Bearer TOKEN`.",
        examples=[{"ci": {"sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}}],
    )

    oidc: dict[Name, IdentityProvider] = Field(
        default_factory=dict,
        title="Identity providers",
        description="OpenID Connect issuers by a name of your own, which stands before their users and groups. Their "
        "users sign in there, and what they may use is decided by `access`.",
        examples=[{"corp": {"issuer": "https://login.acme.com/realms/acme", "scopes": ["mcp"]}}],
    )


ToolPatterns = Annotated[tuple[Text, ...], Field(strict=False, min_length=1)]


class Gateway(Part):
    """The gateway of the fleet."""

    auth: Auth = Field(
        default_factory=Auth,
        title="Authentication",
        description="How callers prove who they are: by static tokens, or by those of identity providers.",
        examples=[{"tokens": {"ci": {"sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}}}],
    )
    access: dict[Caller, dict[Text, ToolPatterns]] = Field(
        default_factory=dict,
        title="Access",
        description="What each of them may use, by the name of a token or of a group, or by `PROVIDER:GROUP`; `*` is "
        "everybody whom the provider knows. Patterns of servers, each with patterns of tools (`*` and `?` as in a "
        "shell). The first pattern of servers that fits counts; what several groups give adds up.",
        examples=[{"ci": {"github": ["get_*", "list_*"], "wiki-*": ["*"]}, "corp:platform": {"*": ["*"]}}],
    )
    limits: dict[Caller, CallerLimits] = Field(
        default_factory=dict,
        title="Limits",
        description="How much each caller may ask for, by the same names as in `access`; `*` is everybody. The first "
        "one that fits a caller counts. Over a limit the answer is 429.",
        examples=[{"ci": {"requests_per_minute": 120, "burst": 20}, "*": {"concurrent": 10, "calls_per_day": 5000}}],
    )
    aggregate: Aggregate = Field(
        default_factory=Aggregate,
        title="Aggregate",
        description="How the tools of all servers are named at `/mcp`, the one address for all of them.",
        examples=[{"prefix": "unless-alone"}],
    )
