"""How a server itself speaks MCP, and whether its clients share one process of it.

The words are those of the official registry's `server.json` where both have one; `sessions` is Catwalk's own.
"""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from schemas.v1.part import Part
from schemas.v1.terms import Term, published

DEFAULT_PATH: Final = "/mcp"
URL_PATH_PATTERN: Final = r"^/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*$"
"""An absolute path without query and fragment (RFC 3986, 3.3)."""


def _check_path(value: str) -> str:
    if not re.fullmatch(URL_PATH_PATTERN, value):
        raise PydanticCustomError(
            "bad-path",
            "{text}",
            {"text": "must be the path of an address, such as `/mcp`", "hint": "no host, no query, no spaces"},
        )
    return value


UrlPath = Annotated[
    Term,
    AfterValidator(_check_path),
    published(URL_PATH_PATTERN),
]
Sessions = Literal["auto", "shared", "isolated"]


class Transport(Part):
    """How the server itself speaks, inside its machine. Clients always get Streamable HTTP."""

    type: Literal["stdio", "streamable-http"] = Field(
        title="Type",
        description="`stdio`: lines on standard input and output. `streamable-http`: it serves HTTP on a port of its "
        "machine, reached by Catwalk alone.",
        examples=["streamable-http"],
    )
    port: int = Field(
        default=0,
        ge=0,
        le=65_535,
        title="Port",
        description="The port that the server listens on. 0 has Catwalk choose a free one, which the server is told in "
        "the variable `PORT`.",
        examples=[3000],
    )
    path: UrlPath = Field(
        default=DEFAULT_PATH,
        title="Path",
        description="The path of its MCP endpoint.",
        examples=["/mcp"],
    )
