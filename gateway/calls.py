"""What a request body asks for: the method, and the tool, prompt or resource that it names.

One full parse with the standard library's scanner, whose answer serves the tool policy, the metrics, the audit line and
the memory of reads. The body itself goes upstream untouched, so another reader reads it too. A reader that takes keys
without regard to case, or the first of two equal ones, could find another method or name in it than this one; whether
that is possible is part of the answer (`is_clear`), and a policy refuses what is not clear.
"""

import json
from typing import NamedTuple, NoReturn, cast

from gateway.protocol.affinity import machine_of_state

_TOP_KEYS = frozenset({"method", "params"})
_PARAMS_KEYS = frozenset({"name", "uri"})
_USUAL_KEYS = frozenset({"jsonrpc", "id", "method", "params", "name", "uri", "arguments", "_meta", "cursor", "result"})
_NAMED_BY_URI = frozenset({"resources/read", "resources/subscribe", "resources/unsubscribe"})

_Pairs = tuple[tuple[str, object], ...]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=tuple)
_STRICT_DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_constant=_refuse_constant)


class Call(NamedTuple):
    """One JSON-RPC message, as far as anybody but the server cares. A tuple, because every call makes one."""

    method: str = ""
    """Empty for a response, and for what could not be read."""
    name: str = ""
    """`params.name` or `params.uri`; empty where there is none."""
    is_clear: bool = False
    """Whether every reader of JSON finds this method and this name."""
    machine: str = ""
    """The machine in which the call goes on that this one answers; empty where it is a new one."""


UNREAD = Call()
"""Nothing is known: no JSON, a batch, or a body that was not read."""
NO_BODY = Call(is_clear=True)


class Members(NamedTuple):
    """A message and what it is made of. Objects below the params are tuples of pairs, as they stand in the text."""

    call: Call
    top: dict[str, object]
    params: dict[str, object]


def read_call(body: bytes) -> Call:
    """The call in a body; `UNREAD` where it is not one JSON object. Never raises."""
    try:
        message = _parse(body.decode("utf-8"), _DECODER)
    except (ValueError, RecursionError):
        return UNREAD
    return _members(cast("_Pairs", message)).call if isinstance(message, tuple) else UNREAD


def read_members(body: bytes) -> Members | None:
    """The call in a body and its members; None where it is not one JSON object, or has params of another kind."""
    try:
        message = _parse(body.decode("utf-8"), _STRICT_DECODER)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, tuple):
        return None
    members = _members(cast("_Pairs", message))
    return members if isinstance(members.top.get("params", ()), tuple) else None


def pairs_of(value: object) -> dict[str, object] | None:
    """The members of an object below the params; None for any other value."""
    return dict(cast("_Pairs", value)) if isinstance(value, tuple) else None


def _members(pairs: _Pairs) -> Members:
    # Of equal keys the last one counts, as most readers have it.
    top = dict(pairs)
    method, params = top.get("method"), top.get("params")
    method = method if isinstance(method, str) else ""
    inner_pairs = cast("_Pairs", params) if isinstance(params, tuple) else ()
    inner = dict(inner_pairs)
    name = inner.get("uri" if method in _NAMED_BY_URI else "name")
    clear = _is_clear(pairs, top, _TOP_KEYS) and _is_clear(inner_pairs, inner, _PARAMS_KEYS)
    state = inner.get("requestState")
    machine = machine_of_state(state) if isinstance(state, str) else None
    call = Call(method, name if isinstance(name, str) else "", clear, machine or "")
    return Members(call, top, inner)


def _parse(text: str, decoder: json.JSONDecoder) -> object:
    """The standard library looks for white space around a text twice; nearly no client sends any."""
    if not text.startswith("{"):
        return decoder.decode(text)
    message, end = decoder.raw_decode(text)
    return message if end == len(text) else decoder.decode(text)


def _is_clear(pairs: _Pairs, last: dict[str, object], keys: frozenset[str]) -> bool:
    if len(last) == len(pairs) and _USUAL_KEYS.issuperset(last):
        return True
    seen: set[str] = set()
    for name, _ in pairs:
        folded = name.casefold()
        if folded in keys:
            if folded != name or folded in seen:
                return False
            seen.add(folded)
    return True
