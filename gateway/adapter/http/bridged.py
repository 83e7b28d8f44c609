"""A legacy session on a modern server: no process of its own, and nothing of it is known to the server.

What the session remembers for its client travels with every request: capabilities, log level. Change notices come from
one listen stream, which is replaced when the client subscribes to another resource: the new one is open before the old
one ends, so that nothing falls between.
"""

import asyncio
import json
from collections.abc import Callable

from gateway.adapter.child import CannotWrite
from gateway.adapter.http.bridgedcall import BridgedCall
from gateway.adapter.http.legacyshapes import ClientFacts, to_modern_request, welcome_result
from gateway.adapter.http.levels import LEVELS
from gateway.adapter.http.listen import can_be_heard, declares
from gateway.adapter.http.outbox import Outbox, Throttle
from gateway.adapter.http.session import Session
from gateway.adapter.upstream import Live, Upstream
from gateway.protocol.errors import INVALID_PARAMS, METHOD_NOT_FOUND, Refusal
from gateway.protocol.messages import Message, ResponseId, read_meta
from gateway.protocol.revisions import META_SUBSCRIPTION_ID
from gateway.protocol.scan import compose, json_array, json_object

_FLAGS = {"tools": "toolsListChanged", "prompts": "promptsListChanged", "resources": "resourcesListChanged"}
_LISTEN_AGAIN_S = 0.5
_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
_FOREIGN = ("tasks/", "server/", "subscriptions/")
OnAcknowledged = Callable[[frozenset[str]], None]


class Feed:
    """A sink for one listen stream; `hear` gets its notices."""

    is_endless = True

    def __init__(self, live: Live, hear: Callable[[Message], None], on_acknowledged: OnAcknowledged) -> None:
        self.live = live
        self.on_end: Callable[[], None] = lambda: None
        self.own_id = live.connection.next_id()
        self._hear = hear
        self._on_acknowledged: OnAcknowledged | None = on_acknowledged

    def response(self, line: bytes, place: ResponseId) -> None:  # noqa: ARG002 - the end of the stream, or a refusal
        self.ended_by_server()

    def ended_by_server(self) -> None:
        """See `ListenSink`; a stream that was open is opened again."""
        was_open = self._on_acknowledged is None
        self._settle(frozenset())
        if was_open:
            self.on_end()

    def lost(self, detail: str) -> None:  # noqa: ARG002 - the session opens another one
        self._settle(frozenset())

    def notification(self, message: Message) -> None:
        if message.method != _ACKNOWLEDGED:
            self._hear(message)
            return
        granted = json_object(message.params.get("notifications"))
        self._settle(frozenset(str(uri) for uri in json_array(granted.get("resourceSubscriptions"))))

    def close(self) -> None:
        """End the stream."""
        self.live.connection.cancel(self.own_id, "the client no longer listens")

    def _settle(self, uris: frozenset[str]) -> None:
        settled, self._on_acknowledged = self._on_acknowledged, None
        if settled is not None:
            settled(uris)


