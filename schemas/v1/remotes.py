"""A server that somebody else runs: where it is, and how the gateway proves to it who it is.

Values name secrets of the server as `${NAME}`; what is secret never stands here itself.
"""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from schemas.v1.addresses import OutsideURL
from schemas.v1.identity import Scopes
from schemas.v1.part import NotNull, Part, without_null

HEADER_PATTERN: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$"
TEMPLATE_PATTERN: Final = r"^[\x20-\x7e]{1,2000}$"
REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""How a value names a secret of the server."""
RESERVED_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect", "keep-alive"}
    | {"content-type", "accept", "accept-encoding", "content-encoding", "user-agent", "origin", "last-event-id"}
    | {"traceparent", "tracestate", "baggage", "proxy-authorization"}
)
_SECRET_HEADERS: Final = frozenset({"authorization", "cookie", "x-api-key", "api-key"})


def _check_header(value: str) -> str:
    name = value.lower()
    if not re.fullmatch(HEADER_PATTERN, value):
        raise PydanticCustomError(
            "bad-header", "{text}", {"text": "is no name of a header", "hint": "for example `Authorization`"}
        )
    if name in RESERVED_HEADERS or name.startswith(("mcp-", "catwalk-", "fly-")):
        raise PydanticCustomError(
            "bad-header", "{text}", {"text": "is a header that the gateway writes itself", "hint": "remove it"}
        )
    return value


def _check_template(value: str) -> str:
    if not re.fullmatch(TEMPLATE_PATTERN, value) or value != value.strip():
        raise PydanticCustomError(
            "bad-header",
            "{text}",
            {"text": "is no value that a header can have", "hint": "one line of ASCII, for example `Bearer ${TOKEN}`"},
        )
    return value


def _check_secret_template(value: str) -> str:
    if not REFERENCE.search(value):
        raise PydanticCustomError(
            "unencrypted-secret",
            "{text}",
            {
                "text": "is not encrypted",
                "hint": "treat the value as leaked and replace it; put it into the server's `secrets` and name it "
                "here, as `${NAME}`",
            },
        )
    return _check_template(value)


def named_secrets(template: str) -> tuple[str, ...]:
    """The secrets that a value names, in the order in which they stand there."""
    return tuple(REFERENCE.findall(template))


HeaderName = Annotated[
    str, AfterValidator(_check_header), WithJsonSchema({"type": "string", "pattern": HEADER_PATTERN})
]
Template = Annotated[
    str, AfterValidator(_check_template), WithJsonSchema({"type": "string", "pattern": TEMPLATE_PATTERN})
]
SecretTemplate = Annotated[
    str,
    AfterValidator(_check_secret_template),
    WithJsonSchema({"type": "string", "pattern": r"^[\x20-\x7e]*\$\{[A-Za-z_][A-Za-z0-9_]*\}[\x20-\x7e]*$"}),
]


class RemoteOAuth(Part):
    """The gateway gets a token for the server by the client credentials grant."""

    token_url: OutsideURL = Field(
        title="Token address",
        description="The token endpoint of the server's authorization server.",
        examples=["https://login.example.com/oauth/token"],
    )
    client_id: Template = Field(
        title="Client id", description="The gateway's client id there.", examples=["catwalk", "${CLIENT_ID}"]
    )
    client_secret: SecretTemplate = Field(
        title="Client secret",
        description="The secret of that client: a secret of the server, named as `${NAME}`.",
        examples=["${CLIENT_SECRET}"],
    )
    scopes: Scopes = Field(
        default=(), title="Scopes", description="The scopes to ask for.", examples=[["read", "write"]]
    )
    method: Literal["basic", "post"] = Field(
        default="basic",
        title="Method",
        description="How the client proves who it is: `basic` in the header, `post` in the form.",
        examples=["post"],
    )


class Remote(Part):
    """A server that somebody else runs, reached by Streamable HTTP."""

    url: OutsideURL = Field(
        title="Address",
        description="The address of its MCP endpoint, `https://…`. Credentials belong in `headers` or `oauth`.",
        examples=["https://mcp.linear.app/mcp"],
    )
    headers: dict[HeaderName, Template] = Field(
        default_factory=dict,
        title="Headers",
        description="Headers that every request carries. `${NAME}` is the value of a secret of the server.",
        examples=[{"Authorization": "Bearer ${LINEAR_TOKEN}"}],
    )
    oauth: Annotated[RemoteOAuth | None, NotNull] = Field(
        default=None,
        json_schema_extra=without_null,
        title="OAuth",
        description="A token of the client credentials grant, kept fresh, in place of one that never changes.",
        examples=[
            {
                "token_url": "https://login.example.com/oauth/token",
                "client_id": "catwalk",
                "client_secret": "${CLIENT_SECRET}",
            }
        ],
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [name.lower() for name in self.headers]
        if len(set(names)) < len(names):
            text, hint = "has a header twice", "the case of a header's name does not matter"
            raise PydanticCustomError("duplicate-header", "{text}", {"text": text, "hint": hint})
        if self.oauth is not None and "authorization" in names:
            text, hint = "has both `oauth` and an `Authorization` header", "keep one of the two"
            raise PydanticCustomError("duplicate-header", "{text}", {"text": text, "hint": hint})
        for name, value in self.headers.items():
            if name.lower() in _SECRET_HEADERS and not REFERENCE.search(value):
                text = f"has a `{name}` header that is not encrypted"
                hint = "treat the value as leaked and replace it; put it into `secrets` and name it as `${NAME}`"
                raise PydanticCustomError("unencrypted-secret", "{text}", {"text": text, "hint": hint})
        return self
