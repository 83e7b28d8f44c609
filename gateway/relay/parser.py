"""Reads responses off a connection: httptools (llhttp, strict) with the refusals that it leaves to its caller.

Upstreams run packages from public registries and are not trusted. Refused, because two readers could disagree about
where the message ends or because memory would not be bounded: a transfer coding other than exactly `chunked`, a length
given twice or beside a transfer coding, a protocol switch, a status outside 200 to 599, more than the allowed number or
size of headers, interim responses, chunk extensions or trailers. What follows a complete response on the same
connection makes the connection unusable, never a second response.
"""

import httptools

from gateway.relay.exchange import ResponseSink
from gateway.relay.faults import UpstreamBroken
from gateway.relay.limits import RelayLimits
from gateway.relay.wire import ResponseHead

_BODILESS = frozenset({204, 304})
_OPTIONAL_WHITESPACE = b" \t"  # Around a value it means nothing (RFC 9110 section 5.5); llhttp leaves it at the end.


class ResponseParser:
    """Feeds one response after the other to the sink of the moment. The `on_…` methods are httptools' callbacks."""

    __slots__ = (
        "_headers",
        "_is_interim",
        "_limits",
        "_llhttp",
        "_pieces",
        "_refusal",
        "_sink",
        "_unproductive_bytes",
        "content_length",
        "ends_with_connection",
        "had_interim",
        "has_head",
        "head",
        "is_complete",
        "keeps_alive",
    )

    def __init__(self, limits: RelayLimits) -> None:
        self._limits = limits
        self._llhttp = httptools.HttpResponseParser(self)
        self._sink: ResponseSink | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._refusal: UpstreamBroken | None = None
        self._unproductive_bytes = 0
        self._is_interim = False
        self._pieces: list[bytes] = []
        self.had_interim = False
        self.head: ResponseHead | None = None
        self.content_length: int | None = None
        self.has_head = False
        self.is_complete = True
        self.keeps_alive = True
        self.ends_with_connection = False

    def expect(self, sink: ResponseSink) -> None:
        """The next bytes belong to a response for this sink."""
        self._sink = sink
        self._headers = []
        self._unproductive_bytes = 0
        self.had_interim = False
        self.head = None
        self.content_length = None
        self.has_head = False
        self.is_complete = False
        self.ends_with_connection = False

    def feed(self, data: bytes) -> None:
        """Parse what arrived and tell the sink. Sets `is_complete` and `keeps_alive` at the end of a response.

        The pieces of the body that one arrival holds are given on as one: an event stream may come as hundreds of tiny
        chunks in one packet.

        Raises:
            UpstreamBroken: it is not a response that can be trusted; the connection must be closed.
        """
        self._unproductive_bytes += len(data)
        try:
            self._parse(data)
        finally:
            self._deliver_body()

    def _parse(self, data: bytes) -> None:
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._judge(UpstreamBroken("the upstream tried to switch protocols"))
        except httptools.HttpParserError as error:
            self._judge(self._refusal or UpstreamBroken(f"the upstream sent malformed HTTP: {error}"))
        if self._unproductive_bytes > self._limits.max_head_bytes:
            self._judge(self._too_large())

    def _judge(self, fault: UpstreamBroken) -> None:
        """A fault behind a complete response spoils the connection, not the response."""
        self.keeps_alive = False
        if not self.is_complete:
            raise fault

    def on_message_begin(self) -> None:
        """A response starts; with none expected it is refused."""
        if self.is_complete:
            self._refuse("the upstream sent more than it was asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or behind a chunked body a trailer, which is dropped."""
        if self.has_head:
            return
        self._headers.append((name.lower(), value.strip(_OPTIONAL_WHITESPACE)))
        if len(self._headers) > self._limits.max_headers:
            self._refuse(f"the upstream sent more than {self._limits.max_headers} headers")

    def on_headers_complete(self) -> None:
        """Decide what kind of response it is, check its framing, and pass the head on."""
        status = self._llhttp.get_status_code()
        self._is_interim = 100 <= status < 200 and status != 101
        if self._is_interim:
            self.had_interim = True
            return
        if not 200 <= status <= 599:
            self._refuse(f"the upstream answered with status {status}")
        if self._unproductive_bytes > self._limits.max_head_bytes and self._head_size() > self._limits.max_head_bytes:
            raise self._remember(self._too_large())
        self._check_framing(status)
        self._deliver_head(status)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._unproductive_bytes = 0
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        """The end of a response, or of an interim one in front of it."""
        if self._is_interim:
            self._is_interim = False
            self._headers = []
            return
        self._unproductive_bytes = 0
        self.is_complete = True

    def _deliver_head(self, status: int) -> None:
        self.has_head = True
        self.keeps_alive = self._llhttp.should_keep_alive() and not self.ends_with_connection
        self._unproductive_bytes = 0
        self.head = ResponseHead(status=status, headers=tuple(self._headers))
        if self._sink is not None:
            self._sink.head_received(self.head)

    def _deliver_body(self) -> None:
        if self._pieces and self._sink is not None:
            data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces.clear()
            self._sink.body_received(data)

    def _check_framing(self, status: int) -> None:
        lengths = [value for name, value in self._headers if name == b"content-length"]
        codings = [value.strip().lower() for name, value in self._headers if name == b"transfer-encoding"]
        match (len(lengths), codings):
            case (0 | 1, []):
                self.content_length = int(lengths[0]) if lengths else None
                self.ends_with_connection = not lengths and status not in _BODILESS
            case (0, [b"chunked"]):
                self.ends_with_connection = False
            case _:
                self._refuse("the upstream's answer says twice, or in an unknown way, where it ends")

    def _head_size(self) -> int:
        return sum(len(name) + len(value) for name, value in self._headers)

    def _too_large(self) -> UpstreamBroken:
        return UpstreamBroken(f"the upstream sent headers over {self._limits.max_head_bytes} bytes")

    def _refuse(self, cause: str) -> None:
        raise self._remember(UpstreamBroken(cause))

    def _remember(self, fault: UpstreamBroken) -> UpstreamBroken:
        """Httptools wraps what a callback raises; the original is kept to be raised in its place."""
        self._refusal = fault
        return fault
