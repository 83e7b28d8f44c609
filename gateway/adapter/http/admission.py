"""What is checked of an HTTP request before its body is read: origin, content type, accepted types.

A browser page of another site must not reach a server on the user's own machine (DNS rebinding), so a request with an
Origin is refused unless that origin is allowed by an option, or both the page and the adapter are on the loopback
interface.
"""

from urllib.parse import urlsplit

from gateway.adapter.http.wire import Exchange
from gateway.protocol.errors import INVALID_REQUEST, Refusal

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def check_origin(exchange: Exchange, allowed: frozenset[str]) -> Refusal | None:
    """Refuse a foreign origin with 403; no Origin header is fine."""
    origin = exchange.header("origin")
    if origin is None or origin in allowed:
        return None
    if _host_of(origin) in _LOOPBACK and _host_of(f"//{exchange.header('host') or ''}") in _LOOPBACK:
        return None
    return Refusal(code=INVALID_REQUEST, message="Invalid Origin header", http_status=403)


def check_post(exchange: Exchange) -> Refusal | None:
    """Refuse a body that is not JSON (400) and a client that cannot take both forms of an answer (406)."""
    content_type = (exchange.header("content-type") or "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        return Refusal(code=INVALID_REQUEST, message="Content-Type must be application/json", http_status=400)
    if not (accepts(exchange, "application/json") and accepts(exchange, "text/event-stream")):
        text = "Accept must list application/json and text/event-stream"
        return Refusal(code=INVALID_REQUEST, message=text, http_status=406)
    return None


def accepts(exchange: Exchange, media_type: str) -> bool:
    """Whether the Accept headers admit a media type; a missing header admits everything (RFC 9110, 12.5.1)."""
    values = [value.decode("latin-1") for name, value in exchange.raw_headers if name == b"accept"]
    if not values:
        return True
    wanted = {media_type, media_type.split("/", 1)[0] + "/*", "*/*"}
    return any(part.partition(";")[0].strip().lower() in wanted for value in values for part in value.split(","))


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
