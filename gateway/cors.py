"""Lets web pages of allowed origins use the data path from a browser (Fetch standard, CORS protocol).

Whether an origin is allowed is decided in `gateway.admission`; here are only the headers by which the browser learns of
it. No cookies are involved, so credentials are never allowed: a page sends its token in `Authorization`.
"""

from gateway.headers import is_client_header
from gateway.problems import Answer

_EXPOSED = b"mcp-session-id, mcp-protocol-version, www-authenticate, retry-after"
_REQUESTED = b"access-control-request-headers"
_ALWAYS_SENT = frozenset({b"authorization", b"mcp-session-id"})
_MAX_AGE_S = b"600"


def cors_headers(origin: bytes | None) -> tuple[tuple[bytes, bytes], ...]:
    """What every answer to a page of an allowed origin carries; nothing where there is no page."""
    if origin is None:
        return ()
    return (
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"origin"),
    )


def preflight(headers: dict[bytes, bytes]) -> Answer:
    """The answer to the browser's question which methods and headers a page may send; `headers` is the question."""
    asked = [name.strip().lower() for name in headers.get(_REQUESTED, b"").split(b",")]
    allowed = b", ".join(name for name in asked if name in _ALWAYS_SENT or is_client_header(name))
    return Answer(
        status=204,
        headers=(
            (b"access-control-allow-methods", b"GET, POST, DELETE"),
            (b"access-control-allow-headers", allowed),
            (b"access-control-max-age", _MAX_AGE_S),
        ),
        body=b"",
    )
