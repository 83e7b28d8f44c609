"""HTTP/1.1 on the wire: writing request heads and chunks, and the head of a response as a value.

A head is checked after it is assembled: whatever came in, exactly the line ends that were meant are in it, so that no
header value can smuggle a second header or a second request (RFC 9112 section 11.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

Headers = Sequence[tuple[bytes, bytes]]
LAST_CHUNK = b"0\r\n\r\n"


class MalformedHead(ValueError):
    """A method, target or header contains a line end or a NUL: the request is not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """What to ask an upstream. Header names are lower case; `host` and the framing are written from the fields."""

    method: bytes
    target: bytes
    authority: bytes
    headers: Headers
    content_length: int | None = None
    """The size of the body, or None when it is not known yet and the body goes out in chunks."""

    def encode(self) -> bytes:
        """The head as bytes, up to and with the empty line.

        Raises:
            MalformedHead: a part of it would change the structure of the message.
        """
        lines = [b"%b %b HTTP/1.1" % (self.method, self.target), b"host: " + self.authority]
        lines.extend([b"%b: %b" % header for header in self.headers])
        lines.append(self._framing())
        text = b"\r\n".join(lines)
        if text.count(b"\n") != len(lines) - 1 or text.count(b"\r") != len(lines) - 1 or b"\0" in text:
            raise MalformedHead("a header contains a line end or a NUL")
        return text + b"\r\n\r\n"

    def _framing(self) -> bytes:
        if self.content_length is None:
            return b"transfer-encoding: chunked"
        return b"content-length: %d" % self.content_length


def encode_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; an empty piece becomes nothing, because an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseHead:
    """The head of a final response. Header names are lower case."""

    status: int
    headers: Headers
    block: bytes = b""
    """The head as it stood on the wire, where it is one that is remembered: a key for what is worked out from it."""

    def value(self, name: bytes) -> bytes | None:
        """The first header of that lower-case name, or None where there is none."""
        return next((value for candidate, value in self.headers if candidate == name), None)

    @property
    def is_event_stream(self) -> bool:
        """Whether the body is server-sent events, so that every piece must be passed on as it comes."""
        return (self.value(b"content-type") or b"").lower().startswith(b"text/event-stream")
