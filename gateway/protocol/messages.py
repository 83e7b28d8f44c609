"""One JSON-RPC message: its kind, its id as it was written, and changed copies of it.

`read_message` judges a whole message strictly, for what clients send. `peek_response` finds the id of a response
without decoding the rest, for the large results that a server writes.
"""

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import cast

from gateway.protocol.scan import MalformedJson, Member, compose, object_members, splice, whole_object


class MessageKind(Enum):
    """What a JSON-RPC message is."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"


class InvalidMessage(ValueError):
    """Valid JSON that is not a JSON-RPC 2.0 message of MCP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A scanned message. `raw_id` is the JSON text of the id exactly as sent, None for a notification."""

    text: str
    kind: MessageKind
    members: dict[str, Member]
    raw_id: str | None
    method: str

    @property
    def params(self) -> dict[str, object]:
        """The decoded params, empty when there are none or when they are an array."""
        member = self.members.get("params")
        value = member.value if member else None
        return cast(dict[str, object], value) if isinstance(value, dict) else {}

    @property
    def meta(self) -> dict[str, object]:
        """The decoded `params._meta`, empty when absent."""
        value = self.params.get("_meta")
        return cast(dict[str, object], value) if isinstance(value, dict) else {}

    @property
    def id_value(self) -> object:
        """The decoded id, None when there is none."""
        member = self.members.get("id")
        return member.value if member else None

    @property
    def raw_progress_token(self) -> str | None:
        """The JSON text of `params._meta.progressToken`, None when the sender asked for no progress."""
        token = self.meta.get("progressToken")
        if isinstance(token, bool) or not isinstance(token, str | int):
            return None
        return json.dumps(token)

    def with_id(self, raw_id: str) -> str:
        """The message with another id, given as JSON text."""
        return splice(self.text, {self.members["id"]: raw_id})

    def with_params(self, raw_params: str) -> str:
        """The message with other params, given as JSON text; they are added where there were none."""
        if "params" in self.members:
            return splice(self.text, {self.members["params"]: raw_params})
        return compose(self.text, self.members, {"params": raw_params})


def _raw_id(text: str, members: dict[str, Member]) -> str | None:
    member = members.get("id")
    if member is None:
        return None
    if isinstance(member.value, bool) or not isinstance(member.value, str | int):
        raise InvalidMessage("an id is a string or an integer")
    return text[member.start : member.end]


def _method(members: dict[str, Member]) -> str:
    member = members.get("method")
    if member is None:
        return ""
    if not isinstance(member.value, str) or not member.value:
        raise InvalidMessage("a method is a non-empty string")
    return member.value


def _kind(members: dict[str, Member], *, has_id: bool, method: str) -> MessageKind:
    if method:
        return MessageKind.REQUEST if has_id else MessageKind.NOTIFICATION
    if has_id and ("result" in members) != ("error" in members):
        return MessageKind.RESPONSE
    raise InvalidMessage("neither a request, a notification nor a response")


def read_message(text: str) -> Message:
    """Scan and judge one message. Raises MalformedJson or InvalidMessage."""
    members = whole_object(text)
    version = members.get("jsonrpc")
    if version is None or version.value != "2.0":
        raise InvalidMessage('"jsonrpc" must be "2.0"')
    if "params" in members and not isinstance(members["params"].value, dict):
        raise InvalidMessage("params must be an object")
    raw_id, method = _raw_id(text, members), _method(members)
    kind = _kind(members, has_id=raw_id is not None, method=method)
    return Message(text=text, kind=kind, members=members, raw_id=raw_id, method=method)


def read_meta(message: Message) -> tuple[dict[str, Member], dict[str, Member]]:
    """Scan the params and the `_meta` of a message: two maps whose places refer to `message.text`."""
    place = message.members.get("params")
    if place is None:
        return {}, {}
    params, _ = object_members(message.text, place.start)
    meta_place = params.get("_meta")
    if meta_place is None or not isinstance(meta_place.value, dict):
        return params, {}
    meta, _ = object_members(message.text, meta_place.start)
    return params, meta


_VERSION = rb'"jsonrpc"\s*:\s*"2\.0"'
_ID = rb'"id"\s*:\s*(-?\d{1,40})(?!\d)'
_COMMA = rb"\s*,\s*"
_HEAD = re.compile(
    rb"\s*\{\s*(?:"
    + _VERSION
    + _COMMA
    + rb")?"
    + _ID
    + _COMMA
    + rb"(?:"
    + _VERSION
    + _COMMA
    + rb')?"(?:result|error)"\s*:'
)
_TAIL = re.compile(rb"[,{]\s*(?:" + _ID + _COMMA + _VERSION + rb"|" + _VERSION + _COMMA + _ID + rb")\s*\}\s*$")
_RESULT_FIRST = re.compile(rb'\s*\{\s*"(?:result|error)"\s*:')


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseId:
    """Where the integer id of a response stands in its bytes."""

    value: int
    start: int
    end: int


def peek_response(line: bytes) -> ResponseId | None:
    """Find the id of a response whose layout is one of the two that MCP SDKs write; None when the layout is another.

    The head is matched from the first brace, the tail up to the last one, where a scalar member can only belong to the
    outermost object; so the id found is a top-level member. A message with two ids is the server's own fault and harms
    only itself.
    """
    head = _HEAD.match(line)
    if head is not None:
        return ResponseId(value=int(head[1]), start=head.start(1), end=head.end(1))
    if _RESULT_FIRST.match(line) is None:
        return None
    tail = _TAIL.search(line, max(0, len(line) - 120))
    if tail is None:
        return None
    group = 1 if tail[1] is not None else 2
    return ResponseId(value=int(tail[group]), start=tail.start(group), end=tail.end(group))


def decode_line(data: bytes) -> str:
    """Decode a message from UTF-8. Raises MalformedJson."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedJson("not UTF-8") from error
