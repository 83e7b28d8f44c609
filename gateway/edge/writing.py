"""Response heads as bytes, and the memory of those that were worked out from known heads of upstreams."""

from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus
from typing import NamedTuple

from gateway.answers import ClientResponseHead, answer_head
from gateway.decision import Forward
from gateway.headers import SESSION_HEADER
from gateway.problems import Answer
from gateway.relay import ResponseHead
from gateway.sessions import CapsuleSealer

_MAX_HEADS = 4096
_Key = tuple[bytes, bytes | None, bool, str]
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode("ascii")) for status in HTTPStatus}


class PartHead(NamedTuple):
    """A head as bytes, and whether events follow it."""

    encoded: bytes
    is_event_stream: bool


class ResponseHeads:
    """Translates the heads of upstreams into those for clients. What it returns has no empty line at its end yet."""

    __slots__ = ("_known", "_parts", "_sealer")

    def __init__(self, sealer: CapsuleSealer) -> None:
        self._sealer = sealer
        self._known: dict[_Key, bytes] = {}
        self._parts: dict[tuple[bytes, bool], PartHead] = {}

    def translate(self, forward: Forward, head: ResponseHead) -> bytes:
        """Status line and headers for the client.

        Raises:
            SessionNotFound, UpstreamBroken: as `gateway.answers.answer_head`.
        """
        if not head.block or head.status >= 400:
            return encode_head(answer_head(forward, head, self._sealer))
        key = (head.block, forward.capsule, forward.has_sessions, forward.grant.principal)
        known = self._known.get(key)
        return known if known is not None else self._learn(key, forward, head)

    def translate_part(self, forward: Forward, head: ResponseHead, *, keeps_length: bool) -> PartHead:
        """The same for an answer to a part of a request to the common address, whose sessions are its own; without the
        length where the body may become another.

        Raises:
            SessionNotFound, UpstreamBroken: as `gateway.answers.answer_head`.
        """
        key = (head.block, keeps_length)
        known = self._parts.get(key) if head.block else None
        if known is not None:
            return known
        made = answer_head(forward, head, self._sealer)
        dropped = {SESSION_HEADER} if keeps_length else {SESSION_HEADER, b"content-length"}
        encoded = encode_head(replace(made, headers=[each for each in made.headers if each[0] not in dropped]))
        part = PartHead(encoded, head.is_event_stream)
        if head.block and head.status < 400 and head.value(SESSION_HEADER) is None:
            if len(self._parts) >= _MAX_HEADS:
                del self._parts[next(iter(self._parts))]
            self._parts[key] = part
        return part

    def _learn(self, key: _Key, forward: Forward, head: ResponseHead) -> bytes:
        encoded = encode_head(answer_head(forward, head, self._sealer))
        if len(self._known) >= _MAX_HEADS:
            del self._known[next(iter(self._known))]
        self._known[key] = encoded
        return encoded


def encode_head(head: ClientResponseHead) -> bytes:
    """Status line and headers, without the empty line that ends them."""
    return _status_line(head.status) + encode_headers(head.headers)


def encode_answer(answer: Answer) -> bytes:
    """A whole response of the gateway's own, which ends its connection where the answer says so."""
    return _status_line(answer.status) + encode_headers(answer.headers) + b"\r\n" + answer.body


def encode_headers(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header lines, each with its line end."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def announces_length(head: ResponseHead) -> bool:
    """Whether the end of the body is known from the head, so that it needs no chunks."""
    return head.status in {204, 304} or head.value(b"content-length") is not None
