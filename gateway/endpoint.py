"""`/servers/{name}/mcp`: decides on a request and carries it, as a bare ASGI application.

The order: decide from the head; take what is here of the body; check it against the tool policy; answer it from memory
where that is allowed; otherwise exchange it with the upstream (`gateway.exchanging`). This is the edge where every
failure becomes an answer, and where whoever observes is told that the call is over.

A body that a tool policy has to judge is read as a whole before anything is sent upstream; any other streams.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import structlog
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from gateway.access import Undecided
from gateway.aggregate.core import Core
from gateway.answers import explain
from gateway.breaker import Breakers, ServerDown, down_problem
from gateway.calls import NO_BODY, UNREAD, read_call
from gateway.client import Client, ClientGone
from gateway.cors import cors_headers, preflight
from gateway.decision import BY_AGGREGATE, ClientHead, Forward, RequestRules
from gateway.edge.common import CommonAddress
from gateway.edge.plans import PlanMemory
from gateway.edge.shared import Edge
from gateway.edge.writing import ResponseHeads
from gateway.exchanging import Exchanger, Parts, Request, check_size
from gateway.headers import PREFER_HEADER
from gateway.observation import EndedCall, Event, Observers
from gateway.policy import check
from gateway.problems import Answer, Refused, SessionNotFound, internal_fault, session_not_found
from gateway.quotas import Quotas, told
from gateway.reads import ReadMemory
from gateway.relay import ExchangeAborted, Relay, RelayFault
from gateway.restoring import SessionKeeper
from gateway.routing import RouteTable
from gateway.sessions import CapsuleSealer
from gateway.settings import GatewaySettings
from gateway.tracing import trace_of, with_trace

_log = structlog.get_logger("gateway")
_MOST_FETCHES = 4
"""Fetching the same thing again is put off for seconds, so that the second question is usually the last."""


class ServerEndpoint:
    """The data path of one gateway."""

    def __init__(self, settings: GatewaySettings, routes: RouteTable, relay: Relay) -> None:
        self._settings = settings
        observers = Observers(settings.observers)
        self._parts = Parts(
            settings=settings,
            relay=relay,
            sealer=CapsuleSealer(settings.session_key),
            observers=observers,
            sessions=SessionKeeper(relay, observers),
            breakers=Breakers(settings.monotonic),
            reads=ReadMemory(settings.monotonic),
            quotas=Quotas(settings.monotonic, settings.now),
        )
        self._rules = RequestRules(settings, routes, self._parts.sealer, self._parts.sessions)
        self._exchanger = Exchanger(self._parts)

    @property
    def quotas(self) -> Quotas:
        """What callers have used."""
        return self._parts.quotas

    def edge(self, core: Core) -> Edge:
        """The same data path for the connections themselves, by the same rules and over the same relay; with it the
        calls of the common address, which `core` knows.
        """
        plans = PlanMemory(self._rules.decide, lambda: self._rules.generation)
        return Edge(
            relay=self._parts.relay,
            plans=plans,
            heads=ResponseHeads(self._parts.sealer),
            breakers=self._parts.breakers,
            server_note=self._settings.server_note,
            observers=self._parts.observers,
            reads=self._parts.reads,
            quotas=self._parts.quotas,
            common=CommonAddress(self._settings, core, plans),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != ScopeType.HTTP:
            await send({"type": "websocket.close", "code": 1002, "reason": "MCP does not use WebSockets"})
            return
        client = Client(receive, send)
        head = ClientHead(
            method=scope["method"],
            path=scope["raw_path"],
            headers=list(scope["headers"]),
            is_aggregate=BY_AGGREGATE in scope,
            session_name=cast("Mapping[str, bytes]", scope).get(BY_AGGREGATE, b""),
        )
        page = self._rules.page_of(head)
        client.cors = cors_headers(page)
        if page is not None and head.method == "OPTIONS":
            await client.answer(preflight(dict(head.headers)))
            return
        try:
            forward = await self._decide(head)
        except Refused as error:
            self._parts.observers.refused(error.problem.kind.code)
            await _answer(client, error.problem.answer())
        except SessionNotFound:
            self._parts.observers.refused("session-not-found")
            await _answer(client, session_not_found())
        else:
            await self._carry_observed(forward, client)

    async def _decide(self, head: ClientHead) -> Forward:
        """The decision, once all is here that it needs. What cannot be had by fetching it once is a refusal.

        Raises:
            Refused, SessionNotFound: as `RequestRules.decide`.
        """
        for _ in range(_MOST_FETCHES):
            try:
                return self._rules.decide(head)
            except Undecided as undecided:
                await undecided.fetch()
        raise Refused(internal_fault())

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
                is_denied=client.is_denied,
            )
            self._parts.observers.call_ended(ended)

    async def _carry_answered(self, forward: Forward, client: Client) -> None:
        """Turn every failure into an answer."""
        try:
            with self._parts.quotas.held(forward.grant, is_call=forward.method == "POST"):
                await self._carry(forward, client)
        except Refused as error:
            await _answer(client, told(error.problem, forward.method))
        except SessionNotFound:
            self._parts.observers.happened(Event.SESSION_LOST, forward.upstream.server)
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
                client.is_denied = True
                await client.answer(answer)
                return
            request, answer = self._from_memory(forward, request)
            if answer is not None:
                await client.answer(answer)
                return
            self._parts.breakers.check(server)
            forward = _steered(forward, request)
            await self._exchanger.carry(*_traced(forward, request), client)
        except ServerDown as fault:
            problem = down_problem(server, fault.cause, self._settings.server_note(server))
            await _answer(client, problem.rpc_answer() if forward.method == "POST" else problem.answer())
        except RelayFault as fault:
            self._parts.breakers.note(server, fault)
            await self._report(forward, client, fault)

    def _from_memory(self, forward: Forward, request: Request) -> tuple[Request, Answer | None]:
        """The answer, if it is here; and the request, with what it reads if the server's answer may be kept."""
        if request.more or forward.has_sessions:
            return request, None
        reads = self._parts.reads
        read = reads.judge(forward, request.first, self._rules.generation[:2])
        if read is None:
            return request, None
        answer = reads.find(read)
        if answer is not None:
            self._parts.observers.happened(Event.READ_FROM_MEMORY, forward.upstream.server)
        if forward.content_length is not None:
            # Also of what another caller has read: requests like this one need not come here again.
            opening = forward.request_head(forward.content_length).encode()
            reads.learn_shape(read, opening, request.first)
        return replace(request, read=read), answer

    async def _read(self, forward: Forward, client: Client) -> Request:
        """The body, as a whole where it has to be judged."""
        if forward.method != "POST":
            return Request(first=b"", more=False, call=NO_BODY)
        first, more = await client.next_piece(self._settings.body_timeout_s)
        check_size(len(first), self._settings)
        if more and forward.grant.tools is not None:
            first, more = await self._read_rest(client, first), False
        return Request(first=first, more=more, call=UNREAD if more else read_call(first))

    async def _read_rest(self, client: Client, first: bytes) -> bytes:
        pieces, size, more = [first], len(first), True
        while more:
            piece, more = await client.next_piece(self._settings.body_timeout_s)
            pieces.append(piece)
            size += len(piece)
            check_size(size, self._settings)
        return b"".join(pieces)

    async def _report(self, forward: Forward, client: Client, fault: RelayFault) -> None:
        """Tell the client if it can still be told. Otherwise its answer stays visibly incomplete: the server closes
        the connection of a response that was begun and not ended.
        """
        server = forward.upstream.server
        if not isinstance(fault, ExchangeAborted):
            _log.warning("upstream_fault", server=server, cause=fault.cause, answer_begun=client.has_started)
        problem = explain(fault, server)
        await _answer(client, problem.rpc_answer() if forward.method == "POST" else problem.answer())


def _steered(forward: Forward, request: Request) -> Forward:
    """Towards the machine in which a call waits for what this one brings (2026-07-28, multi round-trip requests). Only
    preferred: where that machine is gone, another one knows how to say so.
    """
    if forward.has_sessions or not request.call.machine:
        return forward
    return replace(forward, headers=[*forward.headers, (PREFER_HEADER, request.call.machine.encode("ascii"))])


def _traced(forward: Forward, request: Request) -> tuple[Forward, Request]:
    """The same with the trace of the headers in the message, where the whole message is here."""
    trace = trace_of(forward.headers) if forward.method == "POST" and not request.more else {}
    if not trace:
        return forward, request
    body = with_trace(request.first, trace)
    return replace(forward, content_length=len(body)), replace(request, first=body)


async def _answer(client: Client, answer: Answer) -> None:
    if not client.has_started:
        await client.answer(answer)
