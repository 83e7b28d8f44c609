"""A client's connection: each request goes to the edge or to uvicorn, in the order in which they came.

The edge takes a request only when uvicorn stands between two messages, when the head is plain and accepted, when the
body is here or small enough to wait for, and when the upstream has an idle connection. In every other case the bytes,
of which nothing has been consumed, go to uvicorn. While a call of the edge is under way, what the client sends already
is kept for afterwards, up to a limit at which the client is no longer read.
"""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.calls import NO_BODY, Call, read_call
from gateway.edge.altered import AlteredCall
from gateway.edge.carriage import Carriage, CommonHead
from gateway.edge.common import CommonAddress
from gateway.edge.exchange import EdgeCall, Given
from gateway.edge.heads import MAX_BLOCK_BYTES
from gateway.edge.plans import Plan, PlanMemory
from gateway.edge.shared import Edge
from gateway.edge.writing import encode_headers
from gateway.observation import EndedCall, Event
from gateway.policy import is_decided
from gateway.relay import Exchange, RelayFault
from gateway.relay.known import HEAD_END

_READ_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
_OWN_PATHS = b" /servers/"
_COMMON_PATH = b"POST /mcp "
_LONGEST_METHOD = 6
_MAX_BODY_BYTES = 64 * 1024
"""A larger body streams through ASGI: it costs more than ASGI does."""
_MAX_WAITING_BYTES = 256 * 1024
_INITIALIZE = "initialize"
_BODY_PATIENCE_S = 1.0
"""How long the rest of a small body may take; then uvicorn waits for it, under the limits of the ASGI path."""


def edge_protocol(edge: Edge) -> type[asyncio.Protocol]:
    """The protocol class for `uvicorn.Config(http=…)` that carries the calls of this gateway."""

    class BoundEdgeProtocol(EdgeProtocol):
        shared = edge

    return BoundEdgeProtocol


