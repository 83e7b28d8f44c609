"""Carries a trace from the HTTP headers into the message, where a server that speaks stdio can see it.

W3C Trace Context and Baggage; the names inside `_meta` are those of MCP 2026-07-28 (`_meta` keys). What the message
says itself stays: an instrumented client knows better. Header values that are not of the form stay where they are.
"""

import json
import re
from collections.abc import Sequence

from gateway.protocol.messages import InvalidMessage, Message, decode_line, read_message, read_meta
from gateway.protocol.scan import MalformedJson, compose, splice

_FORMS = {
    b"traceparent": re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"),
    b"tracestate": re.compile(rb"[\x20-\x7e]{1,512}"),
    b"baggage": re.compile(rb"[\x20-\x7e]{1,8192}"),
}


def trace_of(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """The well-formed trace fields of a request; empty where it belongs to no trace."""
    found = {name.decode("ascii"): value.decode("ascii") for name, value in headers if _is_well_formed(name, value)}
    return found if "traceparent" in found else {}


def with_trace(body: bytes, trace: dict[str, str]) -> bytes:
    """The message with the trace in `params._meta`; unchanged where it has one, or is no request or notification."""
    try:
        message = read_message(decode_line(body))
    except (MalformedJson, InvalidMessage):
        return body
    if not message.method or "traceparent" in message.meta:
        return body
    return _with_meta(message, {key: json.dumps(value) for key, value in trace.items()}).encode("utf-8")


def _with_meta(message: Message, extra: dict[str, str]) -> str:
    params, meta = read_meta(message)
    place = params.get("_meta")
    if place is not None and isinstance(place.value, dict):
        missing = {key: value for key, value in extra.items() if key not in meta}
        return splice(message.text, {place: compose(message.text, meta, missing)})
    if place is not None:
        return message.text
    return message.with_params(compose(message.text, params, {"_meta": compose(message.text, {}, extra)}))


def _is_well_formed(name: bytes, value: bytes) -> bool:
    form = _FORMS.get(name)
    return form is not None and form.fullmatch(value) is not None
