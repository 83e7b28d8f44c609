"""Headers that a modern client copies from the body, and how they are checked against it.

Source: section "Request headers" of the Streamable HTTP page, revision 2026-07-28. Intermediaries route by these
headers, so a body that says something else is refused with -32020 rather than believed.
"""

import base64
import binascii
import re
from collections.abc import Sequence

from gateway.protocol.errors import HEADER_MISMATCH, INVALID_PARAMS, UNSUPPORTED_VERSION, Refusal
from gateway.protocol.messages import Message
from gateway.protocol.revisions import (
    LOG_LEVELS,
    META_CLIENT_CAPABILITIES,
    META_LOG_LEVEL,
    META_VERSION,
    MODERN_REVISIONS,
)

VERSION_HEADER = "mcp-protocol-version"
METHOD_HEADER = "mcp-method"
NAME_HEADER = "mcp-name"
SESSION_HEADER = "mcp-session-id"
ROUTING_HEADERS = (VERSION_HEADER, METHOD_HEADER, NAME_HEADER)

NAME_SOURCES = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
_SENTINEL = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?|")


class BadHeaderValue(ValueError):
    """A header value announces base64 and is none."""


def encode_header_value(value: str) -> str:
    """Write a string as a header value, in base64 where the plain form could be changed or misread on its way."""
    if _PLAIN.fullmatch(value) and not _SENTINEL.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode('utf-8')).decode('ascii')}?="


def decode_header_value(value: str) -> str:
    """Read a header value back. Raises BadHeaderValue."""
    match = _SENTINEL.fullmatch(value)
    if match is None:
        return value
    try:
        return base64.b64decode(match[1], validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise BadHeaderValue("the header is not valid base64 of UTF-8 text") from error


def check_modern_request(message: Message, headers: Sequence[tuple[str, str]]) -> Refusal | None:
    """Judge the version, method and name of a modern request in the order of the reference server; None means accepted.

    `headers` are (lower-case name, value) pairs, duplicates included.
    """
    for name in ROUTING_HEADERS:
        if sum(1 for each, _ in headers if each == name) > 1:
            return _mismatch(f"the header {name} stands more than once")
    return _check_meta(message) or _check_headers(message, dict(headers)) or _check_version(message)


def _check_meta(message: Message) -> Refusal | None:
    meta = message.meta
    if not isinstance(meta.get(META_VERSION), str):
        return Refusal(code=INVALID_PARAMS, message=f"params._meta must carry {META_VERSION}")
    if not isinstance(meta.get(META_CLIENT_CAPABILITIES), dict):
        return Refusal(code=INVALID_PARAMS, message=f"params._meta must carry {META_CLIENT_CAPABILITIES}")
    if META_LOG_LEVEL in meta and meta[META_LOG_LEVEL] not in LOG_LEVELS:
        return Refusal(code=INVALID_PARAMS, message=f"params._meta.{META_LOG_LEVEL} names no log level")
    return None


def _check_headers(message: Message, headers: dict[str, str]) -> Refusal | None:
    if headers.get(VERSION_HEADER) != message.meta.get(META_VERSION):
        return _mismatch("MCP-Protocol-Version and params._meta name different versions")
    if headers.get(METHOD_HEADER) != message.method:
        return _mismatch("Mcp-Method and the method of the body differ")
    source = NAME_SOURCES.get(message.method)
    return None if source is None else _check_name(message.params.get(source), headers.get(NAME_HEADER), source)


def _check_name(expected: object, header: str | None, source: str) -> Refusal | None:
    if not isinstance(expected, str):
        return Refusal(code=INVALID_PARAMS, message=f"params.{source} must be a string")
    if header is None:
        return _mismatch("the header Mcp-Name is missing")
    try:
        decoded = decode_header_value(header)
    except BadHeaderValue as error:
        return _mismatch(str(error))
    return None if decoded == expected else _mismatch(f"Mcp-Name and params.{source} differ")


def _check_version(message: Message) -> Refusal | None:
    requested = message.meta.get(META_VERSION)
    if requested in MODERN_REVISIONS:
        return None
    data = {"supported": list(MODERN_REVISIONS), "requested": requested}
    return Refusal(code=UNSUPPORTED_VERSION, message="unsupported protocol version", data=data)


def _mismatch(message: str) -> Refusal:
    return Refusal(code=HEADER_MISMATCH, message=message)
