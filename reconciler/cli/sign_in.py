"""Who may see dashboard and API of a gateway that others can reach: whoever has one of its tokens.

Programs send it as a bearer token. Browsers ask for a name and a password (RFC 7617): the token is the password and the
name does not matter, so that a person needs nothing but the token, and no session has to be kept.
"""

import base64
import binascii
import hmac
from collections.abc import Callable
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler

from reconciler.cli.gateway_access import FollowedAccess
from reconciler.web.site import Guard

LONGEST: Final = 8 * 1024
CHALLENGE: Final = 'Basic realm="Catwalk: the password is a token of the gateway", charset="UTF-8"'


def _ignore() -> None:
    """Nobody counts."""


def sign_in(access: FollowedAccess, local_token: str = "", *, refused: Callable[[], None] = _ignore) -> Guard:
    """A guard that lets through whoever has a token of `access` as it is then, or the one of this machine's commands.

    `refused` is told of every token that is not good. A browser's first request, which shows none, is no such.

    A function and no object, because Litestar copies the objects that it is given, and a copy would go on with the
    rules of the start.
    """

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        token = token_of(connection.headers.get("authorization", ""))
        if not is_local(token, local_token) and not (token and access.knows(token)):
            if token:
                refused()
            raise NotAuthorizedException("a token of this gateway is needed", headers={"WWW-Authenticate": CHALLENGE})

    return guard


def is_local(token: bytes, local_token: str) -> bool:
    """Whether a token is the one of this machine's commands, where they have one."""
    return bool(local_token) and hmac.compare_digest(token, local_token.encode("ascii"))


def token_of(authorization: str) -> bytes:
    """The token in an `Authorization` header; empty where there is none that can be read."""
    scheme, _, rest = authorization.partition(" ")
    if len(authorization) > LONGEST:
        return b""
    if scheme.lower() == "bearer":
        return rest.strip().encode("utf-8")
    if scheme.lower() != "basic":
        return b""
    try:
        _, _, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b""
    return password
