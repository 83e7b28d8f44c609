"""The heads of requests to the common address that the edge carries, judged once and remembered.

A head is judged as `gateway.aggregate` judges it, by what is known already. Nothing is refused here and nothing is
found out: whatever is not in perfect order is left to the ASGI application.
"""

import time
from dataclasses import replace

from gateway.access import Undecided
from gateway.admission import Admission
from gateway.aggregate.core import Core
from gateway.aggregate.endpoint import PATH
from gateway.aggregate.gathering import RefusedRequest
from gateway.aggregate.media_types import check_media_types
from gateway.edge.carriage import CommonHead
from gateway.edge.directing import certain_place
from gateway.edge.heads import read_plain_head
from gateway.headers import SESSION_HEADER, read_client_headers
from gateway.problems import Refused, SessionNotFound
from gateway.protocol.headers import (
    METHOD_HEADER,
    NAME_HEADER,
    ROUTING_HEADERS,
    VERSION_HEADER,
    BadHeaderValue,
    decode_header_value,
)
from gateway.protocol.revisions import LEGACY_REVISIONS, MODERN_REVISIONS
from gateway.relay.wire import Headers
from gateway.settings import GatewaySettings
from gateway.tracing import trace_of

_MAX_HEADS = 4096
_LONGEST_LENGTH = 9


class CommonHeads:
    """The heads of one gateway's common address."""

    __slots__ = ("_admission", "_core", "_heads", "_settings")

    def __init__(self, settings: GatewaySettings, core: Core) -> None:
        self._settings = settings
        self._core = core
        self._admission = Admission(settings)
        self._heads: dict[bytes, CommonHead] = {}

    def find(self, block: bytes) -> CommonHead | None:
        """What is known of a head; None where the edge has nothing to do with it."""
        head = self._heads.get(block)
        if head is not None and self._core.callers.is_good(head.view) and not _has_expired(head):
            return head
        return self._make(block)

    def _make(self, block: bytes) -> CommonHead | None:
        plain = read_plain_head(block)
        if plain is None or plain.path != PATH or plain.method != "POST":
            return None
        try:
            head = self._judged(block, plain.headers)
        except (Refused, RefusedRequest, SessionNotFound, Undecided, BadHeaderValue):
            return None
        if head is None:
            return None
        if len(self._heads) >= _MAX_HEADS:
            del self._heads[next(iter(self._heads))]
        self._heads[block] = head
        return head

    def _judged(self, block: bytes, headers: Headers) -> CommonHead | None:
        """Raises the refusals of the ASGI path."""
        single = read_client_headers(headers, self._settings).single
        self._admission.check(host=single.get(b"host"), origin=single.get(b"origin"))
        view = self._core.callers.found(single.get(b"authorization"))
        check_media_types(headers)
        length = single.get(b"content-length", b"")
        is_usual = length.isdigit() and len(length) <= _LONGEST_LENGTH and b"origin" not in single
        if not is_usual or trace_of(headers):
            return None
        routing = _routing(headers)
        version = routing[VERSION_HEADER]
        head = CommonHead(block=block, view=view, headers=headers, body_size=int(length), version=version)
        if version in MODERN_REVISIONS:
            return _stateless(head, routing)
        capsule = single.get(SESSION_HEADER)
        return self._in_session(head, capsule) if version in LEGACY_REVISIONS and capsule is not None else None

    def _in_session(self, head: CommonHead, capsule: bytes) -> CommonHead:
        opened = self._core.sessions.opened(head.view, capsule.decode("latin-1"))
        return replace(head, session_key=opened.session_id, expires_at_s=opened.expires_at_s)


def _routing(headers: Headers) -> dict[str, str]:
    """The values of the headers that name version, method and tool; empty where one is missing or stands twice."""
    found = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    values = {name: [value for each, value in found if each == name] for name in ROUTING_HEADERS}
    return {name: each[0] if len(each) == 1 else "" for name, each in values.items()}


def _stateless(head: CommonHead, routing: dict[str, str]) -> CommonHead | None:
    method, written = routing[METHOD_HEADER], routing[NAME_HEADER]
    if not method or not written:
        return None
    name = decode_header_value(written)
    return replace(head, method=method, name=name, place=certain_place(head.view, name))


def _has_expired(head: CommonHead) -> bool:
    return head.expires_at_s is not None and head.expires_at_s <= time.time()
