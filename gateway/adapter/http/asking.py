"""A call of a modern client whose legacy server may ask the client something before it answers.

A question ends the exchange with `input_required` and parks the call; the retry brings the answers and goes on with it.
Questions that come close together travel together. What the client did not declare is refused in its name.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from gateway.adapter.child import CannotWrite
from gateway.adapter.http.moderncall import ModernCall
from gateway.adapter.http.outbox import Outbox, Reply
from gateway.adapter.http.parking import ParkingLot
from gateway.adapter.http.requeststate import Binding
from gateway.adapter.upstream import Live
from gateway.protocol.errors import INVALID_PARAMS, LEGACY_URL_ELICITATION, METHOD_NOT_FOUND, Refusal
from gateway.protocol.messages import InvalidMessage, Message, ResponseId, decode_line, read_message, read_meta
from gateway.protocol.revisions import META_SERVER_INFO
from gateway.protocol.scan import MalformedJson, json_array, json_object, object_members

_TOGETHER_S = 0.06
_CAPABILITY_OF = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
_ANSWER_MEMBERS = {"elicitation": "action", "sampling": "content", "roots": "roots"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question that waits for its answer; `awaited` tells whether the server waits, too."""

    request: Message
    capability: str
    awaited: bool = True


class AskableCall(ModernCall):
    """See the module. `capabilities` are what the client declared, `on_done` is told once."""

    def __init__(self, message: Message, outbox: Outbox, live: Live, binding: Binding) -> None:
        super().__init__(message, outbox, live, binding.principal)
        self.binding = binding
        self.capabilities: Mapping[str, object] = {}
        self.lot: ParkingLot | None = None
        self.on_done: Callable[[AskableCall], None] = lambda _: None
        self._questions: dict[str, Asked] = {}
        self._asked = 0
        self._starts_anew = False
        self._written: Callable[[str], Reply] | None = None
        self._put_soon: asyncio.TimerHandle | None = None

    @property
    def is_attached(self) -> bool:
        """Whether its client waits for it now: a parked call does not run, so it hardly asks anything new."""
        return self.outbox is not None

    @property
    def is_waiting(self) -> bool:
        """Whether a question is open."""
        return bool(self._questions)

    def ask(self, request: Message) -> None:
        """Take a question of the server."""
        refusal = self._undeclared(request)
        if refusal is not None:
            self._answer(request, f'"error":{json.dumps(refusal)}')
            return
        capability = _CAPABILITY_OF[request.method]
        self._asked += 1
        self._questions[f"{capability}-{self._asked}"] = Asked(request=request, capability=capability)
        self._put_later(_TOGETHER_S)

    def withdraw(self, server_id: object) -> None:
        """The server no longer wants an answer."""
        for key, asked in list(self._questions.items()):
            if asked.request.id_value == server_id:
                del self._questions[key]

    def resume(self, message: Message, outbox: Outbox) -> Refusal | None:
        """Go on with the answers of a retry. A malformed answer is refused, and the call stays as it was."""
        given = raw_answers(message)
        for key, (raw, value) in given.items():
            asked = self._questions.get(key)
            if asked is not None and not _fits(asked.capability, value):
                return Refusal(
                    code=INVALID_PARAMS, message=f"inputResponses.{key} is no answer to its question: {raw[:200]}"
                )
        assert message.raw_id is not None
        self._raw_id, self._raw_token, self.outbox = message.raw_id, message.raw_progress_token, outbox
        for key, (raw, _) in given.items():
            asked = self._questions.pop(key, None)
            if asked is not None and asked.awaited:
                self._answer(asked.request, f'"result":{raw}')
        self._go_on(message)
        return None

    def _go_on(self, message: Message) -> None:
        if self._written is not None:
            self.finish(self._written)
        elif self._questions:
            self._put_later(0)
        elif self._starts_anew:
            self._starts_anew = False
            self.own_id = self.live.connection.next_id()
            self.submit(message)

    def response(self, line: bytes, place: ResponseId) -> None:
        """See `Sink`; the error with which legacy servers ask for pages to be opened becomes questions (-32042)."""
        pages = pages_to_open(line) if self._can_elicit("url") else []
        if not pages:
            super().response(line, place)
            return
        self._starts_anew = True
        for page in pages:
            self._asked += 1
            self._questions[f"elicitation-{self._asked}"] = Asked(request=page, capability="elicitation", awaited=False)
        self._put_later(0)

    def finish(self, write: Callable[[str], Reply]) -> None:
        """See `ModernCall`; a parked call keeps its answer for the retry."""
        self._written = write
        self._questions.clear()
        self.on_done(self)
        super().finish(write)

    def park_again(self) -> str | None:
        """Wait once more; the state for the next retry, None when there is no place."""
        assert self.lot is not None
        return self.lot.park(self)

    def expire(self) -> None:
        """See `Parked`."""
        self._refuse_all("the client did not answer in time")
        self.cancel("the client did not come back")

    def cancel(self, reason: str) -> None:
        """See `ModernCall`."""
        self._stop_timer()
        self.on_done(self)
        super().cancel(reason)

    def _put_later(self, delay_s: float) -> None:
        """Wait for more questions after each one: servers write what they ask at once as separate messages."""
        self._stop_timer()
        if self.outbox is not None:
            self._put_soon = asyncio.get_running_loop().call_later(delay_s, self._put)

    def _put(self) -> None:
        """End the exchange with the open questions."""
        self._put_soon = None
        if not self._questions or self.outbox is None or self.outbox.is_gone:
            return
        state = self.park_again()
        if state is None:
            self._refuse_all("too many calls wait for their clients")
            return
        outbox, self.outbox = self.outbox, None
        outbox.offer(Reply(body=self._input_required(state).encode(), final=True))

    def _input_required(self, state: str) -> str:
        requests = ",".join(f"{json.dumps(key)}:{_bare(each.request)}" for key, each in self._questions.items())
        info = self.live.raw_server_info
        meta = "" if info is None else f',"_meta":{{"{META_SERVER_INFO}":{info}}}'
        result = (
            f'"resultType":"input_required","inputRequests":{{{requests}}},"requestState":{json.dumps(state)}{meta}'
        )
        return f'{{"jsonrpc":"2.0","id":{self._raw_id},"result":{{{result}}}}}'

    def _undeclared(self, request: Message) -> dict[str, object] | None:
        """The error with which a client refuses what it cannot be asked."""
        capability = _CAPABILITY_OF.get(request.method)
        if capability is None or capability not in self.capabilities:
            return {"code": METHOD_NOT_FOUND, "message": f"the client does not support {request.method}"}
        mode = str(request.params.get("mode", "form"))
        if capability == "elicitation" and not self._can_elicit(mode):
            return {"code": INVALID_PARAMS, "message": f"the client does not support elicitation of mode {mode}"}
        return None

    def _can_elicit(self, mode: str) -> bool:
        """An empty declaration means forms only."""
        declared = self.capabilities.get("elicitation")
        if not isinstance(declared, dict):
            return False
        return mode in declared or (mode == "form" and not declared)

    def _refuse_all(self, why: str) -> None:
        questions, self._questions = self._questions, {}
        for asked in (each for each in questions.values() if each.awaited):
            self._answer(asked.request, f'"error":{json.dumps({"code": -32603, "message": why})}')

    def _answer(self, request: Message, outcome: str) -> None:
        with suppress(CannotWrite):  # The server that asked is gone; the call is about to fail.
            self.live.connection.reply(request, outcome)

    def _stop_timer(self) -> None:
        if self._put_soon is not None:
            self._put_soon.cancel()
            self._put_soon = None


