"""One legacy session: its server process (its own or the shared one), its running calls, its stream, what it was asked.

The server's own messages go where the client can attribute them: progress to the exchange of its request, questions and
log lines to a running exchange of the session, everything else to the session's GET stream, where it waits for a
bounded time and number until one is open.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress

import anyio

from gateway.adapter.child import CannotWrite
from gateway.adapter.connection import Connection
from gateway.adapter.http.calls import LegacyCall, with_own_ids
from gateway.adapter.http.outbox import Outbox, Reply
from gateway.adapter.upstream import Live, Upstream
from gateway.protocol.errors import INTERNAL_ERROR
from gateway.protocol.messages import Message
from gateway.protocol.scan import object_members, splice

_MAX_WAITING_MESSAGES = 256
_CANCEL_GRACE_S = 1.0
_UNHEARD_S = 60.0
_UNHEARD = f'"error":{{"code":{INTERNAL_ERROR},"message":"the client does not listen"}}'
_ASIDE = ("notifications/message",)


class Question:
    """A request of the server that the client has not answered yet."""

    def __init__(self, request: Message, connection: Connection) -> None:
        self.request = request
        self.connection = connection
        self.asked_at_s = time.monotonic()


class Session:
    """See the module. `upstream` is set right after construction, because an isolated one speaks to the session."""

    upstream: Upstream

    def __init__(self, session_id: str, *, isolated: bool) -> None:
        self.session_id = session_id
        self.isolated = isolated
        self.revision = ""
        self.scope = anyio.CancelScope()
        self.calls: dict[int, LegacyCall] = {}
        self.questions: dict[int, Question] = {}
        self.stream = Outbox()
        self.stream_is_open = False
        self.subscriptions: set[str] = set()
        self.raw_log_level: str | None = None
        self.last_used_s = time.monotonic()
        self._announced = not isolated
        self._last_question = 0

    @property
    def is_busy(self) -> bool:
        """Whether a call runs or a stream is open."""
        return bool(self.calls) or self.stream_is_open

    async def call(self, message: Message, outbox: Outbox) -> None:
        """Send a request of the client. Raises AdapterFailure, CannotWrite."""
        live = await self.upstream.live()
        self.announce(live)
        sink = LegacyCall(message, outbox, self._call_done)
        sink.own_id = live.connection.next_id()
        live.connection.submit(sink.own_id, with_own_ids(message, sink.own_id), sink)
        self.calls[sink.own_id] = sink
        self._remember(message)

    def announce(self, live: Live) -> None:
        """Tell an isolated server once that the handshake is over. Raises CannotWrite."""
        if not self._announced:
            self._announced = True
            live.connection.send('{"jsonrpc":"2.0","method":"notifications/initialized"}')

    def restore(self, live: Live) -> None:
        """Give a restarted server what the session had set up in the one before."""
        requests = [("resources/subscribe", json.dumps({"uri": uri})) for uri in sorted(self.subscriptions)]
        if self.raw_log_level is not None:
            requests.append(("logging/setLevel", self.raw_log_level))
        for method, params in requests:
            own_id = live.connection.next_id()
            text = f'{{"jsonrpc":"2.0","id":{own_id},"method":"{method}","params":{params}}}'
            try:
                live.connection.send(text)
            except CannotWrite:
                return

    def cancel(self, message: Message) -> None:
        """Withdraw a running call; an id that two calls carry withdraws neither: the wrong one might be lost."""
        wanted, reason = message.params.get("requestId"), message.params.get("reason")
        found = [call for call in self.calls.values() if call.client_id == wanted]
        live = self.upstream.current
        if len(found) != 1 or live is None:
            return
        call = found[0]
        live.connection.notify_cancelled(call.own_id, str(reason or "cancelled by the client"))
        asyncio.get_running_loop().call_later(_CANCEL_GRACE_S, call.withdraw, reason)

    def notify(self, message: Message) -> None:
        """Pass a notification of the client on, where the server is the client's own. Raises CannotWrite."""
        live = self.upstream.current
        if message.method == "notifications/cancelled":
            self.cancel(message)
        elif live is None or not self.isolated:
            return
        elif message.method == "notifications/initialized":
            self.announce(live)
        else:
            live.connection.send(message.text)

    def answer_question(self, message: Message) -> bool:
        """Pass the client's answer to the server; False when nothing of that id was asked."""
        key = message.id_value
        question = self.questions.pop(key, None) if isinstance(key, int) else None
        if question is None:
            return False
        assert question.request.raw_id is not None
        with suppress(CannotWrite):  # The server that asked is gone; its successor asks anew.
            question.connection.send(message.with_id(question.request.raw_id))
        return True

    def server_request(self, message: Message) -> None:
        """A question of the session's own server."""
        live = self.upstream.current
        if live is None:
            return
        self._last_question += 1
        self.questions[self._last_question] = Question(message, live.connection)
        self._say(message.with_id(str(self._last_question)), beside_a_call=True)

    def server_notification(self, message: Message) -> None:
        """A notification of the session's own server."""
        if message.method == "notifications/cancelled":
            self._withdraw_question(message)
        else:
            self._say(message.text, beside_a_call=message.method in _ASIDE)

    def say_on_stream(self, text: str) -> None:
        """Queue a message for the GET stream; the oldest are dropped when nobody reads."""
        if len(self.stream) >= _MAX_WAITING_MESSAGES and not self.stream_is_open:
            self.stream.drop_oldest()
        self.stream.offer(Reply(body=text.encode()))

    def refuse_unheard(self, now_s: float) -> None:
        """Answer questions that reached no client for a minute, so that the server does not wait for ever."""
        if self.stream_is_open or self.calls:
            return
        for key, question in list(self.questions.items()):
            if now_s - question.asked_at_s > _UNHEARD_S:
                del self.questions[key]
                question.connection.reply(question.request, _UNHEARD)

    def _say(self, text: str, *, beside_a_call: bool) -> None:
        listening = [call for call in self.calls.values() if not call.outbox.is_gone]
        if beside_a_call and listening:
            listening[-1].outbox.offer(Reply(body=text.encode()))
        else:
            self.say_on_stream(text)

    def _withdraw_question(self, message: Message) -> None:
        wanted = message.params.get("requestId")
        for key, question in list(self.questions.items()):
            if question.request.id_value == wanted:
                del self.questions[key]
                params, _ = object_members(message.text, message.members["params"].start)
                self._say(splice(message.text, {params["requestId"]: str(key)}), beside_a_call=True)

    def _remember(self, message: Message) -> None:
        uri = message.params.get("uri")
        if message.method == "resources/subscribe" and isinstance(uri, str):
            self.subscriptions.add(uri)
        elif message.method == "resources/unsubscribe" and isinstance(uri, str):
            self.subscriptions.discard(uri)
        elif message.method == "logging/setLevel":
            self.raw_log_level = json.dumps(message.params)

    def _call_done(self, call: LegacyCall) -> None:
        self.calls.pop(call.own_id, None)
        self.last_used_s = time.monotonic()


