"""JSON-RPC and MCP error codes, the HTTP status that goes with each, and error replies as bytes.

Source: section "Error Codes" of revision 2026-07-28 and its transport page. Codes between -32768 and -32000 that
neither JSON-RPC nor MCP defines are never used for Catwalk's own errors.
"""

import json
from dataclasses import dataclass

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
HEADER_MISMATCH = -32020
MISSING_CLIENT_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022
LEGACY_RESOURCE_NOT_FOUND = -32002
LEGACY_URL_ELICITATION = -32042
UPSTREAM_LOST = -33001
"""Ours: the server ended while the request was in flight."""
REQUEST_CANCELLED = -33002
"""Ours: the client withdrew the request and the server gave no answer of its own."""
NOT_READY = -33003
"""Ours: the server is not ready or at a limit; the HTTP status is 503."""

_STATUS = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    METHOD_NOT_FOUND: 404,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_CLIENT_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
    NOT_READY: 503,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request was not carried out: the JSON-RPC error, and optionally a status that differs from the code's usual
    one.
    """

    code: int
    message: str
    data: object = None
    http_status: int | None = None

    @property
    def status(self) -> int:
        """The HTTP status of a reply that consists of this error."""
        return self.http_status or modern_status(self.code)

    def body(self, request_id: str | None) -> bytes:
        """The error as a JSON-RPC message; `request_id` is the JSON text of the id, None when it could not be read."""
        return error_body(self, request_id)


def modern_status(code: int) -> int:
    """The HTTP status for an error code towards a modern client; codes without a rule travel with 200."""
    return _STATUS.get(code, 200)


def error_body(refusal: Refusal, request_id: str | None) -> bytes:
    """Encode an error reply; see `Refusal.body`."""
    error: dict[str, object] = {"code": refusal.code, "message": refusal.message}
    if refusal.data is not None:
        error["data"] = refusal.data
    encoded = json.dumps(error, ensure_ascii=False, separators=(",", ":"))
    # JSON can name half a character (`"\ud800"`), which UTF-8 cannot write; it goes back as it came.
    return f'{{"jsonrpc":"2.0","id":{request_id or "null"},"error":{encoded}}}'.encode("utf-8", "backslashreplace")
