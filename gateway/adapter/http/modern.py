"""Streamable HTTP for clients of revision 2026-07-28: one request, one answer, no session.

On a modern server requests pass as they are. On a legacy one they are translated: on the shared process, or, for
clients that can be asked something, on the lane of their principal and capabilities. A disconnect is a cancellation.
"""

from gateway.adapter.http.answer import answer
from gateway.adapter.http.asking import AskableCall
from gateway.adapter.http.common import CommonVoice
from gateway.adapter.http.lanes import Lane, LanePool, askable_part
from gateway.adapter.http.listen import Listen, can_be_heard
from gateway.adapter.http.moderncall import LISTEN, ModernCall
from gateway.adapter.http.outbox import Outbox
from gateway.adapter.http.parking import ParkingLot
from gateway.adapter.http.requeststate import InvalidState, binding_of
from gateway.adapter.http.shapes import discover_result
from gateway.adapter.http.tenants import NoRoom
from gateway.adapter.http.wire import Exchange, Streaming, respond
from gateway.adapter.toolheaders import ToolHeaders
from gateway.adapter.upstream import Live
from gateway.protocol.errors import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, NOT_READY, Refusal
from gateway.protocol.headers import check_modern_request
from gateway.protocol.messages import Message, MessageKind
from gateway.protocol.revisions import META_CLIENT_CAPABILITIES, Era
from gateway.protocol.scan import json_object, object_members

