"""Messages of a server on their way to the client of an aggregate, and answers on their way back. Pure.

Two servers may use the same id for what they ask of their client, so an id gets its server's name in front:
`time/3`, `notes/"a"`. The client's answer brings it back, and any replica knows where it belongs. The state of a modern
call that waits for answers is sealed together with its server, so that no other server ever gets it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.aggregate.seals import BadToken, Purpose, Seals
from gateway.protocol.messages import InvalidMessage, Message, MessageKind, read_message
from gateway.protocol.scan import MalformedJson, json_array, json_object, object_members, splice

CANCELLED = "notifications/cancelled"
UPDATED = "notifications/resources/updated"
LIST_CHANGED = (
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
)
_MARK = "/"
ExposeUri = Callable[[str, str], str]


def asked_id(server: str, raw_id: str) -> str:
    """The id, as JSON text, under which the client is asked what that server asks."""
    return json.dumps(server + _MARK + raw_id)


def asker(answer: Message, servers: Sequence[str]) -> tuple[str, str] | None:
    """The server that asked what this answers, and the answer as it expects it; None where nobody did."""
    value = answer.id_value
    if not isinstance(value, str):
        return None
    server, mark, raw_id = value.partition(_MARK)
    if not mark or server not in servers or not _is_id(raw_id):
        return None
    return server, answer.with_id(raw_id)


def _is_id(raw_id: str) -> bool:
    try:
        value: object = json.loads(raw_id)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, str | int) and not isinstance(value, bool)


def from_legacy_server(server: str, text: str, expose: ExposeUri) -> str:
    """A message of a server's stream as the client gets it; what is no message passes as it is."""
    if '"method"' not in text:
        return text
    try:
        message = read_message(text)
        if message.kind is MessageKind.REQUEST and message.raw_id is not None:
            return message.with_id(asked_id(server, message.raw_id))
        return _notice(server, message, expose)
    except (MalformedJson, InvalidMessage):
        return text


def _notice(server: str, message: Message, expose: ExposeUri) -> str:
    if message.method == UPDATED:
        return _with_param(message, "uri", lambda raw: json.dumps(expose(server, json.loads(raw))))
    if message.method == CANCELLED:
        return _with_param(message, "requestId", lambda raw: asked_id(server, raw))
    return message.text


def _with_param(message: Message, name: str, change: Callable[[str], str]) -> str:
    place = message.members.get("params")
    if place is None:
        return message.text
    params, _ = object_members(message.text, place.start)
    member = params.get(name)
    if member is None or not isinstance(member.value, str | int):
        return message.text
    return splice(message.text, {member: change(message.text[member.start : member.end])})


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """Wraps and unwraps the `requestState` of one caller's calls."""

    seals: Seals
    principal: str

    def wrapped(self, server: str, text: str) -> str:
        """A response with its state sealed; unchanged where it has none."""
        if '"requestState"' not in text:
            return text
        try:
            message = read_message(text)
            result = message.members.get("result")
            if result is None or json_object(result.value).get("resultType") != "input_required":
                return text
            members, _ = object_members(text, result.start)
        except (MalformedJson, InvalidMessage):
            return text
        state = members.get("requestState")
        if state is None or not isinstance(state.value, str):
            return text
        return splice(text, {state: json.dumps(self.seals.seal(Purpose.STATE, self.principal, (server, state.value)))})

    def unwrapped(self, state: str) -> tuple[str, str]:
        """The server and the state that it gave. Raises BadToken."""
        values = self.seals.open(Purpose.STATE, self.principal, state)
        if len(values) != 2:
            raise BadToken
        return values[0], values[1]


def with_exposed_contents(server: str, text: str, expose: ExposeUri) -> str:
    """The answer to a read, with the URIs of its contents as the client knows them."""
    try:
        message = read_message(text)
        result = message.members.get("result")
        if result is None or '"contents"' not in text:
            return text
        members, _ = object_members(text, result.start)
        contents = members["contents"]
        values = [_with_exposed_uri(server, json_object(each), expose) for each in json_array(contents.value)]
    except (MalformedJson, InvalidMessage, KeyError):
        return text
    return splice(text, {contents: json.dumps(values, separators=(",", ":"))})


def _with_exposed_uri(server: str, content: dict[str, object], expose: ExposeUri) -> dict[str, object]:
    uri = content.get("uri")
    return {**content, "uri": expose(server, uri)} if isinstance(uri, str) else content
