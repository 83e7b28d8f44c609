"""A bearer token to an identity: every check of RFC 8725 and RFC 9068 that a resource server makes, without any I/O.

The signature comes first; nothing in a token is believed before it but which key to try, and that key is one of the
issuer's own. Headers by which a token would bring its key along (`jwk`, `jku`, `x5c`, `x5u`) are not read. A token with
`crit` asks for something that is not understood and is refused. Whether it is made out to the address that was called,
and what it opens there, is asked afterwards, once for each address (`gateway.oauth.access`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import jwt
from jwt.exceptions import ExpiredSignatureError, ImmatureSignatureError, PyJWTError

from gateway.oauth.keys import ALGORITHMS, VerifyingKey
from gateway.oauth.providers import Identity, Provider

LEEWAY_S: Final = 30
"""How far the clocks of issuer and gateway may be apart."""
MAX_TOKEN_BYTES: Final = 16 * 1024
_MAX_GROUPS = 1000
_MAX_NAME_BYTES = 400
"""Bytes of a user's name; with the provider's it has to fit into a session id."""
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt", "application/jwt"})
_REQUIRED: tuple[str, ...] = ("exp", "iss", "aud")


class BadToken(ValueError):
    """A token that is not accepted, and what to tell its bearer: a fixed sentence that quotes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHead:
    """What an unverified token says about how to verify it."""

    algorithm: str
    key_id: str | None
    issuer: str


def is_token(text: bytes) -> bool:
    """Whether it has the form of a signed token: three parts."""
    return text.count(b".") == 2 and len(text) <= MAX_TOKEN_BYTES


def read_token_head(text: bytes) -> TokenHead:
    """Which issuer and key a token names. Nothing of it is to be believed yet.

    Raises:
        BadToken: it is no token, or one that no key could make good.
    """
    try:
        header = jwt.get_unverified_header(text)
        claims: Mapping[str, object] = jwt.decode(text, options={"verify_signature": False})
    except (PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise BadToken("The token cannot be read.") from error
    algorithm, key_id, issuer = header.get("alg"), header.get("kid"), claims.get("iss")
    if algorithm not in ALGORITHMS:
        raise BadToken("The token is signed in a way that is not accepted.")
    if "crit" in header or str(header.get("typ", "JWT")).lower() not in _TYPES:
        raise BadToken("The token is of a kind that is not accepted.")
    if not isinstance(issuer, str) or not (key_id is None or isinstance(key_id, str)):
        raise BadToken("The token does not say who issued it.")
    return TokenHead(algorithm=str(algorithm), key_id=key_id, issuer=issuer)


def verify(text: bytes, head: TokenHead, key: VerifyingKey, provider: Provider) -> Identity:
    """Who a token belongs to, if that provider signed it with that key and it is in its time.

    Raises:
        BadToken: it is not good.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            text,
            key.public_key,
            algorithms=[each for each in key.algorithms if each == head.algorithm],
            issuer=provider.issuer,
            leeway=LEEWAY_S,
            options={"require": list(_REQUIRED), "verify_aud": False},
        )
    except ExpiredSignatureError as error:
        raise BadToken("The token has expired.") from error
    except ImmatureSignatureError as error:
        raise BadToken("The token is not valid yet.") from error
    except (PyJWTError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise BadToken("The token is not valid.") from error
    return _identity(claims, provider)


def _identity(claims: Mapping[str, object], provider: Provider) -> Identity:
    return Identity(
        provider=provider,
        username=_username(claims, provider),
        groups=frozenset(_texts(claim(claims, provider.groups_claim))[:_MAX_GROUPS]),
        scopes=frozenset(_scopes(claims)),
        audiences=frozenset(_texts(claims.get("aud"))),
        expires_at_s=float(cast("int", claims["exp"])) + LEEWAY_S,
    )


def _username(claims: Mapping[str, object], provider: Provider) -> str:
    name = claim(claims, provider.username_claim)
    if not isinstance(name, str) or not name or len(name.encode("utf-8", "replace")) > _MAX_NAME_BYTES:
        raise BadToken("The token does not say whose it is.")
    if not name.isprintable():
        raise BadToken("The token does not say whose it is in printable characters.")
    # As Kubernetes has it: whoever can enter any address as their own must not become its owner.
    if provider.username_claim == "email" and claims.get("email_verified", True) is not True:
        raise BadToken("The address in the token is not verified.")
    return name


def claim(claims: Mapping[str, object], path: str) -> object:
    """A claim by its name, or by a path such as `realm_access.roles`; None where there is none.

    Names come first, because those of some providers hold dots: `https://acme.example/groups`.
    """
    if path in claims:
        return claims[path]
    current: object = claims.get(path.partition(".")[0])
    for part in path.split(".")[1:]:
        current = cast("dict[str, object]", current).get(part) if isinstance(current, dict) else None
    return current


def _scopes(claims: Mapping[str, object]) -> list[str]:
    """`scope` (RFC 9068 section 2.2.3); `scp` is how Entra ID and Okta call it."""
    found: list[str] = []
    for name in ("scope", "scp"):
        found += [scope for text in _texts(claims.get(name)) for scope in text.split(" ") if scope]
    return found


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in cast("list[object]", value) if isinstance(each, str)] if isinstance(value, list) else []
