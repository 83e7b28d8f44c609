"""JSON-RPC over the pipes of one server process: own request ids, answers by id, progress by token.

Ids and progress tokens on the pipes are the adapter's own integers, never a client's, so two requests that carry the
same client id cannot take each other's answers. What the server says on its own account goes to the owner of the
connection.
"""

import asyncio
import json
from typing import Protocol

from gateway.adapter.child import CannotWrite, ChildProcess, Launch, spawn
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
from gateway.protocol.scan import MalformedJson


class Sink(Protocol):
    """Who waits for the answer of one request."""

    def response(self, line: bytes, place: ResponseId) -> None:
        """The answer, with the place of the id in it. Called at most once."""
        ...

    def notification(self, message: Message) -> None:
        """A progress notice, or a log line that belongs to this request."""
        ...

    def lost(self, detail: str) -> None:
        """The process ended first. Called instead of `response`."""
        ...


class ServerVoice(Protocol):
    """Who hears what a server says without being asked."""

    def server_notification(self, message: Message) -> None:
        """A notification that belongs to no request."""
        ...

    def server_request(self, message: Message) -> None:
        """A request of the server to its client; it must be answered with `Connection.send`."""
        ...


class Connection:
    """One process and the requests that it has not answered yet."""

    def __init__(self, voice: ServerVoice, log: AdapterLog) -> None:
        self._voice = voice
        self._log = log
        self._pending: dict[int, Sink] = {}
        self._last_id = 0
        self._paused_by = 0
        self._child: ChildProcess | None = None
        self.answered = False
        self.last_heard_s = 0.0
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def open(self, launch: Launch) -> None:
        """Start the process. Raises OSError."""
        self._child = await spawn(launch, self)

    @property
    def child(self) -> ChildProcess:
        """The process."""
        assert self._child is not None
        return self._child

    @property
    def pending(self) -> tuple[Sink, ...]:
        """Who waits for an answer, oldest first."""
        return tuple(self._pending.values())

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

    def cancel(self, own_id: int, reason: str) -> None:
        """Withdraw a request: the server is told, a late answer will be dropped."""
        if self._pending.pop(own_id, None) is not None:
            self.notify_cancelled(own_id, reason)

    def notify_cancelled(self, own_id: int, reason: str) -> None:
        """Tell the server that an answer is no longer wanted, but keep waiting for one."""
        params = {"requestId": own_id, "reason": reason}
        try:
            self.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
        except CannotWrite:
            self._log.event("cancel-not-sent", reason=reason)

    def forget(self, own_id: int) -> None:
        """Drop whoever waits for an answer."""
        self._pending.pop(own_id, None)

    def hold(self) -> None:
        """One more slow reader: stop taking output."""
        self._paused_by += 1
        if self._paused_by == 1:
            self.child.pause_reading()

    def release(self) -> None:
        """One slow reader less."""
        self._paused_by -= 1
        if self._paused_by == 0:
            self.child.resume_reading()

    async def end_status(self) -> int:
        """Wait for the end of the process; shielded, because a cancelled waiter must not look like an ended process."""
        return await asyncio.shield(self.exited)

    async def close(self) -> None:
        """End the process and its helpers; bounded, see `ChildProcess.end`."""
        if self._child is not None and not self.exited.done():
            await self._child.end()

    def line_received(self, line: bytes) -> None:
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
        self._dispatch(message, line)

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

    def _dispatch(self, message: Message, line: bytes) -> None:
        if message.kind is MessageKind.RESPONSE:
            self._answer_slowly(message, line)
        elif message.kind is MessageKind.NOTIFICATION:
            self._notify(message)
        elif message.method == "ping":
            self.reply(message, '"result":{}')
        else:
            self._voice.server_request(message)

    def _answer_slowly(self, message: Message, line: bytes) -> None:
        """An answer in an uncommon layout: the place of its id is known in characters and wanted in bytes."""
        member = message.members["id"]
        if not isinstance(member.value, int):
            return
        start = len(message.text[: member.start].encode())
        end = start + len(message.text[member.start : member.end].encode())
        self._answer(ResponseId(value=member.value, start=start, end=end), line)

    def _notify(self, message: Message) -> None:
        if message.method != "notifications/progress":
            self._voice.server_notification(message)
            return
        token = message.params.get("progressToken")
        sink = self._pending.get(token) if isinstance(token, int) else None
        if sink is not None:
            sink.notification(message)

    def reply(self, request: Message, outcome: str) -> None:
        """Answer a request of the server; `outcome` is the member `"result":…` or `"error":…` as JSON text."""
        try:
            self.send(f'{{"jsonrpc":"2.0","id":{request.raw_id},{outcome}}}')
        except CannotWrite:
            self._log.event("reply-not-sent", method=request.method)
