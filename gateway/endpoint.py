"""`/servers/{name}/mcp`: decides on a request and carries it, as a bare ASGI application.

The order of an exchange: decide from the head; take what is here of the body; open the exchange with both; send the
rest of the body; wait a moment for a small and whole answer; otherwise pass pieces on as they come while the client's
connection is watched. Whatever ends it early (the client leaves, the server stops, a fault) closes the upstream's
connection, which is how an upstream learns that nobody waits any more.

A body that a tool policy has to judge is read as a whole before anything is sent upstream; any other streams. An answer
that has to be changed (a list under a policy) is read as a whole before anything is sent on.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from enum import Enum

import structlog
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from gateway.answers import ClientResponseHead, answer_head, explain
from gateway.breaker import MAX_REASON_BYTES, Breakers, ServerDown, down, down_problem, is_down
from gateway.calls import NO_BODY, UNREAD, Call, read_call
from gateway.client import Client, ClientGone
from gateway.decision import ClientHead, Forward, RequestRules, body_too_large
from gateway.edge.plans import PlanMemory
from gateway.edge.shared import Edge
from gateway.edge.writing import ResponseHeads
from gateway.headers import PIN_HEADER, SESSION_HEADER
from gateway.observation import EndedCall, Event, Observers
from gateway.policy import LIST, UnreadableList, check, filter_tools
from gateway.problems import Answer, ProblemKind, Refused, SessionNotFound, internal_fault, refusal, session_not_found
from gateway.relay import (
    BufferedResponse,
    Exchange,
    ExchangeAborted,
    MalformedHead,
    Relay,
    RelayFault,
    RequestHead,
    ResponseHead,
    UpstreamBroken,
    UpstreamUnreachable,
)
from gateway.relay.wire import encode_chunk
from gateway.restoring import SessionKeeper, is_lost, opening_of
from gateway.routing import RouteTable
from gateway.sessions import CapsuleSealer
from gateway.settings import GatewaySettings
from gateway.tracing import trace_of, with_trace

_log = structlog.get_logger("gateway")


_INITIALIZE = "initialize"
_HELD_S = 1.0
_MAX_LIST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is here of a request's body before anything is sent upstream."""

    first: bytes
    more: bool
    """Whether the rest is still to come and will be passed on as it comes."""
    call: Call

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be sent again, because all of it is still here."""
        return not self.more


class Outcome(Enum):
    """How one attempt at an exchange ended."""

    ANSWERED = "answered"
    LOST = "lost"
    """The session is unknown upstream, nothing was carried out, and the client has not been told anything."""


class ServerEndpoint:
    """The data path of one gateway."""

    def __init__(self, settings: GatewaySettings, routes: RouteTable, relay: Relay) -> None:
        self._settings = settings
        self._relay = relay
        self._sealer = CapsuleSealer(settings.session_key)
        self._observers = Observers(settings.observers)
        self._sessions = SessionKeeper(relay, self._observers)
        self._breakers = Breakers(settings.monotonic)
        self._rules = RequestRules(settings, routes, self._sealer, self._sessions)

    def edge(self) -> Edge:
        """The same data path for the connections themselves, by the same rules and over the same relay."""
        plans = PlanMemory(self._rules.decide, lambda: self._rules.generation)
        return Edge(
            relay=self._relay,
            plans=plans,
            heads=ResponseHeads(self._sealer),
            breakers=self._breakers,
            server_note=self._settings.server_note,
            observers=self._observers,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != ScopeType.HTTP:
            await send({"type": "websocket.close", "code": 1002, "reason": "MCP does not use WebSockets"})
            return
        client = Client(receive, send)
        head = ClientHead(method=scope["method"], path=scope["raw_path"], headers=list(scope["headers"]))
        try:
            forward = self._rules.decide(head)
        except Refused as error:
            self._observers.refused(error.problem.kind.code)
            await _answer(client, error.problem.answer())
        except SessionNotFound:
            self._observers.refused("session-not-found")
            await _answer(client, session_not_found())
        else:
            await self._carry_observed(forward, client)

    async def _carry_observed(self, forward: Forward, client: Client) -> None:
        began_s = self._settings.monotonic()
        try:
            await self._carry_answered(forward, client)
        finally:
            ended = EndedCall(
                principal=forward.grant.principal,
                server=forward.upstream.server,
                http_method=forward.method,
                method=client.call.method,
                name=client.call.name,
                status=client.status,
                seconds=self._settings.monotonic() - began_s,
            )
            self._observers.call_ended(ended)

    async def _carry_answered(self, forward: Forward, client: Client) -> None:
        """Turn every failure into an answer."""
        try:
            await self._carry(forward, client)
        except Refused as error:
            await _answer(client, error.problem.answer())
        except SessionNotFound:
            self._observers.happened(Event.SESSION_LOST, forward.upstream.server)
            await _answer(client, session_not_found())
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - the edge of a request's task: the fault ends this request only.
            _log.error("unhandled_fault", exc_info=error)
            await _answer(client, internal_fault().answer())

    async def _carry(self, forward: Forward, client: Client) -> None:
        server = forward.upstream.server
        try:
            request = await self._read(forward, client)
            client.call = request.call
            answer = check(forward.grant.tools, request.call, request.first, is_modern=not forward.has_sessions)
            if answer is not None:
                await client.answer(answer)
                return
            self._breakers.check(server)
            forward, request = _traced(forward, request)
            if await self._exchange(forward, client, request) is Outcome.LOST:
                await self._exchange_restored(forward, client, request)
        except ServerDown as fault:
            problem = down_problem(server, fault.cause, self._settings.server_note(server))
            await _answer(client, problem.rpc_answer() if forward.method == "POST" else problem.answer())
        except RelayFault as fault:
            self._breakers.note(server, fault)
            await self._report(forward, client, fault)

    async def _read(self, forward: Forward, client: Client) -> Request:
        """The body, as a whole where it has to be judged."""
        if forward.method != "POST":
            return Request(first=b"", more=False, call=NO_BODY)
        first, more = await client.next_piece(self._settings.body_timeout_s)
        self._check_size(len(first))
        if more and forward.grant.tools is not None:
            first, more = await self._read_rest(client, first), False
        return Request(first=first, more=more, call=UNREAD if more else read_call(first))

    async def _read_rest(self, client: Client, first: bytes) -> bytes:
        pieces, size, more = [first], len(first), True
        while more:
            piece, more = await client.next_piece(self._settings.body_timeout_s)
            pieces.append(piece)
            size += len(piece)
            self._check_size(size)
        return b"".join(pieces)

    async def _exchange_restored(self, forward: Forward, client: Client, request: Request) -> None:
        """Once more, on a session in place of the lost one. If that is lost too, the client has to start anew."""
        session = await self._sessions.restore(forward)
        kept = [header for header in forward.headers if header[0] not in {SESSION_HEADER, PIN_HEADER}]
        restored = replace(forward, session=session, headers=[*kept, *session.headers()])
        if await self._exchange(restored, client, request) is Outcome.LOST:
            raise SessionNotFound

    async def _exchange(self, forward: Forward, client: Client, request: Request) -> Outcome:
        response = BufferedResponse(self._settings.relay)
        exchange = await self._open(forward, response, request.first, more=request.more)
        try:
            if request.more:
                await self._send_rest(client, exchange, len(request.first))
            else:
                exchange.complete_request()
            if forward.is_restorable and request.is_repeatable:
                async with _watched(client, exchange):
                    upstream_head = await response.head()
                if is_lost(forward, upstream_head):
                    return Outcome.LOST
            is_quick = await response.completes_within(self._settings.patience_s)
            if request.call.method == LIST and forward.grant.tools is not None:
                await self._answer_filtered(forward, client, response, exchange)
            elif request.call.method == _INITIALIZE and is_quick:
                await self._answer_initialize(forward, client, response, request)
            elif is_quick:
                await self._answer_whole(forward, client, response)
            else:
                await self._answer_watched(forward, client, response, exchange)
            return Outcome.ANSWERED
        finally:
            exchange.abort()

    async def _head(self, forward: Forward, response: BufferedResponse) -> ResponseHead:
        """The head of an answer that a machine gave.

        Raises:
            ServerDown: the proxy in front of the machines answered in their place.
            SessionNotFound: the same, where only one machine could answer.
        """
        server, asked_s = forward.upstream.server, self._settings.monotonic()
        head = await response.head()
        if self._settings.monotonic() - asked_s > _HELD_S:
            self._observers.happened(Event.HELD, server)
        if not is_down(head):
            self._breakers.answered(server)
        elif forward.is_pinned:
            raise SessionNotFound
        else:
            fault = down(await response.read_whole(MAX_REASON_BYTES))
            self._breakers.note(server, fault)
            raise fault
        return head

    async def _answer_initialize(
        self, forward: Forward, client: Client, response: BufferedResponse, request: Request
    ) -> None:
        """The session's capsule says with what it may be started again, which only the whole answer tells."""
        upstream_head, body = await self._head(forward, response), await response.read()
        opening = opening_of(request.first, body, upstream_head)
        if upstream_head.value(SESSION_HEADER) is not None:
            self._observers.happened(Event.SESSION_STARTED, forward.upstream.server)
        head = answer_head(replace(forward, opening=opening), upstream_head, self._sealer)
        await client.start(head.status, head.for_whole_body(len(body)))
        await client.write(body, more=False)

    async def _answer_filtered(
        self, forward: Forward, client: Client, response: BufferedResponse, exchange: Exchange
    ) -> None:
        async with _watched(client, exchange):
            upstream_head = await self._head(forward, response)
            body = await response.read_whole(_MAX_LIST_BYTES)
        head = answer_head(forward, upstream_head, self._sealer)
        assert forward.grant.tools is not None
        if upstream_head.status == 200:
            try:
                body = filter_tools(forward.grant.tools, body, is_event_stream=upstream_head.is_event_stream)
            except UnreadableList as error:
                raise UpstreamBroken(f"its list of tools cannot be read: {error}") from error
        await client.start(head.status, head.for_changed_body(len(body)))
        await client.write(body, more=False)

    async def _open(self, forward: Forward, response: BufferedResponse, first: bytes, *, more: bool) -> Exchange:
        chunked = forward.content_length is None and more
        length = len(first) if forward.content_length is None and not more else forward.content_length
        opening = _encode(forward.request_head(length)) + (encode_chunk(first) if chunked else first)
        try:
            return await self._relay.open(forward.address, opening, response, chunked=chunked)
        except UpstreamUnreachable as fault:
            if fault.refused and forward.is_pinned:
                raise SessionNotFound from fault
            raise

    async def _send_rest(self, client: Client, exchange: Exchange, size: int) -> None:
        """Pass the body on as it comes. An upstream that answers early, with an error, does not get the rest."""
        more = True
        while more and exchange.is_open:
            piece, more = await client.next_piece(self._settings.body_timeout_s)
            size += len(piece)
            self._check_size(size)
            await exchange.send(piece)
        if not more:
            exchange.complete_request()

    async def _answer_whole(self, forward: Forward, client: Client, response: BufferedResponse) -> None:
        head = answer_head(forward, await self._head(forward, response), self._sealer)
        body = await response.read()
        await client.start(head.status, head.for_whole_body(len(body)))
        await client.write(body, more=False)

    async def _answer_watched(
        self, forward: Forward, client: Client, response: BufferedResponse, exchange: Exchange
    ) -> None:
        async with _watched(client, exchange):
            upstream_head = await self._head(forward, response)
            head = answer_head(forward, upstream_head, self._sealer)
            with self._counted(forward, upstream_head):
                await _copy(head, client, response)

    @contextmanager
    def _counted(self, forward: Forward, head: ResponseHead) -> Generator[None]:
        """An event stream is counted for as long as it is open."""
        change, server = int(head.is_event_stream), forward.upstream.server
        self._observers.stream_changed(server, change)
        try:
            yield
        finally:
            self._observers.stream_changed(server, -change)

    async def _report(self, forward: Forward, client: Client, fault: RelayFault) -> None:
        """Tell the client if it can still be told. Otherwise its answer stays visibly incomplete: the server closes
        the connection of a response that was begun and not ended.
        """
        server = forward.upstream.server
        if not isinstance(fault, ExchangeAborted):
            _log.warning("upstream_fault", server=server, cause=fault.cause, answer_begun=client.has_started)
        problem = explain(fault, server)
        await _answer(client, problem.rpc_answer() if forward.method == "POST" else problem.answer())

    def _check_size(self, size: int) -> None:
        if size > self._settings.max_body_bytes:
            raise body_too_large(self._settings)