SessionLookup = Callable[[], "list[Session]"]


class SharedVoice:
    """Hears the shared server, which was told that its client can be asked nothing.

    Change notices go to every session that shares it; a log line goes to the one running call, or to the only session;
    where it could belong to several clients it is dropped, because it may hold another client's data.
    """

    def __init__(self) -> None:
        self.sessions: SessionLookup = list
        self.connection: Callable[[], Connection | None] = lambda: None

    def server_notification(self, message: Message) -> None:
        """Give a notification to the sessions that it concerns."""
        if message.method == "notifications/message":
            self._log_line(message)
            return
        uri = message.params.get("uri")
        for session in self.sessions():
            if not isinstance(uri, str) or any(uri.startswith(each) for each in session.subscriptions):
                session.say_on_stream(message.text)

    def server_request(self, message: Message) -> None:
        """Refuse: no client of a shared server declared that it can be asked."""
        connection = self.connection()
        if connection is not None:
            connection.reply(message, '"error":{"code":-32601,"message":"the client does not support this request"}')

    def _log_line(self, message: Message) -> None:
        connection, sessions = self.connection(), self.sessions()
        pending = connection.pending if connection else ()
        if len(pending) == 1:
            pending[0].notification(message)
        elif len(sessions) == 1 and all(isinstance(sink, LegacyCall) for sink in pending):
            sessions[0].say_on_stream(message.text)
