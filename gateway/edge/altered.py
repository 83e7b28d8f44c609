"""A call of the common address on the edge: the server's answer, changed on its way where it has to be.

What `gateway.aggregate.passing` does by ASGI. An event stream is written anew event by event; a plain answer passes as
it is, unless it may hold something that the client must get in another form: then it is kept until it is whole.
"""

from gateway.aggregate.events import EventReader, rewritten
from gateway.aggregate.passing import MAX_HELD_BYTES, Changes
from gateway.edge.carriage import Carriage
from gateway.edge.exchange import ClientConnection, EdgeCall, Given
from gateway.edge.writing import announces_length
from gateway.observation import Event
from gateway.problems import SessionNotFound
from gateway.relay import RelayFault, ResponseHead, UpstreamBroken
from gateway.relay.wire import encode_chunk

_NOT_FOUND = 404
_BODILESS = frozenset({204, 304})


class AlteredCall(EdgeCall):
    """Implements `ResponseSink` for one client of the common address."""

    __slots__ = ("_answering", "_changes", "_held", "_held_head", "_is_events", "_keeps_length", "_reader")

    def __init__(self, carriage: Carriage, client: ClientConnection, given: Given) -> None:
        super().__init__(carriage.plan, carriage.asked, client, given)
        self._answering = carriage.answering
        self._changes: Changes | None = None
        self._reader: EventReader | None = None
        self._held: bytearray | None = None
        self._held_head: ResponseHead | None = None
        self._is_events = False
        self._keeps_length = False
        """Whether the client gets the length that the server announced."""

    def whole_received(self, head: ResponseHead, body: bytes) -> None:
        """Everything in one write, unless it is not for the client."""
        if self._is_of_proxy(head):
            self._reason = body
        elif head.status == _NOT_FOUND and self._answering.in_session:
            self._begin_again()
        else:
            self._write_whole(head, body)

    def head_received(self, head: ResponseHead) -> None:
        """Begin a stream, or wait for a body that may have to be changed."""
        if self._is_of_proxy(head):
            self._reason = b""
        elif head.status == _NOT_FOUND and self._answering.in_session:
            self._begin_again()
        elif head.is_event_stream:
            self._reader = EventReader()
            self._pass(head)
        elif self._answering.marker is not None and _is_json(head):
            self._held, self._held_head = bytearray(), head
        else:
            self._pass(head)

    def body_received(self, data: bytes) -> None:
        """Take a piece."""
        if not self._is_open:
            return
        if self._held is not None:
            self._hold(self._held, data)
        elif self._reader is not None:
            self._pass_events(self._reader, data)
        else:
            super().body_received(data)

    def ended(self) -> None:
        """The answer is whole."""
        if self._is_open and self._held is not None and self._held_head is not None:
            self._write_whole(self._held_head, bytes(self._held))
        elif self._is_open and self._reader is not None:
            self._write_piece(self._reader.rest())
        super().ended()

    def _write_whole(self, head: ResponseHead, body: bytes) -> None:
        translated = self._translate(head)
        if translated is None:
            return
        try:
            changed = self._changed(head, body)
        except UpstreamBroken as fault:
            self._refuse(fault)
            return
        self.has_begun = True
        self._begin(head)
        length = b"" if head.status in _BODILESS else b"content-length: %d\r\n" % len(changed)
        self._client.write(b"%b%b%b%b" % (translated, length, self._client.head_end(), changed))

    def _pass(self, head: ResponseHead) -> None:
        """Begin an answer that goes on piece by piece."""
        self._keeps_length = announces_length(head) and not head.is_event_stream
        self._start(head, is_chunked=not self._keeps_length)

    def _client_head(self, head: ResponseHead) -> bytes:
        part = self._shared.heads.translate_part(self.plan.forward, head, keeps_length=self._keeps_length)
        self._is_events = part.is_event_stream
        return part.encoded

    def _hold(self, held: bytearray, data: bytes) -> None:
        """Until it is whole, or too large to be one that has to be changed."""
        held += data
        if len(held) > MAX_HELD_BYTES and self._held_head is not None:
            self._held = None
            self._pass(self._held_head)
            super().body_received(bytes(held))

    def _pass_events(self, reader: EventReader, data: bytes) -> None:
        self._shared.reads.notice(self._server, data)
        try:
            changed = rewritten(reader, data, self._all_changes().applied)
        except UpstreamBroken as fault:
            self._refuse(fault)
            return
        self._write_piece(changed)
        if self._client.is_slow and self.flow is not None:
            self.flow.pause_reading()

    def _write_piece(self, data: bytes) -> None:
        self._client.write(encode_chunk(data))

    def _changed(self, head: ResponseHead, body: bytes) -> bytes:
        """Raises UpstreamBroken where an event is too large."""
        if self._is_events:
            reader = EventReader()
            return rewritten(reader, body, self._all_changes().applied) + reader.rest()
        marker = self._answering.marker
        if marker is None or marker not in body or not _is_json(head):
            return body
        change = self._all_changes().body
        return body if change is None else change(body.decode("utf-8", "replace")).encode("utf-8")

    def _all_changes(self) -> Changes:
        if self._changes is None:
            self._changes = self._answering.changes()
        return self._changes

    def _begin_again(self) -> None:
        """ASGI starts another session with the server, which is no reason for the client to start anew."""
        self._answering.session_lost()
        self._give_up()

    def _give_up(self) -> None:
        self._answering.ended()
        super()._give_up()

    def _refuse(self, error: RelayFault | SessionNotFound) -> None:
        if isinstance(error, SessionNotFound) and self._answering.in_session and not self.has_begun:
            self._shared.observers.happened(Event.SESSION_LOST, self._server)
            self._begin_again()
        else:
            super()._refuse(error)

    def _close(self) -> None:
        super()._close()
        self._answering.ended()


def _is_json(head: ResponseHead) -> bool:
    return (head.value(b"content-type") or b"").startswith(b"application/json")
