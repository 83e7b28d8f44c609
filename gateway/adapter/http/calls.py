"""One request of a client on its way to the server and back."""

import json
from collections.abc import Callable

from gateway.adapter.http.levels import passes
from gateway.adapter.http.outbox import Outbox, Reply
from gateway.protocol.errors import REQUEST_CANCELLED, UPSTREAM_LOST, Refusal
from gateway.protocol.messages import Message, ResponseId, read_meta
from gateway.protocol.scan import object_members, splice


def with_own_ids(message: Message, own_id: int) -> str:
    """The request with the adapter's id, which also replaces the progress token where the client gave one."""
    replacements = {message.members["id"]: str(own_id)}
    if message.raw_progress_token is not None:
        _, meta = read_meta(message)
        replacements[meta["progressToken"]] = str(own_id)
    return splice(message.text, replacements)


def with_client_token(notice: Message, raw_token: str) -> str:
    """A progress notice of the server with the token that its client chose."""
    params, _ = object_members(notice.text, notice.members["params"].start)
    return splice(notice.text, {params["progressToken"]: raw_token})


def with_client_id(line: bytes, place: ResponseId, raw_id: str) -> bytes:
    """An answer of the server with the id that its client chose; nothing else of it is read."""
    return line[: place.start] + raw_id.encode() + line[place.end :]


class ClientCall:
    """What every running call of a client has, whatever its era: who made it, and which log lines it wants.

    `client` is the same for two calls only if they are of one client, and None for one that causes no log lines;
    `log_level` None wants no lines.
    """

    client: object | None
    log_level: str | None
    is_endless = False

    def wants_line(self, message: Message) -> bool:
        """Whether a log line of the server is for this client's ears."""
        return passes(message, self.log_level)

    def notification(self, message: Message) -> None:
        """See `Sink`."""
        raise NotImplementedError


class LegacyCall(ClientCall):
    """A sink that turns what the server says about one request into replies for one HTTP exchange."""

    def __init__(self, message: Message, outbox: Outbox, on_done: Callable[["LegacyCall"], None]) -> None:
        assert message.raw_id is not None
        self.raw_id = message.raw_id
        self.client_id = message.id_value
        self.client: object | None = self
        self.log_level: str | None = "debug"
        self.own_id = 0
        self.outbox = outbox
        self.raw_token = message.raw_progress_token
        self._on_done = on_done
        self._done = False

    @property
    def is_done(self) -> bool:
        """Whether the client has its answer."""
        return self._done

    def response(self, line: bytes, place: ResponseId) -> None:
        self.finish(with_client_id(line, place, self.raw_id))

    def notification(self, message: Message) -> None:
        if message.method != "notifications/progress":
            self.outbox.offer(Reply(body=message.text.encode()))
        elif self.raw_token is not None:
            self.outbox.offer(Reply(body=with_client_token(message, self.raw_token).encode()))

    def lost(self, detail: str) -> None:
        self.finish(Refusal(code=UPSTREAM_LOST, message=detail).body(self.raw_id))

    def withdraw(self, reason: object) -> None:
        """End the exchange of a request that nobody wants answered any more."""
        text = f"the request was cancelled: {json.dumps(reason)}" if reason else "the request was cancelled"
        self.finish(Refusal(code=REQUEST_CANCELLED, message=text).body(self.raw_id))

    def finish(self, body: bytes) -> None:
        """Give the client its answer; only the first one counts."""
        if self._done:
            return
        self._done = True
        self._on_done(self)
        self.outbox.offer(Reply(body=body, final=True))
