"""Who may use the servers of a fleet through its gateway."""

from typing import Annotated

from pydantic import Field

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


ToolPatterns = Annotated[tuple[Text, ...], Field(strict=False, min_length=1)]


class Gateway(Part):
    """The gateway of the fleet."""

    auth: Auth = Field(
        default_factory=Auth,
        title="Authentication",
        description="How callers prove who they are: by static tokens.",
        examples=[{"tokens": {"ci": {"sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}}}],
    )
    access: dict[Name, dict[Text, ToolPatterns]] = Field(
        default_factory=dict,
        title="Access",
        description="What each of them may use: patterns of servers, each with patterns of tools (`*` and `?` as in a "
        "shell). The first pattern of servers that fits counts.",
        examples=[{"ci": {"github": ["get_*", "list_*"], "wiki-*": ["*"]}}],
    )
