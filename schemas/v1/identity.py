"""Identity providers whose users may call, and how much a caller may ask for."""

import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from schemas.v1.addresses import IssuerURL, OutsideURL
from schemas.v1.part import NotNull, Part, without_default, without_null
from schemas.v1.terms import Text

CALLER_PATTERN: Final = r"^[^\x00-\x1f\x7f]{1,200}$"
SCOPE_PATTERN: Final = r"^[\x21\x23-\x5b\x5d-\x7e]+$"
"""A scope token (RFC 6749 section 3.3)."""
CLAIM_PATTERN: Final = r"^[\x21-\x7e]{1,200}$"
MOST_PER_DAY: Final = 100_000_000


def _check_caller(value: str) -> str:
    if not re.fullmatch(CALLER_PATTERN, value):
        raise PydanticCustomError(
            "bad-caller",
            "{text}",
            {
                "text": "names nobody: 1 to 200 characters that can be printed",
                "hint": "write the name of a token, a group, or `PROVIDER:GROUP`",
            },
        )
    return value


def _check_scope(value: str) -> str:
    if not re.fullmatch(SCOPE_PATTERN, value):
        raise PydanticCustomError(
            "bad-scope",
            "{text}",
            {"text": "is no scope", "hint": "one scope for each entry, without spaces and quotes: `[mcp, tools:read]`"},
        )
    return value


def _check_claim(value: str) -> str:
    if not re.fullmatch(CLAIM_PATTERN, value):
        raise PydanticCustomError(
            "bad-claim",
            "{text}",
            {"text": "is no name of a claim", "hint": "write it as `groups` or as a path such as `realm_access.roles`"},
        )
    return value


Caller = Annotated[
    str, AfterValidator(_check_caller), WithJsonSchema({"type": "string", "pattern": CALLER_PATTERN, "maxLength": 200})
]
Scope = Annotated[str, AfterValidator(_check_scope), WithJsonSchema({"type": "string", "pattern": SCOPE_PATTERN})]
Claim = Annotated[str, AfterValidator(_check_claim), WithJsonSchema({"type": "string", "pattern": CLAIM_PATTERN})]
Scopes = Annotated[tuple[Scope, ...], Field(strict=False)]
Count = Annotated[int | None, NotNull]


class IdentityProvider(Part):
    """An OpenID Connect or OAuth issuer. The gateway checks its tokens and never issues one itself."""

    issuer: IssuerURL = Field(
        title="Issuer",
        description="The issuer as its tokens name it (`iss`). Its keys are found by its metadata (OpenID Connect "
        "Discovery, RFC 8414).",
        examples=["https://login.acme.com/realms/acme"],
    )
    audiences: Annotated[tuple[Text, ...], Field(strict=False)] = Field(
        default=(),
        title="Audiences",
        description="What tokens may be made out to (`aud`) beside the address of the server that is called. Needed "
        "where the issuer does not follow the `resource` that clients ask for (RFC 8707).",
        examples=[["https://mcp.acme.com"]],
    )
    scopes: Scopes = Field(
        default=(),
        title="Scopes",
        description="Scopes that every token must have. Clients are told to ask for them.",
        examples=[["mcp"]],
    )
    server_scopes: dict[Text, Scopes] = Field(
        default_factory=dict,
        title="Scopes by server",
        description="Further scopes by patterns of servers. The first pattern that fits counts.",
        examples=[{"github": ["github"], "wiki-*": ["wiki"]}],
    )
    username_claim: Claim = Field(
        default="sub",
        title="Username claim",
        description="The claim that says whose token it is. It stands in the audit log as `PROVIDER:VALUE`. With "
        "`email` the address must be verified.",
        examples=["sub", "email"],
    )
    groups_claim: Claim = Field(
        default="groups",
        title="Groups claim",
        description="The claim that holds the groups, by which access is given: a list or one text. A path such as "
        "`realm_access.roles` leads into objects.",
        examples=["groups", "realm_access.roles"],
    )
    jwks_url: OutsideURL = Field(
        default="",
        json_schema_extra=without_default,
        title="JWKS address",
        description="Where the issuer's keys are, for an issuer that publishes no metadata.",
        examples=["https://login.acme.com/keys"],
    )


class CallerLimits(Part):
    """How much one caller may ask for. What is not stated is not limited."""

    requests_per_minute: Count = Field(
        default=None,
        ge=1,
        le=1_000_000,
        json_schema_extra=without_null,
        title="Requests per minute",
        description="Requests to all servers together, on average.",
        examples=[120],
    )
    burst: Count = Field(
        default=None,
        ge=1,
        le=1_000_000,
        json_schema_extra=without_null,
        title="Burst",
        description="How many of them may come at once. As many as in a minute if not given.",
        examples=[20],
    )
    concurrent: Count = Field(
        default=None,
        ge=1,
        le=100_000,
        json_schema_extra=without_null,
        title="Concurrent calls",
        description="Calls that may be under way at a time. Open event streams do not count.",
        examples=[10],
    )
    calls_per_day: Count = Field(
        default=None,
        ge=1,
        le=MOST_PER_DAY,
        json_schema_extra=without_null,
        title="Calls per day",
        description="Calls from midnight to midnight, UTC.",
        examples=[5000],
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            text, hint = "limits nothing", "state one of the limits, or remove it"
            raise PydanticCustomError("empty-limits", "{text}", {"text": text, "hint": hint})
        if self.burst is not None and self.requests_per_minute is None:
            text, hint = "has a `burst` of no rate", "add `requests_per_minute`"
            raise PydanticCustomError("burst-without-rate", "{text}", {"text": text, "hint": hint})
        return self