def _encode(head: RequestHead) -> bytes:
    try:
        return head.encode()
    except MalformedHead as error:
        raise refusal(ProblemKind.AMBIGUOUS_REQUEST, f"The request cannot be passed on: {error}.") from error


async def _copy(head: ClientResponseHead, client: Client, response: BufferedResponse) -> None:
    await client.start(head.status, head.headers)
    while piece := await response.read():
        await client.write(piece, more=True)
    await client.write(b"", more=False)


@asynccontextmanager
async def _watched(client: Client, exchange: Exchange) -> AsyncGenerator[None, None]:
    """End the exchange if the client leaves meanwhile."""
    failure: RelayFault | SessionNotFound | None = None
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(_abort_when_left(client, exchange))
        try:
            yield
        except (RelayFault, SessionNotFound) as error:
            failure = error
        finally:
            watch.cancel()
    if failure is not None:
        raise failure


def _traced(forward: Forward, request: Request) -> tuple[Forward, Request]:
    """The same with the trace of the headers in the message, where the whole message is here."""
    trace = trace_of(forward.headers) if forward.method == "POST" and not request.more else {}
    if not trace:
        return forward, request
    body = with_trace(request.first, trace)
    return replace(forward, content_length=len(body)), replace(request, first=body)


async def _abort_when_left(client: Client, exchange: Exchange) -> None:
    await client.left()
    exchange.abort()


async def _answer(client: Client, answer: Answer) -> None:
    if not client.has_started:
        await client.answer(answer)
