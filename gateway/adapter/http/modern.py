"""Streamable HTTP for clients of revision 2026-07-28: one request, one answer, no session.

Requests go to the one shared server process, which was told that its client can be asked nothing, so nothing waits for
an answer that a stateless client cannot give yet (multi round-trip requests, `subscriptions/listen` and log levels
follow). A disconnect is a cancellation.
"""

from gateway.adapter.connection import Connection
from gateway.adapter.http.answer import answer
from gateway.adapter.http.calls import with_client_id, with_client_token, with_own_ids
from gateway.adapter.http.outbox import Outbox, Reply
from gateway.adapter.http.shapes import discover_result, to_legacy_request, to_modern_reply
from gateway.adapter.http.wire import Exchange, respond
from gateway.adapter.upstream import Live, Upstream
from gateway.protocol.errors import INVALID_REQUEST, METHOD_NOT_FOUND, UPSTREAM_LOST, Refusal, modern_status
from gateway.protocol.headers import check_modern_request
from gateway.protocol.messages import InvalidMessage, Message, MessageKind, ResponseId, decode_line, read_message
from gateway.protocol.revisions import Era
from gateway.protocol.scan import MalformedJson, object_members

_CAPABILITY_OF = {
    "tools/list": "tools",
    "tools/call": "tools",
    "prompts/list": "prompts",
    "prompts/get": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resources",
    "resources/read": "resources",
    "completion/complete": "completions",
}


class ModernCall:
    """A sink for one request: the answer of a legacy server is reshaped, that of a modern one only gets its id back."""

    def __init__(self, message: Message, outbox: Outbox, live: Live) -> None:
        assert message.raw_id is not None
        self._raw_id = message.raw_id
        self._raw_token = message.raw_progress_token
        self._method = message.method
        self._outbox = outbox
        self._live = live

    def response(self, line: bytes, place: ResponseId) -> None:
        if self._live.handshake.era is Era.MODERN:
            self._outbox.offer(_passed_through(line, place, self._raw_id))
            return
        try:
            message = read_message(decode_line(line))
        except (MalformedJson, InvalidMessage) as problem:
            self.lost(f"the server's answer is no JSON-RPC message: {problem}")
            return
        self._outbox.offer(to_modern_reply(message, self._method, self._raw_id, server_info_of(self._live)))

    def notification(self, message: Message) -> None:
        """Progress only: log lines need a log level, which is not asked of the server yet."""
        if message.method == "notifications/progress" and self._raw_token is not None:
            self._outbox.offer(Reply(body=with_client_token(message, self._raw_token).encode()))

    def lost(self, detail: str) -> None:
        refusal = Refusal(code=UPSTREAM_LOST, message=detail)
        self._outbox.offer(Reply(body=refusal.body(self._raw_id), final=True, status=refusal.status))


class ModernEndpoint:
    """POST for modern clients; the other verbs are refused by the caller."""

    def __init__(self, shared: Upstream) -> None:
        self._shared = shared

    async def post(self, exchange: Exchange, message: Message) -> None:
        """Carry out one message. Raises AdapterFailure, CannotWrite."""
        if message.kind is MessageKind.RESPONSE:
            await _refuse(exchange, Refusal(code=INVALID_REQUEST, message="a client sends no responses"), None)
            return
        if message.kind is MessageKind.NOTIFICATION:
            await respond(exchange, 202)
            return
        refusal = check_modern_request(message, exchange.headers)
        if refusal is not None:
            await _refuse(exchange, refusal, message.raw_id)
            return
        await self._request(exchange, message, await self._shared.live())

    async def _request(self, exchange: Exchange, message: Message, live: Live) -> None:
        if live.handshake.era is Era.LEGACY:
            if message.method == "server/discover":
                await respond(exchange, 200, _discovered(live, message))
                return
            refusal = _unserved(message.method, live)
            if refusal is not None:
                await _refuse(exchange, refusal, message.raw_id)
                return
        await self._call(exchange, message, live)

    async def _call(self, exchange: Exchange, message: Message, live: Live) -> None:
        outbox = Outbox(live.connection)
        own_id = live.connection.next_id()
        modern = live.handshake.era is Era.MODERN
        text = with_own_ids(message, own_id) if modern else to_legacy_request(message, own_id)
        live.connection.submit(own_id, text, ModernCall(message, outbox, live))
        await _answer_or_cancel(exchange, outbox, live.connection, own_id)


async def _answer_or_cancel(exchange: Exchange, outbox: Outbox, connection: Connection, own_id: int) -> None:
    delivered = False
    try:
        delivered = await answer(exchange, outbox)
    finally:
        if not delivered:
            outbox.leave()
            connection.cancel(own_id, "the client disconnected")


async def _refuse(exchange: Exchange, refusal: Refusal, raw_id: str | None) -> None:
    await respond(exchange, refusal.status, refusal.body(raw_id))


def _unserved(method: str, live: Live) -> Refusal | None:
    capability = _CAPABILITY_OF.get(method)
    if capability is not None and capability in live.handshake.capabilities:
        return None
    return Refusal(code=METHOD_NOT_FOUND, message=f"Method not found: {method}")


def server_info_of(live: Live) -> str | None:
    """The JSON text of what the server calls itself, None when it did not say."""
    answer_message = live.handshake.answer
    result, _ = object_members(answer_message.text, answer_message.members["result"].start)
    place = result.get("serverInfo")
    return None if place is None else answer_message.text[place.start : place.end]


def _discovered(live: Live, message: Message) -> bytes:
    text = live.handshake.answer.text
    result, _ = object_members(text, live.handshake.answer.members["result"].start)
    discovered = discover_result(text, result, live.handshake.capabilities)
    return f'{{"jsonrpc":"2.0","id":{message.raw_id},"result":{discovered}}}'.encode()


def _passed_through(line: bytes, place: ResponseId, raw_id: str) -> Reply:
    """A modern answer; the HTTP status follows from its error code, which only short answers can carry."""
    status = 200
    if b'"error"' in line[:200]:
        try:
            value = read_message(decode_line(line)).members.get("error")
        except (MalformedJson, InvalidMessage):
            value = None
        code = value.value.get("code") if value is not None and isinstance(value.value, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - JSON
        status = modern_status(code) if isinstance(code, int) else 200
    return Reply(body=with_client_id(line, place, raw_id), final=True, status=status)
