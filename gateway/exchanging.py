"""One accepted request to its answer, over ASGI: opens the exchange, sends the body, and passes on what comes.

A small and quick answer is passed on as a whole; everything else piece by piece, while the client's connection is
watched: a client that leaves ends the exchange, which is how an upstream learns that nobody waits any more. Answers
with which something has to be done (a filtered list, a read that is kept, a new session) are read as a whole first.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from enum import Enum

from gateway.answers import ClientResponseHead, answer_head
from gateway.breaker import MAX_REASON_BYTES, Breakers, down, is_down
from gateway.calls import Call
from gateway.client import Client
from gateway.decision import Forward, body_too_large
from gateway.headers import PIN_HEADER, SESSION_HEADER, VERSION_HEADER
from gateway.observation import Event, Observers
from gateway.policy import LIST, UnreadableList, filter_tools
from gateway.problems import ProblemKind, SessionNotFound, refusal
from gateway.quotas import Quotas
from gateway.reads import MAX_READ_BYTES, Read, ReadMemory
from gateway.relay import (
    BufferedResponse,
    Exchange,
    MalformedHead,
    Relay,
    RelayFault,
    RequestHead,
    ResponseHead,
    UpstreamBroken,
    UpstreamUnreachable,
)
from gateway.relay.wire import encode_chunk
from gateway.remote import Credentials, CredentialsRefused, remote_headers, unclear_answer
from gateway.restoring import SessionKeeper, is_lost, opening_of
from gateway.sessions import CapsuleSealer
from gateway.settings import GatewaySettings

_INITIALIZE = "initialize"
_UNAUTHORIZED = 401
_HELD_S = 1.0
_MAX_WHOLE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a data path is made of; both its ways share it."""

    settings: GatewaySettings
    relay: Relay
    sealer: CapsuleSealer
    observers: Observers
    sessions: SessionKeeper
    breakers: Breakers
    reads: ReadMemory
    quotas: Quotas


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is here of a request's body before anything is sent upstream."""

    first: bytes
    more: bool
    """Whether the rest is still to come and will be passed on as it comes."""
    call: Call
    read: Read | None = None
    """What it reads, where the answer may be kept."""

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be sent again, because all of it is still here."""
        return not self.more


class Outcome(Enum):
    """How one attempt at an exchange ended."""

    ANSWERED = "answered"
    LOST = "lost"
    """The session is unknown upstream, nothing was carried out, and the client has not been told anything."""
    REFUSED = "refused"
    """A remote server does not know who the gateway is; the client has not been told anything either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """An exchange whose request has been sent."""

    response: BufferedResponse
    exchange: Exchange


