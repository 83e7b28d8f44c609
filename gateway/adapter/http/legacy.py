"""Streamable HTTP for clients of the revisions 2025-03-26, 2025-06-18 and 2025-11-25: sessions, streams, batches.

Source: the transport pages of those revisions. A disconnect is no cancellation; an unknown session is answered with
404, which tells the client to initialize again, and only then.
"""

from gateway.adapter.http.admission import accepts
from gateway.adapter.http.answer import answer, stream
from gateway.adapter.http.outbox import Outbox, Throttle
from gateway.adapter.http.pool import NoRoom, Refused, SessionPool
from gateway.adapter.http.session import Session
from gateway.adapter.http.wire import Exchange, respond
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

    async def get(self, exchange: Exchange) -> None:
        """Serve the stream of the server's own messages; one at a time."""
        if not accepts(exchange, "text/event-stream"):
            text = "Accept must list text/event-stream"
            await refuse(exchange, Refusal(code=INVALID_REQUEST, message=text, http_status=406))
            return
        session = await self._session(exchange, None)
        if session is None:
            return
        if session.stream_is_open:
            text = "the session already has a stream"
            await refuse(exchange, Refusal(code=INVALID_REQUEST, message=text, http_status=409))
            return
        await _serve_stream(exchange, session)

    async def delete(self, exchange: Exchange) -> None:
        """End a session."""
        session = await self._session(exchange, None)
        if session is not None:
            self._pool.close(session)
            await respond(exchange, 200)

    async def _initialize(self, exchange: Exchange, message: Message) -> None:
        try:
            session, body = await self._pool.open(message)
        except NoRoom:
            refusal = Refusal(code=NOT_READY, message="too many sessions; close some or try again later")
            await respond(exchange, 503, refusal.body(message.raw_id), headers=_RETRY_AFTER)
        except Refused as refused:
            await respond(exchange, refused.status, refused.body)
        else:
            name = SESSION_HEADER.encode()
            await respond(exchange, 200, body, headers=((name, session.session_id.encode()),))

    async def _session(self, exchange: Exchange, raw_id: str | None) -> Session | None:
        """The session that the request names; answers the request when there is none."""
        session_id = exchange.header(SESSION_HEADER)
        if session_id is None:
            refusal = Refusal(code=INVALID_REQUEST, message="the header Mcp-Session-Id is missing", http_status=400)
            await refuse(exchange, refusal, raw_id)
            return None
        session = self._pool.find(session_id)
        if session is None:
            refusal = Refusal(code=INVALID_REQUEST, message="Session not found", http_status=404)
            await refuse(exchange, refusal)
        return session


async def refuse(exchange: Exchange, refusal: Refusal, raw_id: str | None = None) -> None:
    """Answer with an error."""
    await respond(exchange, refusal.status, refusal.body(raw_id))


def _throttle_of(session: Session) -> Throttle | None:
    live = session.upstream.current
    return live.connection if live else None


async def _carry_out(exchange: Exchange, session: Session, messages: list[Message]) -> None:
    outbox = Outbox(_throttle_of(session))
    for message in messages:
        await session.call(message, outbox)
    await answer(exchange, outbox, expected=len(messages))


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


async def _serve_stream(exchange: Exchange, session: Session) -> None:
    session.stream_is_open = True
    try:
        await stream(exchange, session.stream)
    finally:
        session.stream_is_open = False
        session.stream = Outbox()