def pages_to_open(line: bytes) -> list[Message]:
    """The URL elicitations of an error -32042, as questions; empty for any other answer."""
    if b"-32042" not in line:
        return []
    try:
        error = read_message(decode_line(line)).members.get("error")
    except (MalformedJson, InvalidMessage):
        return []
    value = json_object(error.value if error is not None else None)
    if value.get("code") != LEGACY_URL_ELICITATION:
        return []
    wanted = json_array(json_object(value.get("data")).get("elicitations"))
    envelope: dict[str, object] = {"jsonrpc": "2.0", "id": 0, "method": "elicitation/create"}
    return [read_message(json.dumps({**envelope, "params": json_object(each)})) for each in wanted]


def raw_answers(message: Message) -> dict[str, tuple[str, object]]:
    """The JSON text and the value of each member of `params.inputResponses`; empty when there is no such object."""
    params, _ = read_meta(message)
    place = params.get("inputResponses")
    if place is None or not isinstance(place.value, dict):
        return {}
    answers, _ = object_members(message.text, place.start)
    return {key: (message.text[each.start : each.end], each.value) for key, each in answers.items()}


def _fits(capability: str, value: object) -> bool:
    return _ANSWER_MEMBERS[capability] in json_object(value)


def _bare(request: Message) -> str:
    """A question without id, as an input request; what only the legacy era knows is left out."""
    params = request.members.get("params")
    if params is None or not isinstance(params.value, dict):
        return json.dumps({"method": request.method})
    members, _ = object_members(request.text, params.start)
    kept = {key: each for key, each in members.items() if key not in {"elicitationId", "_meta", "task"}}
    raw = ",".join(f"{json.dumps(key)}:{request.text[each.start : each.end]}" for key, each in kept.items())
    return f'{{"method":{json.dumps(request.method)},"params":{{{raw}}}}}'
