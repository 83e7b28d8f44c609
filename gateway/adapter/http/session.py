"""What every legacy session has: its streams, its running calls, and what its client was asked.

Messages of the server go where the client can attribute them: progress to the exchange of its request, questions and
log lines to a running exchange of the session, everything else to the session's GET stream, where it waits for a
bounded number of messages until one is open. How calls reach the server is for the two kinds of sessions to say.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from gateway.adapter.http.calls import LegacyCall
from gateway.adapter.http.outbox import Outbox, Reply, Throttle
from gateway.adapter.http.streams import GENERAL, EventsGone, StreamOutbox, StreamReader
from gateway.adapter.upstream import Upstream
from gateway.protocol.messages import Message
from gateway.protocol.revisions import PRIMED_REVISIONS

_UNHEARD_S = 60.0
_KEPT_STREAMS = 16
_KEPT_STREAM_S = 120.0
_KEPT_UNREAD_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something that the server wants of the client. `source_id` is what the server calls it."""

    source_id: object
    answered: Callable[[Message], None]
    unheard: Callable[[], None]
    asked_at_s: float = field(default_factory=time.monotonic)


class Session(ABC):
    """See the module. `principal` is who opened it: nobody else may use it."""

    upstream: Upstream

    def __init__(self, session_id: str, principal: str, *, isolated: bool) -> None:
        self.session_id = session_id
        self.principal = principal
        self.isolated = isolated
        self.revision = ""
        self.scope: anyio.CancelScope | None = None
        self.calls: dict[int, LegacyCall] = {}
        self.questions: dict[int, Question] = {}
        self.general = StreamOutbox(GENERAL)
        self.last_used_s = time.monotonic()
        self.log_level: str | None = None
        self._streams: dict[str, StreamOutbox] = {}
        self._last_stream = 0
        self._last_question = 0

    @abstractmethod
    async def call(self, message: Message, outbox: Outbox) -> None:
        """Send a request of the client. Raises AdapterFailure, CannotWrite."""

    @abstractmethod
    def notify(self, message: Message) -> None:
        """Take a notification of the client. Raises CannotWrite."""

    @abstractmethod
    def throttle(self) -> Throttle | None:
        """What waits when this client reads slowly."""

    def closed(self) -> None:  # noqa: B027 - most sessions hold nothing elsewhere
        """The session is over: let go of what it holds of a shared server."""

    @property
    def is_busy(self) -> bool:
        """Whether a call runs or a stream is open."""
        return bool(self.calls) or self.general.is_read

    @property
    def is_listened_to(self) -> bool:
        """Whether any exchange of the client is open."""
        return self.general.is_read or any(stream.is_read for stream in self._streams.values())

    @property
    def primed(self) -> bool:
        """Whether the client knows events without data."""
        return self.revision in PRIMED_REVISIONS

    def new_stream(self, expected: int) -> StreamOutbox:
        """The outbox of one POST; it can be resumed from its first event on."""
        self._last_stream += 1
        stream = StreamOutbox(f"p{self._last_stream}", self.throttle(), expected=expected)
        while len(self._streams) >= _KEPT_STREAMS:
            oldest = next((name for name, each in self._streams.items() if not each.is_read), None)
            if oldest is None:
                break
            self._streams.pop(oldest).leave()
        self._streams[stream.name] = stream
        return stream

    def settle_stream(self, stream: StreamOutbox) -> None:
        """Forget the outbox of a POST that was answered without events."""
        if not stream.is_streaming:
            self._streams.pop(stream.name, None)

    def resume(self, name: str, number: int) -> tuple[StreamOutbox, StreamReader]:
        """A stream again from one event on, in place of whoever reads it now. Raises EventsGone."""
        stream = self.general if name == GENERAL else self._streams.get(name)
        if stream is None:
            raise EventsGone
        stream.rewind(number)
        return stream, stream.attach(primed=False)

    def answer_question(self, message: Message) -> bool:
        """Take the client's answer; False when nothing of that id was asked."""
        key = message.id_value
        question = self.questions.pop(key, None) if isinstance(key, int) else None
        if question is None:
            return False
        question.answered(message)
        return True

    def ask(self, question: Question, request: str, call: LegacyCall | None) -> None:
        """Ask the client; `request` is the rest of the JSON text after the id, from `"method"` on."""
        self._last_question += 1
        self.questions[self._last_question] = question
        self.say(f'{{"jsonrpc":"2.0","id":{self._last_question},{request}', call)

    def withdraw_question(self, source_id: object) -> None:
        """The server no longer wants an answer."""
        for key, question in list(self.questions.items()):
            if question.source_id == source_id:
                del self.questions[key]
                notice = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": key}}
                self.say(json.dumps(notice), self.listening_call())

    def listening_call(self) -> LegacyCall | None:
        """The running call that began last and whose client still listens."""
        listening = [call for call in self.calls.values() if not call.outbox.is_gone]
        return listening[-1] if listening else None

    def say(self, text: str, call: LegacyCall | None) -> None:
        """Give the client a message beside a call, or on its GET stream."""
        outbox = self.general if call is None else call.outbox
        outbox.offer(Reply(body=text.encode()))

    def sweep(self, now_s: float) -> None:
        """Forget streams that nobody came back for; give up questions that reached no client for a minute."""
        for name, stream in list(self._streams.items()):
            kept_s = _KEPT_STREAM_S if stream.has_all() else _KEPT_UNREAD_S
            if not stream.is_read and now_s - stream.last_read_s > kept_s:
                self._streams.pop(name).leave()
        if self.general.is_read or self.calls:
            return
        for key, question in list(self.questions.items()):
            if now_s - question.asked_at_s > _UNHEARD_S:
                del self.questions[key]
                question.unheard()

    def end(self, reason: str) -> None:
        """Withdraw every running call and end every stream; whoever waits for an answer gets one that says so."""
        live = self.upstream.current if self.calls else None
        for call in list(self.calls.values()):
            if live is not None:
                live.connection.cancel(call.own_id, reason)
            call.withdraw(reason)
        for stream in (self.general, *self._streams.values()):
            if stream is self.general or not stream.is_read:
                stream.leave()

    def call_done(self, call: LegacyCall) -> None:
        """A call has its answer."""
        self.calls.pop(call.own_id, None)
        self.last_used_s = time.monotonic()
