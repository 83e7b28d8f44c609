"""One request of a modern client on its way to the server and back, whatever the server's era."""

import json
from collections.abc import Callable

from gateway.adapter.http.calls import ClientCall, with_client_id, with_client_token, with_own_ids
from gateway.adapter.http.outbox import Outbox, Reply
from gateway.adapter.http.shapes import to_legacy_request, to_modern_reply
from gateway.adapter.upstream import Live
from gateway.protocol.errors import UPSTREAM_LOST, Refusal, modern_status
from gateway.protocol.messages import (
    InvalidMessage,
    Message,
    ResponseId,
    decode_line,
    read_message,
    read_meta,
)
from gateway.protocol.revisions import META_LOG_LEVEL, META_SUBSCRIPTION_ID, Era
from gateway.protocol.scan import MalformedJson, json_object, splice

LISTEN = "subscriptions/listen"


class ModernCall(ClientCall):
    """A sink: the answer of a legacy server is reshaped, that of a modern one only gets its id back.

    `principal` is empty where callers are not told apart; each call then counts as a client of its own.
    """

    def __init__(self, message: Message, outbox: Outbox, live: Live, principal: str) -> None:
        assert message.raw_id is not None
        self.live = live
        self.method = message.method
        self.outbox: Outbox | None = outbox
        self.own_id = live.connection.next_id()
        level = message.meta.get(META_LOG_LEVEL)
        self.log_level = level if isinstance(level, str) else None
        self.client: object | None = None if message.method == LISTEN else (principal or self)
        self.is_endless = message.method == LISTEN
        self._raw_id = message.raw_id
        self._raw_token = message.raw_progress_token

    def submit(self, message: Message) -> None:
        """Send the request. Raises CannotWrite."""
        modern = self.live.handshake.era is Era.MODERN
        text = with_own_ids(message, self.own_id) if modern else to_legacy_request(message, self.own_id)
        self.live.connection.submit(self.own_id, text, self)

    def response(self, line: bytes, place: ResponseId) -> None:
        """See `Sink`."""
        if self.live.handshake.era is Era.MODERN:
            self.finish(lambda raw_id: _passed_through(self.method, line, place, raw_id))
            return
        try:
            message = read_message(decode_line(line))
        except (MalformedJson, InvalidMessage) as problem:
            self.lost(f"the server's answer is no JSON-RPC message: {problem}")
            return
        server_info = self.live.raw_server_info
        self.finish(lambda raw_id: to_modern_reply(message, self.method, raw_id, server_info))

    def notification(self, message: Message) -> None:
        """Progress, the log lines that were asked for, and the notices of a listen stream."""
        if self.outbox is None:
            return
        if message.method == "notifications/progress":
            if self._raw_token is not None:
                self.outbox.offer(Reply(body=with_client_token(message, self._raw_token).encode()))
        elif META_SUBSCRIPTION_ID in message.meta:
            self.outbox.offer(Reply(body=with_subscription_id(message, self._raw_id).encode()))
        elif message.method == "notifications/message" and self.wants_line(message):
            self.outbox.offer(Reply(body=message.text.encode()))

    def lost(self, detail: str) -> None:
        """See `Sink`."""
        refusal = Refusal(code=UPSTREAM_LOST, message=detail)
        self.finish(lambda raw_id: Reply(body=refusal.body(raw_id), final=True, status=refusal.status))

    def finish(self, write: Callable[[str], Reply]) -> None:
        """Give the client its answer; `write` makes it for an id."""
        if self.outbox is not None:
            self.outbox.offer(write(self._raw_id))

    def ended_by_server(self) -> None:
        """See `ListenSink`; the client gets the regular end, whichever way the server chose."""
        self.finish(lambda raw_id: Reply(body=end_of_listen(raw_id), final=True))

    def close(self) -> None:
        """End a listen stream in the regular way, in the server's name."""
        self.live.connection.cancel(self.own_id, "the machine stops")
        self.finish(lambda raw_id: Reply(body=end_of_listen(raw_id), final=True))

    def cancel(self, reason: str) -> None:
        """Its client has gone: the server is told, and nothing is delivered any more."""
        if self.outbox is not None:
            self.outbox.leave()
        self.live.connection.cancel(self.own_id, reason)


def end_of_listen(raw_id: str) -> bytes:
    """The result that ends a listen stream."""
    meta = f'"_meta":{{"{META_SUBSCRIPTION_ID}":{raw_id}}}'
    return f'{{"jsonrpc":"2.0","id":{raw_id},"result":{{"resultType":"complete",{meta}}}}}'.encode()


def with_subscription_id(notice: Message, raw_id: str) -> str:
    """A notice of a listen stream with the id that the client gave the stream."""
    _, meta = read_meta(notice)
    return splice(notice.text, {meta[META_SUBSCRIPTION_ID]: raw_id})


def _passed_through(method: str, line: bytes, place: ResponseId, raw_id: str) -> Reply:
    """A modern answer; the HTTP status follows from its error code, which only short answers can carry."""
    body = with_client_id(line, place, raw_id)
    if method == LISTEN:
        return Reply(body=_with_listen_id(body, raw_id), final=True)
    if b'"error"' not in line[:200]:
        return Reply(body=body, final=True)
    return Reply(body=body, final=True, status=_status_of(line))


def _status_of(line: bytes) -> int:
    try:
        error = read_message(decode_line(line)).members.get("error")
    except (MalformedJson, InvalidMessage):
        return 200
    code = json_object(error.value if error is not None else None).get("code")
    return modern_status(code) if isinstance(code, int) else 200


def _with_listen_id(body: bytes, raw_id: str) -> bytes:
    """The end of a listen stream names the stream once more."""
    message = json_object(json.loads(body))
    meta = json_object(json_object(message.get("result")).get("_meta"))
    if META_SUBSCRIPTION_ID not in meta:
        return body
    meta[META_SUBSCRIPTION_ID] = json.loads(raw_id)
    return json.dumps(message, ensure_ascii=False).encode()
