"""Where an identity provider says what it is: the addresses of its metadata, and the metadata as a value.

RFC 8414 (OAuth) and OpenID Connect Discovery, in the order of the MCP specification (2026-07-28, authorization server
discovery). The issuer in the document has to be the configured one, character by character: otherwise a provider could
speak for another (RFC 8414 section 3.3).
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

_OAUTH = "/.well-known/oauth-authorization-server"
_OPENID = "/.well-known/openid-configuration"


class BadMetadata(ValueError):
    """A document that is not the metadata of that issuer."""


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Where the metadata of an issuer may be, in the order in which to look."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    if not path:
        return (origin + _OAUTH, origin + _OPENID)
    return (origin + _OAUTH + path, origin + _OPENID + path, origin + path + _OPENID)


def keys_url(document: Mapping[str, object], issuer: str) -> str:
    """Where the issuer's keys are, out of its metadata.

    Raises:
        BadMetadata: it is another issuer's, or names no keys.
    """
    if document.get("issuer") != issuer:
        raise BadMetadata("its metadata names another issuer")
    url = document.get("jwks_uri")
    if not isinstance(url, str):
        raise BadMetadata("its metadata names no keys")
    return url
