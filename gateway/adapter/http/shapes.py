"""Give the results and errors of a legacy server the shape that a modern client expects.

Source: the results, caching and error pages of revision 2026-07-28. Members are added around the server's own text,
which stays as it was.
"""

import json
from collections.abc import Mapping
from typing import cast

from gateway.adapter.http.outbox import Reply
from gateway.protocol.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    LEGACY_RESOURCE_NOT_FOUND,
    LEGACY_URL_ELICITATION,
    MISSING_CLIENT_CAPABILITY,
    Refusal,
    modern_status,
)
from gateway.protocol.messages import Message, read_meta
from gateway.protocol.revisions import (
    META_SERVER_INFO,
    MODERN_REQUEST_META,
    MODERN_REVISIONS,
    PROGRESS_KEY,
)
from gateway.protocol.scan import Member, compose, json_array, json_object, object_members

_CACHEABLE = frozenset(
    {"server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"}
)
_RETRY_MEMBERS = frozenset({"inputResponses", "requestState"})
_UNSERVED_CAPABILITIES = frozenset({"tasks"})


def to_legacy_request(message: Message, own_id: int) -> str:
    """A modern request for a legacy server: own id and token, without the `_meta` keys that it does not know."""
    params, meta = read_meta(message)
    kept = {key: place for key, place in meta.items() if key not in MODERN_REQUEST_META and key != PROGRESS_KEY}
    token = {PROGRESS_KEY: str(own_id)} if message.raw_progress_token is not None else {}
    plain = {key: place for key, place in params.items() if key != "_meta" and key not in _RETRY_MEMBERS}
    extra = {"_meta": compose(message.text, kept, token)} if kept or token else {}
    raw_params = compose(message.text, plain, extra)
    return f'{{"jsonrpc":"2.0","id":{own_id},"method":{json.dumps(message.method)},"params":{raw_params}}}'


def to_modern_reply(message: Message, method: str, raw_id: str, server_info: str | None) -> Reply:
    """The answer of a legacy server as a modern one; `server_info` is the JSON text of its serverInfo."""
    if "error" in message.members:
        return _modern_error(message, raw_id)
    place = message.members["result"]
    if not isinstance(place.value, dict):
        return _reply(Refusal(code=INTERNAL_ERROR, message="the server's result is no object"), raw_id)
    result, _ = object_members(message.text, place.start)
    text = message.text
    if method == "tools/list" and '"taskSupport"' in text:
        text = _without_tasks(message.members["result"].value)
        result, _ = object_members(text)
    raw_result = compose_result(text, result, method=method, server_info=server_info)
    return Reply(body=f'{{"jsonrpc":"2.0","id":{raw_id},"result":{raw_result}}}'.encode(), final=True)


def _without_tasks(listed: object) -> str:
    """A list of tools without the tasks of revision 2025-11-25: a tool that runs only as one cannot be called."""
    value = json_object(listed)
    kept: list[dict[str, object]] = []
    for tool in map(json_object, json_array(value.get("tools"))):
        execution = json_object(tool.get("execution"))
        if execution.get("taskSupport") != "required":
            rest = {key: each for key, each in execution.items() if key != "taskSupport"}
            plain = {key: each for key, each in tool.items() if key != "execution"}
            kept.append({**plain, "execution": rest} if rest else plain)
    return json.dumps({**value, "tools": kept}, ensure_ascii=False)


def compose_result(text: str, result: Mapping[str, Member], *, method: str, server_info: str | None) -> str:
    """A result with what every modern one carries; what the server set itself stays."""
    extra: dict[str, str] = {}
    if "resultType" not in result:
        extra["resultType"] = '"complete"'
    if method in _CACHEABLE:
        extra |= {key: value for key, value in (("ttlMs", "0"), ("cacheScope", '"private"')) if key not in result}
    kept = dict(result)
    if server_info is not None:
        place = kept.pop("_meta", None)
        extra["_meta"] = _meta_with(text, place, server_info)
    return compose(text, kept, extra)


def discover_result(handshake_text: str, result: Mapping[str, Member], capabilities: Mapping[str, object]) -> str:
    """What `server/discover` says about a server that was initialised the legacy way."""
    discovered: dict[str, object] = {
        "resultType": "complete",
        "supportedVersions": list(MODERN_REVISIONS),
        "capabilities": _served(capabilities),
        "ttlMs": 0,
        "cacheScope": "private",
    }
    for key in ("instructions",):
        if key in result:
            discovered[key] = result[key].value
    if "serverInfo" in result:
        discovered["_meta"] = {META_SERVER_INFO: json.loads(_raw(handshake_text, result["serverInfo"]))}
    return json.dumps(discovered, ensure_ascii=False)


def _served(capabilities: Mapping[str, object]) -> dict[str, object]:
    """Everything but the tasks of revision 2025-11-25, which the extension of the same name replaced."""
    return {name: value for name, value in capabilities.items() if name not in _UNSERVED_CAPABILITIES}


def _modern_error(message: Message, raw_id: str) -> Reply:
    value = message.members["error"].value
    error = cast(dict[str, object], value) if isinstance(value, dict) else {}
    code = error.get("code")
    if code == LEGACY_RESOURCE_NOT_FOUND:
        return _reply(Refusal(code=INVALID_PARAMS, message=str(error.get("message")), data=error.get("data")), raw_id)
    if code == LEGACY_URL_ELICITATION:
        data: dict[str, object] = {"requiredCapabilities": {"elicitation": {"url": {}}}}
        return _reply(Refusal(code=MISSING_CLIENT_CAPABILITY, message=str(error.get("message")), data=data), raw_id)
    status = modern_status(code) if isinstance(code, int) else 200
    return Reply(body=message.with_id(raw_id).encode(), final=True, status=status)


def _reply(refusal: Refusal, raw_id: str) -> Reply:
    return Reply(body=refusal.body(raw_id), final=True, status=refusal.status)


def _meta_with(text: str, place: Member | None, server_info: str) -> str:
    if place is None or not isinstance(place.value, dict):
        return f'{{"{META_SERVER_INFO}":{server_info}}}'
    meta, _ = object_members(text, place.start)
    return compose(text, meta, {} if META_SERVER_INFO in meta else {META_SERVER_INFO: server_info})


def _raw(text: str, member: Member) -> str:
    return text[member.start : member.end]
