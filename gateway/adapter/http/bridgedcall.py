"""A call of a legacy client on a modern server: its questions become requests to the client, its answers a retry.

Source: "Multi round-trip requests" of revision 2026-07-28, seen from the client's side: the state is brought back as
it was, every question is answered in one retry, and a state without questions means to try again soon.
"""

import asyncio
import json
from typing import Protocol

from gateway.adapter.child import CannotWrite
from gateway.adapter.http.calls import LegacyCall
from gateway.adapter.http.legacyshapes import legacy_question, to_legacy_answer
from gateway.adapter.http.outbox import Outbox
from gateway.adapter.http.session import Question
from gateway.protocol.errors import INTERNAL_ERROR, UPSTREAM_LOST, Refusal
from gateway.protocol.messages import InvalidMessage, Message, ResponseId, decode_line, read_message
from gateway.protocol.scan import MalformedJson, Member, json_object, object_members

_MAX_ROUNDS = 20
_TRY_AGAIN_S = 0.2


class BridgedOwner(Protocol):
    """The session of such a call."""

    def call_done(self, call: LegacyCall) -> None:
        """The client has its answer."""
        ...

    def send_call(self, call: "BridgedCall", extra: dict[str, str]) -> None:
        """Send the call, once more with what it was asked for. Raises CannotWrite."""
        ...

    def ask(self, question: Question, request: str, call: LegacyCall | None) -> None:
        """Ask the client."""
        ...


class BridgedCall(LegacyCall):
    """See the module."""

    def __init__(self, message: Message, outbox: Outbox, owner: BridgedOwner) -> None:
        super().__init__(message, outbox, owner.call_done)
        self.message = message
        self._owner = owner
        self._rounds = 0
        self._raw_state: str | None = None
        self._answers: dict[str, str | None] = {}

    def response(self, line: bytes, place: ResponseId) -> None:  # noqa: ARG002 - the whole answer is read
        try:
            message = read_message(decode_line(line))
        except (MalformedJson, InvalidMessage) as problem:
            self._fail(f"the server's answer is no JSON-RPC message: {problem}")
            return
        result = message.members.get("result")
        if result is not None and json_object(result.value).get("resultType") == "input_required":
            self._next_round(message, result)
        else:
            self.finish(to_legacy_answer(message, self.raw_id))

    def _next_round(self, message: Message, result: Member) -> None:
        self._rounds += 1
        members, _ = object_members(message.text, result.start)
        state = members.get("requestState")
        self._raw_state = None if state is None else message.text[state.start : state.end]
        questions = json_object(members["inputRequests"].value if "inputRequests" in members else None)
        if self._rounds > _MAX_ROUNDS:
            self._fail("the server asks again and again")
        elif not questions:
            asyncio.get_running_loop().call_later(_TRY_AGAIN_S, self._retry)
        else:
            self._ask_all(questions)

    def _ask_all(self, questions: dict[str, object]) -> None:
        self._answers = dict.fromkeys(questions)
        for key, question in questions.items():
            self._owner.ask(self._question(key), legacy_question(json_object(question)), self)

    def _question(self, key: str) -> Question:
        def answered(answer: Message) -> None:
            self._take(key, answer)

        def unheard() -> None:
            self._fail("the client does not listen")

        return Question(source_id=self, answered=answered, unheard=unheard)

    def _take(self, key: str, answer: Message) -> None:
        place = answer.members.get("result")
        if place is None:
            error = answer.members["error"]
            raw = answer.text[error.start : error.end]
            self.finish(f'{{"jsonrpc":"2.0","id":{self.raw_id},"error":{raw}}}'.encode())
            return
        self._answers[key] = answer.text[place.start : place.end]
        if all(each is not None for each in self._answers.values()):
            self._retry()

    def _retry(self) -> None:
        if self.is_done:
            return
        given = ",".join(f"{json.dumps(key)}:{raw}" for key, raw in self._answers.items())
        extra = {"inputResponses": f"{{{given}}}"} if given else {}
        if self._raw_state is not None:
            extra["requestState"] = self._raw_state
        self._answers = {}
        try:
            self._owner.send_call(self, extra)
        except CannotWrite as error:
            self.finish(Refusal(code=UPSTREAM_LOST, message=str(error)).body(self.raw_id))

    def _fail(self, why: str) -> None:
        self.finish(Refusal(code=INTERNAL_ERROR, message=why).body(self.raw_id))
