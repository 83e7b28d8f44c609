"""A legacy session on a legacy server: a process of its own, or a place on the shared one.

On its own process everything passes as it is. On the shared one, what would change the server for other clients is kept
apart: log levels are measured per session, and a resource is unsubscribed when the last client lets go of it.
"""

import json
from contextlib import suppress

from gateway.adapter.child import CannotWrite
from gateway.adapter.connection import Connection
from gateway.adapter.http.calls import LegacyCall, with_own_ids
from gateway.adapter.http.common import CommonVoice
from gateway.adapter.http.levels import LEVELS
from gateway.adapter.http.outbox import Outbox, Reply, Throttle
from gateway.adapter.http.session import Question, Session
from gateway.adapter.upstream import Live
from gateway.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, Refusal
from gateway.protocol.messages import Message

_UNHEARD = f'"error":{{"code":{INTERNAL_ERROR},"message":"the client does not listen"}}'
_ASIDE = "notifications/message"


class NativeSession(Session):
    """See the module. `upstream` is set right after construction, because an isolated one speaks to the session."""

    def __init__(self, session_id: str, principal: str, common: CommonVoice | None) -> None:
        super().__init__(session_id, principal, isolated=common is None)
        self._common = common
        self._own_uris: frozenset[str] = frozenset()
        self._level: object = None
        self._announced = common is not None

    def throttle(self) -> Throttle | None:
        live = self.upstream.current
        return live.connection if live else None

    async def call(self, message: Message, outbox: Outbox) -> None:
        live = await self.upstream.live()
        self.announce(live)
        sink = LegacyCall(message, outbox, self.call_done)
        sink.client = self.session_id
        if self._common is not None:
            sink.log_level = self.log_level or ("info" if self._common.level.was_set else "debug")
            if self._answered_here(self._common, live, sink, message):
                return
        sink.own_id = live.connection.next_id()
        live.connection.submit(sink.own_id, with_own_ids(message, sink.own_id), sink)
        self.calls[sink.own_id] = sink
        self._remember(message)

    def _answered_here(self, common: CommonVoice, live: Live, sink: LegacyCall, message: Message) -> bool:
        """What concerns this client alone never reaches the shared server."""
        uri = message.params.get("uri")
        if message.method == "resources/unsubscribe" and isinstance(uri, str) and not common.uris.remove(self, uri):
            _succeed(sink)
            return True
        if message.method != "logging/setLevel" or "logging" not in live.handshake.capabilities:
            return False
        level = message.params.get("level")
        if not isinstance(level, str) or level not in LEVELS:
            sink.finish(Refusal(code=INVALID_PARAMS, message="there is no such log level").body(sink.raw_id))
            return True
        self.log_level = level
        common.level.want(live, level)
        _succeed(sink)
        return True

    def announce(self, live: Live) -> None:
        """Tell an isolated server once that the handshake is over. Raises CannotWrite."""
        if not self._announced:
            self._announced = True
            live.connection.send('{"jsonrpc":"2.0","method":"notifications/initialized"}')

    def restore(self, live: Live) -> None:
        """Give a restarted server of the session's own what was set up in the one before."""
        for uri in sorted(self._own_uris):
            live.connection.request_unheard("resources/subscribe", {"uri": uri})
        if self._level is not None:
            live.connection.request_unheard("logging/setLevel", {"level": self._level})

    def notify(self, message: Message) -> None:
        live = self.upstream.current
        if message.method == "notifications/cancelled":
            self._cancel(message)
        elif live is None or not self.isolated:
            return
        elif message.method == "notifications/initialized":
            self.announce(live)
        else:
            live.connection.send(message.text)

    def _cancel(self, message: Message) -> None:
        """Withdraw a running call; an id that two calls carry withdraws neither: the wrong one might be lost."""
        wanted, reason = message.params.get("requestId"), message.params.get("reason")
        found = [call for call in self.calls.values() if call.client_id == wanted]
        live = self.upstream.current
        if len(found) != 1 or live is None:
            return
        call = found[0]
        live.connection.cancel(call.own_id, str(reason or "cancelled by the client"))
        call.withdraw(reason)

    def server_request(self, message: Message, about: int | None) -> None:
        """A question of the session's own server."""
        live = self.upstream.current
        if live is None:
            return
        question = _question(message, live.connection)
        self.ask(question, _rest_of(message), self.calls.get(about or 0) or self.listening_call())

    def server_notification(self, message: Message) -> None:
        """A notification of the session's own server."""
        if message.method == "notifications/cancelled":
            self.withdraw_question(message.params.get("requestId"))
        else:
            self.say(message.text, self.listening_call() if message.method == _ASIDE else None)

    def hear(self, message: Message) -> None:
        """A notice of the shared server, for those whom it concerns."""
        uri = message.params.get("uri")
        if self._common is not None and (not isinstance(uri, str) or self._common.uris.concerns(self, uri)):
            self.say(message.text, None)

    def closed(self) -> None:
        if self._common is not None:
            self._common.let_go(self)

    def _remember(self, message: Message) -> None:
        uri = message.params.get("uri")
        if message.method == "resources/subscribe" and isinstance(uri, str):
            self._own_uris |= {uri}
            if self._common is not None:
                self._common.uris.add(self, uri)
        elif message.method == "resources/unsubscribe" and isinstance(uri, str):
            self._own_uris -= {uri}
        elif message.method == "logging/setLevel":
            self._level = message.params.get("level")


def _succeed(sink: LegacyCall) -> None:
    sink.outbox.offer(Reply(body=f'{{"jsonrpc":"2.0","id":{sink.raw_id},"result":{{}}}}'.encode(), final=True))


def _rest_of(message: Message) -> str:
    """A request of the server from its method on, as it was written."""
    params = message.members.get("params")
    raw = "" if params is None else f',"params":{message.text[params.start : params.end]}'
    return f'"method":{json.dumps(message.method)}{raw}}}'


def _question(request: Message, connection: Connection) -> Question:
    raw_id = request.raw_id
    assert raw_id is not None

    def answered(answer: Message) -> None:
        with suppress(CannotWrite):  # The server that asked is gone; its successor asks anew.
            connection.send(answer.with_id(raw_id))

    def unheard() -> None:
        connection.reply(request, _UNHEARD)

    return Question(source_id=request.id_value, answered=answered, unheard=unheard)
