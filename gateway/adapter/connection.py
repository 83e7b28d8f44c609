"""JSON-RPC with one server: own request ids, answers by id, progress by token, notices by subscription.

Ids and progress tokens towards the server are the adapter's own integers, never a client's, so two requests that carry
the same client id cannot take each other's answers. What the server says on its own account goes to the owner of the
connection; where the channel knows which request a message travelled with (HTTP), the owner learns it.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway.adapter.child import CannotWrite
from gateway.adapter.lines import Oversized
from gateway.adapter.log import AdapterLog
from gateway.protocol.messages import (
    InvalidMessage,
    Message,
    MessageKind,
    ResponseId,
    decode_line,
    peek_response,
    read_message,
)
from gateway.protocol.revisions import META_SUBSCRIPTION_ID
from gateway.protocol.scan import MalformedJson

MAX_WAITING_BYTES = 4 * 1024 * 1024
"""What may wait for the one client of a server."""
MAX_SHARED_WAITING_BYTES = 64 * 1024 * 1024
"""What may wait for all clients of a shared server: more, so that one slow reader does not stop the others."""


class Sink(Protocol):
    """Who waits for the answer of one request."""

    @property
    def is_endless(self) -> bool:
        """Whether the answer may be hours away, because it is the end of a stream."""
        ...

    def response(self, line: bytes, place: ResponseId) -> None:
        """The answer, with the place of the id in it. Called at most once."""
        ...

    def notification(self, message: Message) -> None:
        """A progress notice, a notice of this subscription, or a log line that belongs to this request."""
        ...

    def lost(self, detail: str) -> None:
        """The process ended first. Called instead of `response`."""
        ...


class ServerVoice(Protocol):
    """Who hears what a server says without being asked."""

    def server_notification(self, message: Message) -> None:
        """A notification that belongs to no known request."""
        ...

    def server_request(self, message: Message, about: int | None) -> None:
        """A request of the server to its client; it must be answered with `Connection.send`.

        `about` is the own id of the request that it travelled with, None where the channel does not tell.
        """
        ...


class Channel(Protocol):
    """The way to one server, and its process: pipes, or HTTP on a loopback port."""

    last_error_lines: deque[str]

    @property
    def pid(self) -> int:
        """The process id."""
        ...

    def write(self, message: bytes) -> None:
        """Send one message. Raises CannotWrite."""
        ...

    def pause_reading(self) -> None:
        """Stop taking what the server writes."""
        ...

    def resume_reading(self) -> None:
        """Take it again."""
        ...

    async def end(self, *, force: bool = False) -> None:
        """End the process, or only the server's session where the process serves others too, unless forced."""
        ...