class EdgeProtocol(HttpToolsProtocol):
    """See the module. Made by uvicorn, once for each connection."""

    shared: Edge

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._call: EdgeCall | None = None
        self._exchange: Exchange | None = None
        self._waiting = b""
        self._body_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_since_s = 0.0
        self._uvicorn_reads = False
        """Whether uvicorn is in the middle of a message from the client."""
        self._uvicorn_answers = False
        """Whether uvicorn owes the client a response."""
        self._is_reading = True
        self._is_leaving = False
        self.is_slow = False

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._waiting:
            data = self._waiting + data
        if self._call is not None:
            self._wait(data)
        elif self._is_uvicorns_turn():
            self._give_to_uvicorn(data)
        else:
            self._read(data)

    def _is_uvicorns_turn(self) -> bool:
        return self._uvicorn_reads or self._uvicorn_answers

    def _read(self, data: bytes) -> None:
        """The beginning of a request, while nothing else is under way."""
        found = self._find(data)
        if found is None:
            self._give_to_uvicorn(data)
            return
        end = data.index(HEAD_END) + len(HEAD_END) + found.body_size
        if len(data) < end:
            self._wait_for_body(data)
            return
        self._waiting = data[end:]
        if not self._begin(found, data if len(data) == end else data[:end]):
            self._give_to_uvicorn(data)

    def _find(self, data: bytes) -> Plan | CommonHead | None:
        if data.find(_OWN_PATHS, 0, _LONGEST_METHOD + len(_OWN_PATHS)) >= 0:
            known: PlanMemory | CommonAddress = self.shared.plans
        elif data.startswith(_COMMON_PATH):
            known = self.shared.common
        else:
            return None
        end = data.find(HEAD_END, 0, MAX_BLOCK_BYTES)
        found = known.find(data[: end + len(HEAD_END)]) if end >= 0 else None
        return found if found is not None and found.body_size <= _MAX_BODY_BYTES else None

    def _begin(self, found: Plan | CommonHead, request: bytes) -> bool:
        """Whether the edge has taken the request. What is over a limit is left to ASGI, to be refused there."""
        if isinstance(found, Plan):
            return self._enter(found, None, request)
        body = request[len(request) - found.body_size :]
        carriage = self.shared.common.carriage(found, body)
        return carriage is not None and self._enter(carriage.plan, carriage, request)

    def _enter(self, plan: Plan, carriage: Carriage | None, request: bytes) -> bool:
        grant = plan.forward.grant
        if grant.limits is None:
            return self._carry(plan, carriage, request)
        quotas, is_call = self.shared.quotas, plan.forward.method == "POST"
        if quotas.enter(grant, is_call=is_call) is not None:
            return False
        is_carried = self._carry(plan, carriage, request)
        if not is_carried:
            quotas.give_back(grant, is_call=is_call)
        return is_carried

    def _carry(self, plan: Plan, carriage: Carriage | None, request: bytes) -> bool:
        if carriage is not None:
            return self._carry_part(carriage, request)
        body = request[len(request) - plan.body_size :]
        if plan.read_method:
            caller = (plan.forward.grant.principal, plan.generation[:2])
            answer = self.shared.reads.find_again(caller, plan.opening, body)
            if answer is not None:
                self._answer_from_memory(plan, answer)
                return True
        asked = read_call(body) if plan.body_size else NO_BODY
        if asked.method == _INITIALIZE or asked.machine or not self._is_clear(plan, asked):
            return False
        call = EdgeCall(plan, asked, self, Given(self.shared, request, self.loop.time))
        exchange = self.shared.relay.open_at_once(plan.address, plan.opening + body, call)
        if exchange is None and not self._dial(plan, call, request):
            return False
        self._take(call, exchange)
        return True

    def _carry_part(self, carriage: Carriage, request: bytes) -> bool:
        """A request to the common address, at the one server that it is for."""
        plan = carriage.plan
        if not self._is_clear(plan, carriage.asked):
            return False
        call = AlteredCall(carriage, self, Given(self.shared, request, self.loop.time))
        exchange = self.shared.relay.open_at_once(plan.address, plan.opening + carriage.body, call)
        if exchange is None:
            return False
        carriage.answering.began()
        self._take(call, exchange)
        return True

    def _is_clear(self, plan: Plan, asked: Call) -> bool:
        """Whether nothing has to be looked at but the call, and that may pass."""
        server = plan.forward.upstream.server
        if plan.read_method and not self.shared.reads.is_hopeless(server, asked.method):
            return False
        return self.shared.breakers.is_clear(server) and is_decided(plan.forward.grant.tools, asked)

    def _take(self, call: EdgeCall, exchange: Exchange | None) -> None:
        self._call, self._exchange = call, exchange
        if self._body_timer is not None:
            self._stop_body_timer()
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()

    def _dial(self, plan: Plan, call: EdgeCall, request: bytes) -> bool:
        """A stream stays for hours: for one of them a connection of its own is made here, because ASGI would hold three
        times the memory. Every other call makes its first connection by ASGI.
        """
        if plan.forward.method != "GET":
            return False

        async def connect() -> None:
            try:
                exchange = await self.shared.relay.open(plan.address, plan.opening, call, chunked=False)
            except RelayFault:
                if self._call is call:
                    call.withdraw()
                    self.call_given_up(request)
                return
            if self._call is call:
                self._exchange = exchange
                exchange.complete_request()
            else:
                exchange.abort()

        return self.shared.dialling.start(connect)

    def _answer_from_memory(self, plan: Plan, body: bytes) -> None:
        self.transport.write(b"%b%d\r\n%b%b" % (_READ_HEAD, len(body), self.head_end(), body))
        self._stop_body_timer()
        self._unset_keepalive_if_required()
        forward = plan.forward
        server = forward.upstream.server
        self.shared.quotas.leave(forward.grant, is_call=True)
        self.shared.observers.happened(Event.READ_FROM_MEMORY, server)
        ended = EndedCall(forward.grant.principal, server, forward.method, plan.read_method, "", 200, 0.0)
        self.shared.observers.call_ended(ended)
        self.server_state.total_requests += 1
        self._go_on()

    def _wait_for_body(self, data: bytes) -> None:
        self._waiting = data
        if self._body_timer is None:
            self._body_timer = self.loop.call_later(_BODY_PATIENCE_S, self._stop_waiting)

    def _stop_waiting(self) -> None:
        self._body_timer = None
        if self._call is None and self._waiting and not self.transport.is_closing():
            self._give_to_uvicorn(self._waiting)

    def _stop_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _give_to_uvicorn(self, data: bytes) -> None:
        self._waiting = b""
        self._stop_body_timer()
        super().data_received(data)

    def _wait(self, data: bytes) -> None:
        """Keep what came before its turn."""
        self._waiting = data
        if len(data) > _MAX_WAITING_BYTES and self._is_reading:
            self._is_reading = False
            self.transport.pause_reading()

    def write(self, data: bytes) -> None:
        """Send to the client."""
        self.transport.write(data)

    def head_end(self) -> bytes:
        """The headers that uvicorn gives every response, and the empty line."""
        if self._is_leaving:
            return encode_headers([*self.server_state.default_headers, (b"connection", b"close")]) + b"\r\n"
        return self.shared.head_ends.of(self.server_state.default_headers)

    def call_ended(self, *, clean: bool) -> None:
        """The edge's call is over: the connection is free for the next one, or closes."""
        exchange, self._call, self._exchange = self._exchange, None, None
        if exchange is not None:
            exchange.abort()
        self.server_state.total_requests += 1
        if not clean:
            self.transport.abort()
        elif self._is_leaving:
            self.transport.close()
        else:
            self._go_on()

    def call_given_up(self, request: bytes) -> None:
        """Nothing has been answered and nothing been carried out: let ASGI try."""
        if self._call is not None:
            forward = self._call.plan.forward
            self.shared.quotas.give_back(forward.grant, is_call=forward.method == "POST")
        exchange, self._call, self._exchange = self._exchange, None, None
        if exchange is not None:
            exchange.abort()
        waiting, self._waiting = self._waiting, b""
        self._give_to_uvicorn(request + waiting)

    def _go_on(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            self.transport.resume_reading()
        self._idle_since_s = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._look_at_idleness)
        if self._waiting:
            # Not from inside the relay: the upstream connection that has just ended is about to be put away.
            self.loop.call_soon(self._read_waiting)

    def _read_waiting(self) -> None:
        if self._call is None and self._waiting and not self.transport.is_closing():
            data, self._waiting = self._waiting, b""
            self.data_received(data)

    def _look_at_idleness(self) -> None:
        """One timer for many short calls: it rings, and looks how long ago the last one ended."""
        self._idle_timer = None
        if self._call is not None or self._waiting or self._is_uvicorns_turn() or self.transport.is_closing():
            return
        left_s = self._idle_since_s + self.timeout_keep_alive - self.loop.time()
        if self.timeout_keep_alive_task is not None:
            return
        if left_s > 0:
            self._idle_timer = self.loop.call_later(left_s, self._look_at_idleness)
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        """Uvicorn's parser met the first byte of a request."""
        self._uvicorn_reads = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Uvicorn's parser met the end of a head: a response follows."""
        self._uvicorn_answers = True
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Uvicorn has written a response, and begins with the next one where the client has sent ahead."""
        self._uvicorn_answers = bool(self.pipeline)
        super().on_response_complete()

    def on_message_complete(self) -> None:
        """Uvicorn's parser met the last byte of a request."""
        self._uvicorn_reads = False
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client does not read."""
        self.is_slow = True
        super().pause_writing()
        if self._exchange is not None:
            self._exchange.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self.is_slow = False
        super().resume_writing()
        if self._exchange is not None:
            self._exchange.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, and with it the reason for its call."""
        if self._call is not None:
            self._call.leave()
        if self._exchange is not None:
            self._exchange.abort()
        self._call = self._exchange = None
        self._stop_body_timer()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server is about to stop: calls under way finish, streams that would never end do so now."""
        if self._call is None:
            super().shutdown()
            return
        self._is_leaving = True
        if self._call.plan.forward.method == "GET":
            self._call.end_stream()
