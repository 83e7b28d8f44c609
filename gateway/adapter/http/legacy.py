"""Streamable HTTP for clients of the revisions 2025-03-26, 2025-06-18 and 2025-11-25: sessions, streams, batches.

Source: the transport pages of those revisions. A disconnect is no cancellation; an unknown session is answered with
404, which tells the client to initialize again, and only then.
"""

from gateway.adapter.http.admission import accepts
from gateway.adapter.http.answer import answer, stream
from gateway.adapter.http.named import NamedSessions
from gateway.adapter.http.pool import Refused, SessionPool
from gateway.adapter.http.session import Session
from gateway.adapter.http.streams import EventsGone, StreamOutbox, StreamReader, parse_event_id
from gateway.adapter.http.tenants import NoRoom
from gateway.adapter.http.wire import Exchange, Streaming, respond
from gateway.protocol.affinity import NAME_HEADER, SCOPE_HEADER
from gateway.protocol.errors import INVALID_REQUEST, NOT_READY, PARSE_ERROR, Refusal
from gateway.protocol.headers import SESSION_HEADER
from gateway.protocol.messages import InvalidMessage, Message, MessageKind, read_message
from gateway.protocol.revisions import BATCH_REVISION
from gateway.protocol.scan import MalformedJson, array_items

_RETRY_AFTER = ((b"retry-after", b"5"),)
_MAX_BATCH = 100


class LegacyEndpoint:
    """The three verbs of the endpoint for legacy clients."""

    def __init__(self, pool: SessionPool) -> None:
        self._pool = pool
        self._named = NamedSessions(pool)

    async def post(self, exchange: Exchange, message: Message) -> None:
        """Carry out one message. Raises AdapterFailure, CannotWrite."""
        if message.method == "initialize" and message.kind is MessageKind.REQUEST:
            await self._initialize(exchange, message)
            return
        session = await self._session(exchange, message.raw_id)
        if session is None:
            return
        if message.kind is MessageKind.REQUEST:
            await _carry_out(exchange, session, [message])
        else:
            await _take_in(exchange, session, message)

    async def post_batch(self, exchange: Exchange, text: str) -> None:
        """Carry out an array of messages, which only sessions of 2025-03-26 may send."""
        session = await self._session(exchange, None)
        if session is None:
            return
        if session.revision != BATCH_REVISION:
            await refuse(exchange, Refusal(code=INVALID_REQUEST, message="batches ended with revision 2025-03-26"))
            return
        messages = await _read_batch(exchange, text)
        requests = [each for each in messages if each.kind is MessageKind.REQUEST]
        for each in messages:
            if each.kind is MessageKind.NOTIFICATION:
                session.notify(each)
            elif each.kind is MessageKind.RESPONSE:
                session.answer_question(each)
        if requests:
            await _carry_out(exchange, session, requests)
        elif messages:
            await respond(exchange, 202)

    async def get(self, exchange: Exchange) -> Streaming | None:
        """Serve the stream of the server's own messages, one at a time, or the rest of any stream that broke off.

        What is returned serves it: whoever called this need not wait in it for the hours that it takes.
        """
        if not accepts(exchange, "text/event-stream"):
            text = "Accept must list text/event-stream"
            await refuse(exchange, Refusal(code=INVALID_REQUEST, message=text, http_status=406))
            return None
        session = await self._session(exchange, None)
        if session is None:
            return None
        last_event = exchange.header("last-event-id")
        if last_event is not None:
            return await _resume(exchange, session, last_event)
        if session.general.is_read:
            text = "the session already has a stream"
            await refuse(exchange, Refusal(code=INVALID_REQUEST, message=text, http_status=409))
            return None
        return _streaming(exchange, session.general, session.general.attach(primed=session.primed))

    async def delete(self, exchange: Exchange) -> None:
        """End a session."""
        session = await self._session(exchange, None)
        if session is not None:
            self._pool.close(session)
            await respond(exchange, 200)

    async def _initialize(self, exchange: Exchange, message: Message) -> None:
        try:
            session, body = await self._opened(exchange, message)
        except NoRoom:
            refusal = Refusal(code=NOT_READY, message="too many sessions; close some or try again later")
            await respond(exchange, 503, refusal.body(message.raw_id), headers=_RETRY_AFTER)
        except Refused as refused:
            await respond(exchange, refused.status, refused.body)
        else:
            scope = b"isolated" if session.isolated else b"shared"
            headers = ((SESSION_HEADER.encode(), session.session_id.encode()), (SCOPE_HEADER.encode(), scope))
            await respond(exchange, 200, body, headers=headers)

    async def _opened(self, exchange: Exchange, message: Message) -> tuple[Session, bytes]:
        """A new session, or the one that a gateway knows by its own name."""
        name = exchange.header(NAME_HEADER)
        if name is None:
            return await self._pool.open(message, exchange.principal)
        return await self._named.open(message, exchange.principal, name)

    async def _session(self, exchange: Exchange, raw_id: str | None) -> Session | None:
        """The session that the request names; answers the request when there is none."""
        session_id = exchange.header(SESSION_HEADER)
        if session_id is None:
            refusal = Refusal(code=INVALID_REQUEST, message="the header Mcp-Session-Id is missing", http_status=400)
            await refuse(exchange, refusal, raw_id)
            return None
        session = self._pool.find(session_id, exchange.principal)
        if session is None:
            refusal = Refusal(code=INVALID_REQUEST, message="Session not found", http_status=404)
            await refuse(exchange, refusal)
        return session


async def refuse(exchange: Exchange, refusal: Refusal, raw_id: str | None = None) -> None:
    """Answer with an error."""
    await respond(exchange, refusal.status, refusal.body(raw_id))


async def _carry_out(exchange: Exchange, session: Session, messages: list[Message]) -> None:
    outbox = session.new_stream(len(messages))
    reader = outbox.attach(primed=session.primed)
    try:
        for message in messages:
            await session.call(message, outbox)
        await answer(exchange, reader, expected=len(messages))
    finally:
        outbox.detach(reader)
        session.settle_stream(outbox)


async def _resume(exchange: Exchange, session: Session, last_event: str) -> Streaming | None:
    try:
        outbox, reader = session.resume(*parse_event_id(last_event))
    except EventsGone:
        text = "the events after that one are not kept"
        await refuse(exchange, Refusal(code=INVALID_REQUEST, message=text, http_status=400))
        return None
    return _streaming(exchange, outbox, reader)


async def _take_in(exchange: Exchange, session: Session, message: Message) -> None:
    if message.kind is MessageKind.NOTIFICATION:
        session.notify(message)
    elif not session.answer_question(message):
        await refuse(exchange, Refusal(code=INVALID_REQUEST, message="nothing of that id was asked"))
        return
    await respond(exchange, 202)


async def _read_batch(exchange: Exchange, text: str) -> list[Message]:
    try:
        messages = [read_message(item) for item in array_items(text)]
    except MalformedJson as error:
        await refuse(exchange, Refusal(code=PARSE_ERROR, message=str(error)))
    except InvalidMessage as error:
        await refuse(exchange, Refusal(code=INVALID_REQUEST, message=str(error)))
    else:
        if 0 < len(messages) <= _MAX_BATCH:
            return messages
        await refuse(exchange, Refusal(code=INVALID_REQUEST, message=f"a batch has 1 to {_MAX_BATCH} messages"))
    return []


def _streaming(exchange: Exchange, outbox: StreamOutbox, reader: StreamReader) -> Streaming:
    return lambda: stream(exchange, reader, outbox.has_all)
