"""Tool policy: what is called is checked before anything is sent, and what is listed is only what may be called.

A denied tool is answered like one that the server does not have (-32602, "Unknown tool"). A body in which another
reader might find another call is refused, and an answer that should list tools and cannot be understood is not passed
on: where a policy decides, nothing unclear passes.
"""

import json
from collections.abc import Iterator
from typing import cast

from gateway.access import ToolPolicy
from gateway.calls import Call
from gateway.problems import Answer, ProblemKind, refusal
from gateway.protocol.errors import INVALID_PARAMS, Refusal
from gateway.protocol.messages import InvalidMessage, decode_line, read_message
from gateway.protocol.scan import MalformedJson, array_items, object_members, splice

CALL, LIST = "tools/call", "tools/list"
_DATA = "data:"


class UnreadableList(ValueError):
    """An answer to `tools/list` that is not one."""


def is_decided(policy: ToolPolicy | None, call: Call) -> bool:
    """Whether a call may pass as it is, and its answer too, without a closer look."""
    if policy is None:
        return True
    return call.is_clear and call.method != LIST and (call.method != CALL or policy.allows(call.name))


def check(policy: ToolPolicy | None, call: Call, body: bytes, *, is_modern: bool) -> Answer | None:
    """What to answer in the server's place; None lets the call pass.

    Raises:
        Refused: a policy is to be applied to a body that can be read in two ways (400).
    """
    if policy is None:
        return None
    if not call.is_clear:
        raise refusal(
            ProblemKind.AMBIGUOUS_REQUEST, "The body is no single message, or two readers would differ on it."
        )
    if call.method != CALL or policy.allows(call.name):
        return None
    return _unknown_tool(call.name, body, status=400 if is_modern else 200)


def filter_tools(policy: ToolPolicy, body: bytes, *, is_event_stream: bool) -> bytes:
    """An answer to `tools/list` without the tools that may not be called; the rest as it was.

    Raises:
        UnreadableList: the answer cannot be understood.
    """
    try:
        text = decode_line(body)
        return (_filter_events if is_event_stream else _filter_message)(policy, text).encode("utf-8")
    except (MalformedJson, InvalidMessage) as error:
        raise UnreadableList(str(error)) from error


def _filter_events(policy: ToolPolicy, text: str) -> str:
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(_filtered_lines(policy, lines))


def _filtered_lines(policy: ToolPolicy, lines: list[str]) -> Iterator[str]:
    for line in lines:
        data = line.removeprefix(_DATA).strip()
        is_message = line.startswith(_DATA) and data
        yield f"{_DATA} {_filter_message(policy, data)}" if is_message else line


def _filter_message(policy: ToolPolicy, text: str) -> str:
    message = read_message(text)
    result = message.members.get("result")
    if result is None:
        return text
    members, _ = object_members(text, result.start)
    tools = members.get("tools")
    values = tools.value if tools is not None else None
    if tools is None or not isinstance(values, list):
        raise UnreadableList("it names no tools")
    values = cast("list[object]", values)
    items = array_items(text[tools.start : tools.end])
    kept = [item for item, value in zip(items, values, strict=True) if policy.allows(_name(value))]
    return splice(text, {tools: "[" + ",".join(kept) + "]"})


def _name(tool: object) -> str:
    name = cast("dict[str, object]", tool).get("name") if isinstance(tool, dict) else None
    return name if isinstance(name, str) else ""


def _unknown_tool(name: str, body: bytes, *, status: int) -> Answer:
    refused = Refusal(code=INVALID_PARAMS, message=f"Unknown tool: {json.dumps(name)[1:-1]}")
    answer = refused.body(_raw_id(body))
    headers = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer)))
    return Answer(status=status, headers=headers, body=answer)


def _raw_id(body: bytes) -> str | None:
    try:
        return read_message(decode_line(body)).raw_id
    except (MalformedJson, InvalidMessage):
        return None
