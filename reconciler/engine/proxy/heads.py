"""Heads as they leave the proxy: hop-by-hop fields taken out, the platform's fields put in, framing decided anew."""

from dataclasses import dataclass

from reconciler.engine.proxy.messages import Head, Headers

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110, section 7.6.1."""
OURS = frozenset(
    {
        b"fly-client-ip",
        b"fly-forwarded-port",
        b"fly-region",
        b"fly-request-id",
        b"fly-force-instance-id",
        b"fly-prefer-instance-id",
        b"fly-force-region",
        b"fly-prefer-region",
        b"fly-preferred-instance-unavailable",
        b"fly-replay-src",
        b"fly-replay-failed",
        b"x-forwarded-for",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-ssl",
        b"via",
    }
)
"""Fields that the proxy says itself, so that a caller cannot say them to a machine."""
VIA = b"1.1 fly.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What the proxy knows about the connection that a request came by."""

    ip: bytes
    port: bytes
    """The proxy's own port, which the caller spoke to."""
    region: bytes


def is_chunked(head: Head) -> bool:
    return head.has(b"transfer-encoding")


def end_to_end(head: Head) -> Headers:
    """The fields that travel on: neither hop-by-hop by RFC, nor named by `Connection`."""
    named = {word.strip().lower() for key, value in head.headers if key == b"connection" for word in value.split(b",")}
    return [(key, value) for key, value in head.headers if key not in HOP_BY_HOP and key not in named]


def request_bytes(head: Head, caller: Caller, request_id: bytes, told: Headers) -> bytes:
    """The request as the machine gets it (Fly docs, "Request headers").

    `X-Forwarded-For` and `Via` are appended to, `Fly-Client-IP` is overwritten. `told` is what else the proxy has to
    say to the machine.
    """
    fields = [(key, value) for key, value in end_to_end(head) if key not in OURS]
    fields += [
        (b"fly-client-ip", caller.ip),
        (b"fly-forwarded-port", caller.port),
        (b"fly-region", caller.region),
        (b"fly-request-id", request_id),
        (b"x-forwarded-for", _appended(head, b"x-forwarded-for", caller.ip)),
        (b"x-forwarded-port", caller.port),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-ssl", b"off"),
        (b"via", _appended(head, b"via", VIA)),
        *told,
    ]
    if is_chunked(head):
        fields.append((b"transfer-encoding", b"chunked"))
    return _joined(b"%b %b HTTP/1.1" % (head.method, head.target), fields)


def _appended(head: Head, name: bytes, value: bytes) -> bytes:
    return b", ".join([*(known for key, known in head.headers if key == name), value])


def response_bytes(head: Head, *, chunked: bool, close: bool, request_id: bytes) -> bytes:
    fields = end_to_end(head)
    if not head.has(b"fly-request-id"):
        fields.append((b"fly-request-id", request_id))
    if chunked:
        fields.append((b"transfer-encoding", b"chunked"))
    if close:
        fields.append((b"connection", b"close"))
    return _joined(b"HTTP/1.1 %d %b" % (head.status, head.reason), fields)


def plain_response(status: int, reason: bytes, text: str, *, close: bool, request_id: bytes) -> bytes:
    """An answer of the proxy itself."""
    body = text.encode()
    fields = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"fly-request-id", request_id),
        *([(b"connection", b"close")] if close else []),
    ]
    return _joined(b"HTTP/1.1 %d %b" % (status, reason), fields) + body


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


LAST_CHUNK = b"0\r\n\r\n"


def _joined(first: bytes, fields: Headers) -> bytes:
    lines = [first, *(b"%b: %b" % field for field in fields)]
    return b"\r\n".join(lines) + b"\r\n\r\n"