class Exchanger:
    """Carries requests for one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def carry(self, forward: Forward, request: Request, client: Client) -> None:
        """One request to its answer, on a session in place of its own where that was lost.

        Raises:
            RelayFault, SessionNotFound, ClientGone, Refused: it did not come to a whole answer; `client` knows whether
                one was begun.
        """
        if forward.upstream.remote is not None:
            await self._carry_outside(forward, forward.upstream.remote.credentials, client, request)
        elif await self._once(forward, client, request) is Outcome.LOST:
            await self._carry_restored(forward, client, request)

    async def _carry_outside(
        self, forward: Forward, credentials: Credentials, client: Client, request: Request
    ) -> None:
        """To a server that somebody else runs; once more with new credentials where it refuses those of now."""
        shown = await credentials.headers()
        outcome = await self._once(replace(forward, headers=remote_headers(forward.headers, shown)), client, request)
        if outcome is Outcome.REFUSED and request.is_repeatable and await credentials.renew(shown):
            shown = await credentials.headers()
            again = replace(forward, headers=remote_headers(forward.headers, shown))
            outcome = await self._once(again, client, request)
        if outcome is Outcome.REFUSED:
            raise CredentialsRefused("it does not accept the gateway's credentials")

    async def _carry_restored(self, forward: Forward, client: Client, request: Request) -> None:
        """Once more, on a session in place of the lost one. If that is lost too, the client has to start anew."""
        session = await self._parts.sessions.restore(forward)
        kept = [header for header in forward.headers if header[0] not in {SESSION_HEADER, PIN_HEADER}]
        restored = replace(forward, session=session, headers=[*kept, *session.headers()])
        if await self._once(restored, client, request) is Outcome.LOST:
            raise SessionNotFound

    async def _once(self, forward: Forward, client: Client, request: Request) -> Outcome:
        response = BufferedResponse(self._parts.settings.relay)
        exchange = await self._open(forward, response, request.first, more=request.more)
        try:
            if request.more:
                await self._send_rest(client, exchange, len(request.first))
            else:
                exchange.complete_request()
            outcome = await self._peek(forward, client, request, Answering(response=response, exchange=exchange))
            if outcome is not None:
                return outcome
            await self._answer(forward, client, request, Answering(response=response, exchange=exchange))
            return Outcome.ANSWERED
        finally:
            exchange.abort()

    async def _peek(self, forward: Forward, client: Client, request: Request, answering: Answering) -> Outcome | None:
        """Whether the answer is one that the client does not get as it is; None where it is for the client."""
        is_outside = forward.upstream.remote is not None
        if not is_outside and not (forward.is_restorable and request.is_repeatable):
            return None
        async with watched(client, answering.exchange):
            head = await answering.response.head()
        if is_outside and head.status == _UNAUTHORIZED:
            return Outcome.REFUSED
        if is_outside and forward.method == "POST" and (unclear := unclear_answer(head, _version(forward))) is not None:
            await client.answer(unclear)
            return Outcome.ANSWERED
        return Outcome.LOST if is_lost(forward, head) else None

    async def _head(self, forward: Forward, response: BufferedResponse) -> ResponseHead:
        """The head of an answer that a machine gave.

        Raises:
            ServerDown: the proxy in front of the machines answered in their place.
            SessionNotFound: the same, where only one machine could answer.
        """
        server, asked_s = forward.upstream.server, self._parts.settings.monotonic()
        head = await response.head()
        if self._parts.settings.monotonic() - asked_s > _HELD_S:
            self._parts.observers.happened(Event.HELD, server)
        if not is_down(head):
            self._parts.breakers.answered(server)
        elif forward.is_pinned:
            raise SessionNotFound
        else:
            fault = down(await response.read_whole(MAX_REASON_BYTES))
            self._parts.breakers.note(server, fault)
            raise fault
        return head

    async def _answer(self, forward: Forward, client: Client, request: Request, answering: Answering) -> None:
        response = answering.response
        if self._needs_whole(forward, request):
            await self._answer_worked_on(forward, client, request, answering)
        elif await response.completes_within(self._parts.settings.patience_s):
            head = answer_head(forward, await self._head(forward, response), self._parts.sealer)
            body = await response.read()
            await client.start(head.status, head.for_whole_body(len(body)))
            await client.write(body, more=False)
        else:
            await self._answer_as_it_comes(forward, client, answering)

    def _needs_whole(self, forward: Forward, request: Request) -> bool:
        """Whether something has to be done with the answer for which all of it must be here."""
        is_filtered = request.call.method == LIST and forward.grant.tools is not None
        return is_filtered or request.call.method == _INITIALIZE or request.read is not None

    async def _answer_worked_on(self, forward: Forward, client: Client, request: Request, answering: Answering) -> None:
        """A list is filtered, a read is kept, and the capsule of a session says with what it may be started again."""
        response = answering.response
        is_list = request.call.method == LIST and forward.grant.tools is not None
        async with watched(client, answering.exchange):
            upstream_head = await self._head(forward, response)
            is_whole = is_list or _is_worth_waiting(request, upstream_head)
            body = await response.read_whole(_MAX_WHOLE_BYTES) if is_whole else b""
        if not is_whole:
            await self._answer_as_it_comes(forward, client, answering)
            return
        if upstream_head.status == 200:
            body = _filtered(forward, request, upstream_head, body)
            forward = self._noted(forward, request, upstream_head, body)
        head = answer_head(forward, upstream_head, self._parts.sealer)
        await client.start(head.status, head.for_changed_body(len(body)))
        await client.write(body, more=False)

    def _noted(self, forward: Forward, request: Request, head: ResponseHead, body: bytes) -> Forward:
        if request.read is not None and not head.is_event_stream:
            self._parts.reads.store(request.read, body)
        is_outside = forward.upstream.remote is not None
        if request.call.method != _INITIALIZE or head.value(SESSION_HEADER) is None or is_outside:
            return forward
        self._parts.observers.happened(Event.SESSION_STARTED, forward.upstream.server)
        return replace(forward, opening=opening_of(request.first, body, head))

    async def _answer_as_it_comes(self, forward: Forward, client: Client, answering: Answering) -> None:
        async with watched(client, answering.exchange):
            upstream_head = await self._head(forward, answering.response)
            head = answer_head(forward, upstream_head, self._parts.sealer)
            with self._counted(forward, upstream_head):
                await self._copy(head, client, answering.response, forward.upstream.server)

    async def _copy(self, head: ClientResponseHead, client: Client, response: BufferedResponse, server: str) -> None:
        await client.start(head.status, head.headers)
        while piece := await response.read():
            self._parts.reads.notice(server, piece)
            await client.write(piece, more=True)
        await client.write(b"", more=False)

    async def _open(self, forward: Forward, response: BufferedResponse, first: bytes, *, more: bool) -> Exchange:
        chunked = forward.content_length is None and more
        length = len(first) if forward.content_length is None and not more else forward.content_length
        opening = _encode(forward.request_head(length)) + (encode_chunk(first) if chunked else first)
        try:
            return await self._parts.relay.open(forward.address, opening, response, chunked=chunked)
        except UpstreamUnreachable as fault:
            if fault.refused and forward.is_pinned:
                raise SessionNotFound from fault
            raise

    async def _send_rest(self, client: Client, exchange: Exchange, size: int) -> None:
        """Pass the body on as it comes. An upstream that answers early, with an error, does not get the rest."""
        more = True
        while more and exchange.is_open:
            piece, more = await client.next_piece(self._parts.settings.body_timeout_s)
            size += len(piece)
            check_size(size, self._parts.settings)
            await exchange.send(piece)
        if not more:
            exchange.complete_request()

    @contextmanager
    def _counted(self, forward: Forward, head: ResponseHead) -> Generator[None]:
        """An event stream is counted for as long as it is open."""
        change, server = int(head.is_event_stream), forward.upstream.server
        self._parts.observers.stream_changed(server, change)
        try:
            yield
        finally:
            self._parts.observers.stream_changed(server, -change)


def _is_worth_waiting(request: Request, head: ResponseHead) -> bool:
    """Whether the answer is a plain body, and if it is only to be kept, one small enough for that."""
    announced = head.value(b"content-length")
    is_small = announced is not None and int(announced) <= MAX_READ_BYTES
    return not head.is_event_stream and (is_small or request.call.method == _INITIALIZE)


def _version(forward: Forward) -> str:
    version = next((value for name, value in forward.headers if name == VERSION_HEADER), b"")
    return version.decode("latin-1")


def _encode(head: RequestHead) -> bytes:
    try:
        return head.encode()
    except MalformedHead as error:
        raise refusal(ProblemKind.AMBIGUOUS_REQUEST, f"The request cannot be passed on: {error}.") from error


def _filtered(forward: Forward, request: Request, head: ResponseHead, body: bytes) -> bytes:
    if request.call.method != LIST or forward.grant.tools is None:
        return body
    try:
        return filter_tools(forward.grant.tools, body, is_event_stream=head.is_event_stream)
    except UnreadableList as error:
        raise UpstreamBroken(f"its list of tools cannot be read: {error}") from error


def check_size(size: int, settings: GatewaySettings) -> None:
    """Refuse a body over the limit (413)."""
    if size > settings.max_body_bytes:
        raise body_too_large(settings)


@asynccontextmanager
async def watched(client: Client, exchange: Exchange) -> AsyncGenerator[None, None]:
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


async def _abort_when_left(client: Client, exchange: Exchange) -> None:
    await client.left()
    exchange.abort()