class BridgedSession(Session):
    """See the module."""

    def __init__(self, session_id: str, principal: str, upstream: Upstream, facts: ClientFacts) -> None:
        super().__init__(session_id, principal, isolated=False)
        self.upstream = upstream
        self._facts = facts
        self._uris: set[str] = set()
        self._feed: Feed | None = None

    def welcome(self, message: Message, live: Live) -> bytes:
        """The answer to `initialize`."""
        result = welcome_result(live.handshake.result, self._facts)
        self.revision = str(result["protocolVersion"])
        return f'{{"jsonrpc":"2.0","id":{message.raw_id},"result":{json.dumps(result, ensure_ascii=False)}}}'.encode()

    def throttle(self) -> Throttle | None:
        live = self.upstream.current
        return live.connection if live else None

    async def call(self, message: Message, outbox: Outbox) -> None:
        live = await self.upstream.live()
        call = BridgedCall(message, outbox, self)
        call.client = self.session_id
        call.log_level = self.log_level or "info"
        if not self._answered_here(live, call, message):
            self.send_call(call, {})

    def send_call(self, call: BridgedCall, extra: dict[str, str]) -> None:
        """See `BridgedOwner`."""
        live = self.upstream.current
        if live is None:
            raise CannotWrite("the server is being started again")
        self.calls.pop(call.own_id, None)
        call.own_id = live.connection.next_id()
        text = to_modern_request(call.message, call.own_id, self._facts.meta(self.log_level), extra)
        live.connection.submit(call.own_id, text, call)
        self.calls[call.own_id] = call

    def notify(self, message: Message) -> None:
        if message.method == "notifications/cancelled":
            self._cancel(message)
        elif message.method == "notifications/initialized" and self._feed is None:
            self._listen(self.upstream.current, lambda _: None)

    def restore(self, live: Live) -> None:
        """Listen to a restarted server."""
        if self._feed is not None:
            self._feed = None
            self._listen(live, lambda _: None)

    def closed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()

    def _answered_here(self, live: Live, call: BridgedCall, message: Message) -> bool:
        if message.method == "ping":
            _succeed(call)
        elif message.method == "logging/setLevel":
            self._set_level(call, message.params.get("level"))
        elif message.method in {"resources/subscribe", "resources/unsubscribe"}:
            self._watch(live, call, message)
        elif message.method.startswith(_FOREIGN):
            refusal = Refusal(code=METHOD_NOT_FOUND, message=f"Method not found: {message.method}")
            call.finish(refusal.body(call.raw_id))
        else:
            return False
        return True

    def _set_level(self, call: BridgedCall, level: object) -> None:
        if not isinstance(level, str) or level not in LEVELS:
            call.finish(Refusal(code=INVALID_PARAMS, message="there is no such log level").body(call.raw_id))
            return
        self.log_level = level
        _succeed(call)

    def _watch(self, live: Live, call: BridgedCall, message: Message) -> None:
        uri = message.params.get("uri")
        if not isinstance(uri, str) or not declares(live.handshake.capabilities, "resources", "subscribe"):
            code = INVALID_PARAMS if not isinstance(uri, str) else METHOD_NOT_FOUND
            call.finish(Refusal(code=code, message="this cannot be subscribed to").body(call.raw_id))
            return
        wanted = message.method == "resources/subscribe"
        (self._uris.add if wanted else self._uris.discard)(uri)

        def acknowledged(uris: frozenset[str]) -> None:
            if wanted and uri not in uris:
                self._uris.discard(uri)
                call.finish(Refusal(code=INVALID_PARAMS, message="the server does not watch it").body(call.raw_id))
            else:
                _succeed(call)

        self._listen(live, acknowledged)

    def _listen(self, live: Live | None, on_acknowledged: OnAcknowledged) -> None:
        """Open a stream for everything that is wanted now; the one before ends when it is acknowledged."""
        if live is None or not can_be_heard(live.handshake.capabilities):
            on_acknowledged(frozenset())
            return
        before = self._feed

        def acknowledged(uris: frozenset[str]) -> None:
            if before is not None:
                before.close()
            on_acknowledged(uris)

        feed = self._feed = Feed(live, self._hear, acknowledged)
        feed.on_end = lambda: self._listen_again(feed)
        capabilities = live.handshake.capabilities
        wanted: dict[str, object] = {
            flag: True for name, flag in _FLAGS.items() if declares(capabilities, name, "listChanged")
        }
        if self._uris:
            wanted["resourceSubscriptions"] = sorted(self._uris)
        params = {"notifications": wanted, "_meta": self._facts.meta(None)}
        request = {"jsonrpc": "2.0", "id": self._feed.own_id, "method": "subscriptions/listen", "params": params}
        try:
            live.connection.submit(self._feed.own_id, json.dumps(request), self._feed)
        except CannotWrite as error:
            self._feed.lost(str(error))

    def _listen_again(self, feed: Feed) -> None:
        """The server ended the stream: open another one soon, unless that has already happened."""

        def again() -> None:
            live = self.upstream.current
            if self._feed is feed and live is not None:
                self._feed = None
                self._listen(live, lambda _: None)

        asyncio.get_running_loop().call_later(_LISTEN_AGAIN_S, again)

    def _hear(self, message: Message) -> None:
        """A notice, without the name of a stream that the client does not know."""
        params, meta = read_meta(message)
        plain = {key: place for key, place in params.items() if key != "_meta"}
        kept = {key: place for key, place in meta.items() if key != META_SUBSCRIPTION_ID}
        extra = {"_meta": compose(message.text, kept, {})} if kept else {}
        raw_params = f',"params":{compose(message.text, plain, extra)}' if plain or extra else ""
        self.say(f'{{"jsonrpc":"2.0","method":{json.dumps(message.method)}{raw_params}}}', None)

    def _cancel(self, message: Message) -> None:
        """As for every legacy session: an id that two calls carry withdraws neither."""
        wanted, reason = message.params.get("requestId"), message.params.get("reason")
        found = [call for call in self.calls.values() if call.client_id == wanted]
        live = self.upstream.current
        if len(found) != 1 or live is None:
            return
        self.withdraw_question(found[0])
        live.connection.cancel(found[0].own_id, str(reason or "cancelled by the client"))
        found[0].withdraw(reason)


def _succeed(call: BridgedCall) -> None:
    call.finish(f'{{"jsonrpc":"2.0","id":{call.raw_id},"result":{{}}}}'.encode())