class Connection:
    """One process and the requests that it has not answered yet."""

    def __init__(self, voice: ServerVoice, log: AdapterLog, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self._max_waiting_bytes = max_waiting_bytes
        self._voice = voice
        self._log = log
        self._pending: dict[int, Sink] = {}
        self._last_id = 0
        self._marks: deque[tuple[float, int]] = deque()
        self._waiting_bytes = 0
        self._is_paused = False
        self._child: Channel | None = None
        self.answered = False
        self.on_renewed: Callable[[], None] | None = None
        self.last_heard_s = 0.0
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def use(self, channel: Channel) -> None:
        """Speak over this channel, whose events come here."""
        self._child = channel

    @property
    def child(self) -> Channel:
        """The way to the process."""
        assert self._child is not None
        return self._child

    @property
    def pending(self) -> tuple[Sink, ...]:
        """Who waits for an answer, oldest first."""
        return tuple(self._pending.values())

    def renewed(self) -> None:
        """The server forgot what was set up, and was greeted again."""
        if self.on_renewed is not None:
            self.on_renewed()

    def sink_of(self, own_id: int | None) -> Sink | None:
        """Who waits for the answer of one request."""
        return None if own_id is None else self._pending.get(own_id)

    def next_id(self) -> int:
        """A fresh id for a request that `submit` will send."""
        self._last_id += 1
        return self._last_id

    def submit(self, own_id: int, message: str, sink: Sink) -> None:
        """Send a request whose text already carries `own_id`. Raises CannotWrite."""
        self.child.write(message.encode())
        self._pending[own_id] = sink

    def send(self, message: str) -> None:
        """Send a notification or an answer. Raises CannotWrite."""
        self.child.write(message.encode())

    def request_unheard(self, method: str, params: dict[str, object]) -> None:
        """Send a request of the adapter's own whose answer nobody needs."""
        request = {"jsonrpc": "2.0", "id": self.next_id(), "method": method, "params": params}
        try:
            self.send(json.dumps(request))
        except CannotWrite:
            self._log.event("request-not-sent", method=method)

    def cancel(self, own_id: int, reason: str) -> None:
        """Withdraw a request: the server is told, a late answer will be dropped."""
        if self._pending.pop(own_id, None) is None:
            return
        params = {"requestId": own_id, "reason": reason}
        try:
            self.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
        except CannotWrite:
            self._log.event("cancel-not-sent", reason=reason)

    def forget(self, own_id: int) -> None:
        """Drop whoever waits for an answer."""
        self._pending.pop(own_id, None)

    def count_waiting(self, change_bytes: int) -> None:
        """So many bytes more, or fewer, wait for slow readers; above the limit the server is not read any further."""
        self._waiting_bytes += change_bytes
        if not self._is_paused and self._waiting_bytes > self._max_waiting_bytes:
            self._is_paused = True
            self.child.pause_reading()
        elif self._is_paused and self._waiting_bytes < self._max_waiting_bytes // 4:
            self._is_paused = False
            self.child.resume_reading()

    async def end_status(self) -> int:
        """Wait for the end of the process; shielded, because a cancelled waiter must not look like an ended process."""
        return await asyncio.shield(self.exited)

    async def close(self, *, force: bool = False) -> None:
        """End the process and its helpers; bounded, see `Channel.end`."""
        if self._child is not None and not self.exited.done():
            await self._child.end(force=force)

    def line_received(self, line: bytes, about: int | None = None) -> None:
        """One message; `about` as in `ServerVoice.server_request`."""
        self.last_heard_s = asyncio.get_running_loop().time()
        place = peek_response(line)
        if place is not None:
            self._answer(place, line)
            return
        try:
            message = read_message(decode_line(line))
        except (MalformedJson, InvalidMessage) as problem:
            self._log.event("stdout-noise", line=line[:400].decode("utf-8", "replace"), why=str(problem))
            return
        self._dispatch(message, line, about)

    def line_dropped(self, line: Oversized) -> None:
        """Fail the call whose answer is too large; a message that names none is only logged."""
        self._log.event("message-too-large", head=line.head.decode("utf-8", "replace"))
        place = peek_response(line.head + line.tail)
        if place is not None:
            self.fail(place.value, "the server's answer is larger than a message may be")

    def fail(self, own_id: int, detail: str) -> None:
        """End one request that will never be answered."""
        sink = self._pending.pop(own_id, None)
        if sink is not None:
            sink.lost(detail)

    def end_overdue(self, now_s: float, limit_s: float) -> None:
        """Withdraw every request that is older than `limit_s`, but for streams.

        To be called every few seconds: it notes which id was the last one by now instead of a time for each request.
        """
        self._marks.append((now_s, self._last_id))
        newest = 0
        while self._marks[0][0] <= now_s - limit_s:
            _, newest = self._marks.popleft()
        for own_id in [each for each, sink in self._pending.items() if each <= newest and not sink.is_endless]:
            sink = self._pending[own_id]
            self.cancel(own_id, "it takes too long")
            sink.lost(f"the server did not answer within {limit_s:.0f} s")

    def error_line_received(self, line: str) -> None:
        self._log.output(line)

    def ended(self, status: int) -> None:
        waiting, self._pending = self._pending, {}
        detail = f"the server process ended with status {status} while the request was in flight"
        for sink in waiting.values():
            sink.lost(detail)
        if not self.exited.done():
            self.exited.set_result(status)

    def _answer(self, place: ResponseId, line: bytes) -> None:
        self.answered = True
        sink = self._pending.pop(place.value, None)
        if sink is not None:
            sink.response(line, place)

    def _dispatch(self, message: Message, line: bytes, about: int | None) -> None:
        if message.kind is MessageKind.RESPONSE:
            self._answer_slowly(message, line)
        elif message.kind is MessageKind.NOTIFICATION:
            self._notify(message, about)
        elif message.method == "ping":
            self.reply(message, '"result":{}')
        else:
            self._voice.server_request(message, about)

    def _answer_slowly(self, message: Message, line: bytes) -> None:
        """An answer in an uncommon layout: the place of its id is known in characters and wanted in bytes."""
        member = message.members["id"]
        if not isinstance(member.value, int):
            return
        start = len(message.text[: member.start].encode())
        end = start + len(message.text[member.start : member.end].encode())
        self._answer(ResponseId(value=member.value, start=start, end=end), line)

    def _notify(self, message: Message, about: int | None) -> None:
        if message.method == "notifications/progress":
            self._to_sink(message.params.get("progressToken"), message)
        elif META_SUBSCRIPTION_ID in message.meta:
            self._to_sink(message.meta[META_SUBSCRIPTION_ID], message)
        elif about in self._pending and message.method == "notifications/message":
            self._to_sink(about, message)
        else:
            self._voice.server_notification(message)

    def _to_sink(self, own_id: object, message: Message) -> None:
        sink = self._pending.get(own_id) if isinstance(own_id, int) else None
        if sink is not None:
            sink.notification(message)

    def reply(self, request: Message, outcome: str) -> None:
        """Answer a request of the server; `outcome` is the member `"result":…` or `"error":…` as JSON text."""
        try:
            self.send(f'{{"jsonrpc":"2.0","id":{request.raw_id},{outcome}}}')
        except CannotWrite:
            self._log.event("reply-not-sent", method=request.method)
