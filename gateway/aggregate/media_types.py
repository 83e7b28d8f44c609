"""Which forms of a body a client of the aggregate sends, and which it takes (MCP, Streamable HTTP)."""

from gateway.aggregate.gathering import RefusedRequest
from gateway.protocol.errors import INVALID_REQUEST, Refusal
from gateway.relay.wire import Headers


def check_media_types(headers: Headers) -> None:
    """Judge the headers of a POST, whose names are lower case.

    Raises:
        RefusedRequest: the body is not JSON (400), or the client cannot take both forms of an answer (406).
    """
    content_type = next((value for name, value in headers if name == b"content-type"), b"")
    if content_type.partition(b";")[0].strip().lower() != b"application/json":
        raise _refused("Content-Type must be application/json", 400)
    if not (accepts(headers, b"application/json") and accepts(headers, b"text/event-stream")):
        raise _refused("Accept must list application/json and text/event-stream", 406)


def accepts(headers: Headers, media_type: bytes) -> bool:
    """Whether the Accept headers admit a media type; a missing header admits everything (RFC 9110 section 12.5.1)."""
    values = [value for name, value in headers if name == b"accept"]
    wanted = {media_type, media_type.split(b"/")[0] + b"/*", b"*/*"}
    parts = [part.partition(b";")[0].strip().lower() for value in values for part in value.split(b",")]
    return not values or not wanted.isdisjoint(parts)


def _refused(message: str, status: int) -> RefusedRequest:
    return RefusedRequest(Refusal(code=INVALID_REQUEST, message=message, http_status=status))
