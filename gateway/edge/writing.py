"""Response heads as bytes, and the memory of those that were worked out from known heads of upstreams."""

from collections.abc import Iterable
from http import HTTPStatus

from gateway.answers import ClientResponseHead, answer_head
from gateway.decision import Forward
from gateway.problems import Answer
from gateway.relay import ResponseHead
from gateway.sessions import CapsuleSealer

_MAX_HEADS = 4096
_Key = tuple[bytes, bytes | None, bool, str]
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode("ascii")) for status in HTTPStatus}


class ResponseHeads:
    """Translates the heads of upstreams into those for clients. What it returns has no empty line at its end yet."""

    __slots__ = ("_known", "_sealer")

    def __init__(self, sealer: CapsuleSealer) -> None:
        self._sealer = sealer
        self._known: dict[_Key, bytes] = {}

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
