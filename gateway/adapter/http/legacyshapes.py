"""Give the requests of a legacy client and the results of a modern server the shape that the other side expects.

Source: the base, tools and elicitation pages of the revisions 2025-11-25 and 2026-07-28.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.protocol.messages import Message, read_meta
from gateway.protocol.revisions import (
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    META_SERVER_INFO,
    META_VERSION,
    NEWEST_LEGACY,
    NEWEST_MODERN,
    PROGRESS_KEY,
    negotiate,
)
from gateway.protocol.scan import Member, compose, json_array, json_object, object_members

_MODERN_MEMBERS = frozenset({"resultType", "ttlMs", "cacheScope", "inputRequests", "requestState"})
_UNKNOWN_SERVER: dict[str, object] = {"name": "unknown", "version": ""}
_DEFAULT_LEVEL = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFacts:
    """What a legacy client said once, in `initialize`, and a modern server is told with every request."""

    capabilities: Mapping[str, object]
    info: Mapping[str, object]
    requested_revision: object

    def meta(self, log_level: str | None) -> dict[str, object]:
        """The reserved members of `_meta`."""
        meta: dict[str, object] = {META_VERSION: NEWEST_MODERN, META_CLIENT_CAPABILITIES: dict(self.capabilities)}
        if self.info:
            meta[META_CLIENT_INFO] = dict(self.info)
        return {**meta, META_LOG_LEVEL: log_level or _DEFAULT_LEVEL}


def facts_of(message: Message) -> ClientFacts:
    """Read an `initialize`: tasks and changes of roots do not exist for a modern server in this form."""
    capabilities = dict(json_object(message.params.get("capabilities")))
    capabilities.pop("tasks", None)
    if "roots" in capabilities:
        roots = json_object(capabilities["roots"])
        capabilities["roots"] = {key: value for key, value in roots.items() if key != "listChanged"}
    return ClientFacts(
        capabilities=capabilities,
        info=json_object(message.params.get("clientInfo")),
        requested_revision=message.params.get("protocolVersion"),
    )


def welcome_result(discovered: Mapping[str, object], facts: ClientFacts) -> dict[str, object]:
    """The result of `initialize` on a server that was discovered."""
    served = dict(json_object(discovered.get("capabilities")))
    served.pop("extensions", None)
    served.setdefault("logging", {})
    info = json_object(json_object(discovered.get("_meta")).get(META_SERVER_INFO))
    result: dict[str, object] = {
        "protocolVersion": negotiate(requested=facts.requested_revision, offered=NEWEST_LEGACY),
        "capabilities": served,
        "serverInfo": info or _UNKNOWN_SERVER,
    }
    instructions = discovered.get("instructions")
    return {**result, "instructions": instructions} if isinstance(instructions, str) else result


def to_modern_request(message: Message, own_id: int, meta: Mapping[str, object], extra: Mapping[str, str]) -> str:
    """A legacy request for a modern server; `extra` are members of the params as JSON text."""
    params, given = read_meta(message)
    kept = {key: place for key, place in given.items() if key != PROGRESS_KEY and key not in meta}
    added = {key: json.dumps(value, ensure_ascii=False) for key, value in meta.items()}
    if message.raw_progress_token is not None:
        added[PROGRESS_KEY] = str(own_id)
    raw_meta = compose(message.text, kept, added)
    plain = {key: place for key, place in params.items() if key != "_meta" and key not in extra and key != "task"}
    raw_params = compose(message.text, plain, {**extra, "_meta": raw_meta})
    return f'{{"jsonrpc":"2.0","id":{own_id},"method":{json.dumps(message.method)},"params":{raw_params}}}'


def to_legacy_answer(message: Message, raw_id: str) -> bytes:
    """The answer of a modern server for a legacy client."""
    place = message.members.get("result")
    if place is None or not isinstance(place.value, dict):
        return message.with_id(raw_id).encode()
    result, _ = object_members(message.text, place.start)
    kept = {key: member for key, member in result.items() if _is_legacy(key, member)}
    extra = {**_own_meta(message.text, kept), **_plain_tools(kept)}
    raw = compose(message.text, {key: member for key, member in kept.items() if key not in extra}, extra)
    return f'{{"jsonrpc":"2.0","id":{raw_id},"result":{raw}}}'.encode()


def _is_legacy(key: str, member: Member) -> bool:
    if key == "structuredContent":
        return isinstance(member.value, dict)
    return key not in _MODERN_MEMBERS


def _own_meta(text: str, result: Mapping[str, Member]) -> dict[str, str]:
    """The `_meta` of a result without the name of the server, which a legacy client knows from the handshake."""
    place = result.get("_meta")
    if place is None or META_SERVER_INFO not in json_object(place.value):
        return {}
    meta, _ = object_members(text, place.start)
    return {"_meta": compose(text, {key: each for key, each in meta.items() if key != META_SERVER_INFO}, {})}


def _plain_tools(result: Mapping[str, Member]) -> dict[str, str]:
    """The tools without output schemas that a legacy client cannot read: theirs describe objects."""
    place = result.get("tools")
    tools = [json_object(tool) for tool in json_array(place.value if place is not None else None)]
    if all(_describes_an_object(tool) for tool in tools):
        return {}
    plain = [
        tool if _describes_an_object(tool) else {k: v for k, v in tool.items() if k != "outputSchema"} for tool in tools
    ]
    return {"tools": json.dumps(plain, ensure_ascii=False)}


def _describes_an_object(tool: Mapping[str, object]) -> bool:
    schema = tool.get("outputSchema")
    return schema is None or json_object(schema).get("type") == "object"


def legacy_question(question: Mapping[str, object]) -> str:
    """An input request as the rest of a legacy request after its id; a page to open gets the id that the era wants."""
    given = dict(json_object(question.get("params")))
    if question.get("method") == "elicitation/create" and given.get("mode") == "url":
        given.setdefault("elicitationId", secrets.token_hex(8))
    return f'"method":{json.dumps(question.get("method"))},"params":{json.dumps(given, ensure_ascii=False)}}}'