_RETRY_AFTER = ((b"retry-after", b"5"),)
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
_REMOVED = frozenset(
    {"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "roots/list"}
)
_STATEFUL = frozenset({"tools/call", "prompts/get", "resources/read"})


class ModernEndpoint:
    """POST for modern clients; the other verbs are refused by the caller. `lanes` is None where all share a process."""

    def __init__(self, common: CommonVoice, lanes: LanePool | None, lot: ParkingLot, tools: ToolHeaders) -> None:
        self._common = common
        self._lanes = lanes
        self._lot = lot
        self._tools = tools
        self._listens: set[Listen | ModernCall] = set()

    async def post(self, exchange: Exchange, message: Message) -> Streaming | None:
        """Carry out one message; a stream that it opens is still to be served. Raises AdapterFailure, CannotWrite."""
        if message.kind is MessageKind.RESPONSE:
            await _refuse(exchange, Refusal(code=INVALID_REQUEST, message="a client sends no responses"), None)
            return None
        if message.kind is MessageKind.NOTIFICATION:
            await respond(exchange, 202)
            return None
        live = await self._common.upstream.live()
        headers = exchange.headers
        refusal = check_modern_request(message, headers)
        if refusal is None and message.method == "tools/call":
            refusal = await self._tools.check(message, headers, live)
        if refusal is not None:
            await _refuse(exchange, refusal, message.raw_id)
        elif message.method in _REMOVED:
            await _refuse(exchange, _not_found(message.method), message.raw_id)
        elif live.handshake.era is Era.MODERN:
            return await self._pass(exchange, message, live)
        else:
            return await self._translate(exchange, message, live)
        return None

    def close_streams(self) -> None:
        """End the open listen streams, so that a drain does not wait for them."""
        for listen in list(self._listens):
            listen.close()

    async def _pass(self, exchange: Exchange, message: Message, live: Live) -> Streaming | None:
        outbox = Outbox(live.connection)
        call = ModernCall(message, outbox, live, exchange.principal)
        call.submit(message)
        if message.method == LISTEN:
            return self._passed_listen(exchange, call, outbox)
        await _answer_or(exchange, outbox, call)
        return None

    def _passed_listen(self, exchange: Exchange, call: ModernCall, outbox: Outbox) -> Streaming:
        self._listens.add(call)

        async def streaming() -> None:
            try:
                await _answer_or(exchange, outbox, call)
            finally:
                self._listens.discard(call)

        return streaming

    async def _translate(self, exchange: Exchange, message: Message, live: Live) -> Streaming | None:
        if message.method == "server/discover":
            await respond(exchange, 200, _discovered(live, message))
            return None
        refusal = _unserved(message.method, live)
        if refusal is not None:
            await _refuse(exchange, refusal, message.raw_id)
        elif message.method in _STATEFUL and message.params.get("requestState") is not None:
            await self._resume(exchange, message)
        else:
            return await self._start(exchange, message)
        return None

    async def _start(self, exchange: Exchange, message: Message) -> Streaming | None:
        """Carry out a request on the process that fits its client."""
        try:
            voice = self._voice_for(exchange, message)
        except NoRoom:
            refusal = Refusal(code=NOT_READY, message="too many servers run; try again later")
            await respond(exchange, 503, refusal.body(message.raw_id), headers=_RETRY_AFTER)
            return None
        live = await voice.upstream.live()
        if message.method == LISTEN:
            return await self._listen(exchange, message, voice, live)
        outbox = Outbox(live.connection)
        call = self._call(exchange, message, outbox, (voice, live))
        if call.log_level is not None:
            voice.level.want(live, call.log_level)
        call.submit(message)
        await _answer_or(exchange, outbox, call)
        return None

    def _voice_for(self, exchange: Exchange, message: Message) -> CommonVoice:
        askable = askable_part(json_object(message.meta.get(META_CLIENT_CAPABILITIES)))
        if self._lanes is None or not askable:
            return self._common
        return self._lanes.lane(exchange.principal, askable)

    def _call(
        self, exchange: Exchange, message: Message, outbox: Outbox, where: tuple[CommonVoice, Live]
    ) -> ModernCall:
        voice, live = where
        if not isinstance(voice, Lane):
            return ModernCall(message, outbox, live, exchange.principal)
        call = AskableCall(message, outbox, live, binding_of(exchange.principal, message.method, message.params))
        call.lot = self._lot
        voice.add(call)
        return call

    async def _resume(self, exchange: Exchange, message: Message) -> None:
        """Go on with a parked call."""
        binding = binding_of(exchange.principal, message.method, message.params)
        try:
            call = self._lot.claim(message.params["requestState"], binding)
        except InvalidState as error:
            data = {"reason": "invalid_request_state"}
            await _refuse(exchange, Refusal(code=INVALID_PARAMS, message=str(error), data=data), message.raw_id)
            return
        assert isinstance(call, AskableCall)
        outbox = Outbox(call.live.connection)
        refusal = call.resume(message, outbox)
        if refusal is not None:
            self._lot.restore(message.params["requestState"], call)
            await _refuse(exchange, refusal, message.raw_id)
            return
        await _answer_or(exchange, outbox, call)

    async def _listen(self, exchange: Exchange, message: Message, voice: CommonVoice, live: Live) -> Streaming | None:
        outbox = Outbox(live.connection)
        listen = Listen(message, outbox, voice)
        self._listens.add(listen)
        opened = False
        try:
            refusal = await listen.open(message, live)
            opened = refusal is None
        finally:
            if not opened:
                self._end_listen(listen, voice)
        if refusal is not None:
            await _refuse(exchange, refusal, message.raw_id)
            return None
        return self._heard(exchange, outbox, listen, voice)

    def _heard(self, exchange: Exchange, outbox: Outbox, listen: Listen, voice: CommonVoice) -> Streaming:
        async def streaming() -> None:
            try:
                await answer(exchange, outbox)
            finally:
                self._end_listen(listen, voice)

        return streaming

    def _end_listen(self, listen: Listen, voice: CommonVoice) -> None:
        self._listens.discard(listen)
        voice.let_go(listen)


async def _answer_or(exchange: Exchange, outbox: Outbox, call: ModernCall) -> None:
    """Answer with what the call gives, or cancel it when its client leaves."""
    delivered = False
    try:
        delivered = await answer(exchange, outbox)
    finally:
        if not delivered:
            call.cancel("the client disconnected")


async def _refuse(exchange: Exchange, refusal: Refusal, raw_id: str | None) -> None:
    await respond(exchange, refusal.status, refusal.body(raw_id))


def _unserved(method: str, live: Live) -> Refusal | None:
    capabilities = live.handshake.capabilities
    served = can_be_heard(capabilities) if method == LISTEN else _CAPABILITY_OF.get(method) in capabilities
    return None if served else _not_found(method)


def _not_found(method: str) -> Refusal:
    return Refusal(code=METHOD_NOT_FOUND, message=f"Method not found: {method}")


def _discovered(live: Live, message: Message) -> bytes:
    text = live.handshake.answer.text
    result, _ = object_members(text, live.handshake.answer.members["result"].start)
    discovered = discover_result(text, result, live.handshake.capabilities)
    return f'{{"jsonrpc":"2.0","id":{message.raw_id},"result":{discovered}}}'.encode()
