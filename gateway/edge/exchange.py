"""One call on the edge: takes the response from the relay and writes it to the client as it comes.

A client that reads slowly stops the reading from the upstream; a client that leaves ends the exchange. What the
upstream breaks off stays visibly incomplete for the client, because its connection is closed in the middle.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import structlog

from gateway.answers import explain
from gateway.breaker import MAX_REASON_BYTES, ServerDown, down, down_problem, is_down
from gateway.calls import Call
from gateway.edge.plans import Plan
from gateway.edge.shared import Edge
from gateway.edge.writing import announces_length, encode_answer
from gateway.observation import EndedCall, Event
from gateway.problems import Answer, SessionNotFound, session_not_found
from gateway.relay import ExchangeAborted, RelayFault, ResponseHead
from gateway.relay.exchange import ReadFlow
from gateway.relay.wire import LAST_CHUNK, encode_chunk
from gateway.restoring import is_lost

_log = structlog.get_logger("gateway")
_HELD_S = 1.0


class ClientConnection(Protocol):
    """What a call needs of the connection that it came in on."""

    @property
    def is_slow(self) -> bool:
        """Whether the client has yet to read what was written."""
        ...

    def write(self, data: bytes) -> None: ...

    def head_end(self) -> bytes:
        """The headers that every response has, and the empty line."""
        ...

    def call_given_up(self, request: bytes) -> None:
        """The call has to be made again, by the ASGI application."""
        ...

    def call_ended(self, *, clean: bool) -> None:
        """The call is over; an unclean end means that the client must not take the response for whole."""
        ...


class Given(NamedTuple):
    """What a call is made of besides its plan."""

    edge: Edge
    request: bytes
    """As it came in, to be made again by ASGI."""
    clock: Callable[[], float]


class EdgeCall:
    """Implements `ResponseSink` for one client."""

    __slots__ = (
        "_asked",
        "_began_s",
        "_client",
        "_given",
        "_is_chunked",
        "_is_open",
        "_reason",
        "_shared",
        "_status",
        "flow",
        "has_begun",
        "is_stream",
        "plan",
    )

    def __init__(self, plan: Plan, asked: Call, client: ClientConnection, given: Given) -> None:
        self.plan = plan
        self._asked = asked
        self._given = given
        self._began_s = given.clock()
        self._status = 0
        self._client = client
        self._shared = given.edge
        self._reason: bytes | None = None
        """What the proxy in front of the machines says in their place, as far as it is here."""
        self._is_chunked = False
        self._is_open = True
        self.has_begun = False
        self.is_stream = False
        self.flow: ReadFlow | None = None

    def started(self, flow: ReadFlow) -> None:
        """Remember whom to slow down."""
        self.flow = flow

    def whole_received(self, head: ResponseHead, body: bytes) -> None:
        """The most frequent case: everything in one write."""
        if self._is_of_proxy(head):
            self._reason = body
            return
        translated = self._translate(head)
        if translated is not None:
            self.has_begun = True
            self._begin(head)
            self._client.write(b"%b%b%b" % (translated, self._client.head_end(), body))

    def head_received(self, head: ResponseHead) -> None:
        """Write the head; without an announced length the body goes out in chunks."""
        if self._is_of_proxy(head):
            self._reason = b""
        else:
            self._start(head, is_chunked=not announces_length(head))

    def _start(self, head: ResponseHead, *, is_chunked: bool) -> None:
        translated = self._translate(head)
        if translated is None:
            return
        self.has_begun = True
        self._begin(head)
        self.is_stream = head.is_event_stream
        if self.is_stream:
            self._shared.observers.stream_changed(self._server, 1)
        self._is_chunked = is_chunked
        framing = b"transfer-encoding: chunked\r\n" if self._is_chunked else b""
        self._client.write(b"%b%b%b" % (translated, framing, self._client.head_end()))

    def body_received(self, data: bytes) -> None:
        """Write a piece."""
        if self._reason is not None:
            self._reason = (self._reason + data)[:MAX_REASON_BYTES]
        elif self._is_open:
            if self.is_stream:
                self._shared.reads.notice(self._server, data)
            self._client.write(encode_chunk(data) if self._is_chunked else data)
            if self._client.is_slow and self.flow is not None:
                self.flow.pause_reading()

    def ended(self) -> None:
        """The response is whole."""
        if self._reason is not None and self._is_open:
            self._refuse(SessionNotFound() if self.plan.forward.is_pinned else down(self._reason))
        elif self._is_open:
            self._close()
            if self._is_chunked:
                self._client.write(LAST_CHUNK)
            self._client.call_ended(clean=True)

    def failed(self, fault: RelayFault) -> None:
        """Say so, if nothing has been said yet."""
        if not self._is_open:
            return
        if not isinstance(fault, ExchangeAborted):
            _log.warning("upstream_fault", server=self._server, cause=fault.cause, answer_begun=self.has_begun)
        self._refuse(fault)

    def leave(self) -> None:
        """Nobody wants the response any more."""
        if self._is_open:
            self._close()

    def withdraw(self) -> None:
        """Somebody else makes this call."""
        self._is_open = False

    def end_stream(self) -> None:
        """End an event stream between two events, as a server does that goes away: the client will ask again."""
        if self._is_open and self.is_stream:
            self._close()
            self._client.write(LAST_CHUNK)
            self._client.call_ended(clean=True)

    def _is_of_proxy(self, head: ResponseHead) -> bool:
        """Whether the proxy in front of the machines answers in their place, and says why."""
        return head.status >= 500 and is_down(head) and not is_lost(self.plan.forward, head)

    def _begin(self, head: ResponseHead) -> None:
        self._status = head.status
        if self._given.clock() - self._began_s > _HELD_S:
            self._shared.observers.happened(Event.HELD, self._server)

    def _translate(self, head: ResponseHead) -> bytes | None:
        if head.status >= 400 and is_lost(self.plan.forward, head):
            self._give_up()
            return None
        try:
            return self._client_head(head)
        except (RelayFault, SessionNotFound) as error:
            self._refuse(error)
            return None

    def _client_head(self, head: ResponseHead) -> bytes:
        """Raises RelayFault, SessionNotFound."""
        return self._shared.heads.translate(self.plan.forward, head)

    def _give_up(self) -> None:
        """Nothing was carried out: the call is made again, by ASGI."""
        self._is_open = False
        self._client.call_given_up(self._given.request)

    def _refuse(self, error: RelayFault | SessionNotFound) -> None:
        if isinstance(error, RelayFault):
            self._shared.breakers.note(self._server, error)
        else:
            self._shared.observers.happened(Event.SESSION_LOST, self._server)
        if not self.has_begun:
            answer = self._answer(error)
            self._status = answer.status
            self._client.write(encode_answer(answer))
        self._close()
        self._client.call_ended(clean=not self.has_begun)

    @property
    def _server(self) -> str:
        return self.plan.forward.upstream.server

    def _close(self) -> None:
        """The call is over, and whoever counts is told."""
        self._is_open = False
        if self.is_stream:
            self._shared.observers.stream_changed(self._server, -1)
        forward = self.plan.forward
        self._shared.quotas.leave(forward.grant, is_call=forward.method == "POST")
        ended = EndedCall(
            principal=forward.grant.principal,
            server=self._server,
            http_method=forward.method,
            method=self._asked.method,
            name=self._asked.name,
            status=self._status,
            seconds=self._given.clock() - self._began_s,
        )
        self._shared.observers.call_ended(ended)

    def _answer(self, error: RelayFault | SessionNotFound) -> Answer:
        if isinstance(error, SessionNotFound):
            return session_not_found()
        server = self.plan.forward.upstream.server
        is_down = isinstance(error, ServerDown)
        note = self._shared.server_note(server) if is_down else ""
        problem = down_problem(server, error.cause, note) if is_down else explain(error, server)
        return problem.rpc_answer() if self.plan.forward.method == "POST" else problem.answer()
