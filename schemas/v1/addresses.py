"""Addresses outside the fleet that the gateway itself calls: identity providers, remote servers.

They are https. Plain http is for loopback, where a developer runs such a thing; the gateway calls that only where it is
told to allow it. Which networks a name may lead to is checked where the connection is made, not here.
"""

import re
from typing import Annotated, Final, LiteralString

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_LOOPBACK: Final = r"(?:localhost|127\.0\.0\.1|\[::1\])"
_PATH: Final = r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?"
_QUERY: Final = r"(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
ISSUER_PATTERN: Final = rf"^(?:https://{_HOST}|http://{_LOOPBACK})(?::[0-9]{{1,5}})?{_PATH}$"
"""Without query and fragment (RFC 8414 section 2)."""
URL_PATTERN: Final = rf"^(?:https://{_HOST}|http://{_LOOPBACK})(?::[0-9]{{1,5}})?{_PATH}{_QUERY}$"
LONGEST_URL: Final = 2048


def _refuse(code: LiteralString, message: str, hint: str) -> PydanticCustomError:
    return PydanticCustomError(code, "{text}", {"text": message, "hint": hint})


def _check(value: str, pattern: str) -> str:
    if re.match(r"^https?://[^/]*@", value):
        raise _refuse(
            "bad-url", "holds a name or a password", "treat it as leaked; credentials belong in `secrets` of the server"
        )
    if value.startswith("http://") and not re.match(rf"^http://{_LOOPBACK}(?::|/|$)", value):
        raise _refuse("bad-url", "is not encrypted", "write `https://`; `http://` is for loopback alone")
    if not re.fullmatch(pattern, value) or len(value) > LONGEST_URL:
        raise _refuse("bad-url", "is no address that the gateway can call", "write it as `https://HOST/PATH`")
    return value


def _check_issuer(value: str) -> str:
    return _check(value, ISSUER_PATTERN)


def _check_url(value: str) -> str:
    return _check(value, URL_PATTERN)


IssuerURL = Annotated[
    str,
    AfterValidator(_check_issuer),
    WithJsonSchema({"type": "string", "pattern": ISSUER_PATTERN, "maxLength": LONGEST_URL}),
]
OutsideURL = Annotated[
    str,
    AfterValidator(_check_url),
    WithJsonSchema({"type": "string", "pattern": URL_PATTERN, "maxLength": LONGEST_URL}),
]
