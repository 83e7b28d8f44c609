"""JSON text to typed nodes, with the numbers of SOPS 3.13.2: an integer that fits 64 bits is one, all else a float.

Python's parser gives no positions, so that every node says 1:1. Refused: a top that is no object, a key used twice,
`NaN` and `Infinity`, numbers beyond a 64 bit float, nesting beyond the limit.
"""

import json
import math
from collections.abc import Iterable
from typing import Final, NoReturn, cast

from reconciler.core.problems import Location
from reconciler.sops.errors import MalformedSops
from reconciler.sops.limits import MAXIMUM_DEPTH, MAXIMUM_KEY_CHARACTERS, MAXIMUM_NODES
from reconciler.sops.nodes import MappingNode, Node, Scalar, SequenceNode, ValueType
from reconciler.sops.text_forms import INT64_MAXIMUM, INT64_MINIMUM, bool_text, float_text

# An int64 has at most 20 characters; longer literals are floats and never reach Python's slow integer parser.
_MAXIMUM_INTEGER_CHARACTERS: Final = 20


class _Object(tuple[tuple[str, object], ...]):
    """The members of an object in order, told apart from an array."""

    __slots__ = ()


class _TooDeepError(ValueError):
    pass


def read_json(text: str, file: str) -> tuple[MappingNode, ...]:
    """The one document of `text`.

    Raises:
        MalformedSops: it is not JSON, not an object, or beyond a limit.
    """
    try:
        root = _node(_decoded(text), depth=1)
    except json.JSONDecodeError as error:
        location = Location(file=file, line=error.lineno, column=error.colno)
        # Chained to nothing: the exception carries the whole text.
        raise MalformedSops("sops-malformed", "this is not valid JSON", location=location) from None
    except (ValueError, RecursionError) as error:
        detail = str(error) if isinstance(error, ValueError) else f"nested deeper than {MAXIMUM_DEPTH} levels"
        raise MalformedSops("sops-malformed", detail, location=Location(file=file)) from None
    if not isinstance(root, MappingNode) or root.size > MAXIMUM_NODES:
        message = f"a SOPS document must be an object at its top, with at most {MAXIMUM_NODES} values"
        raise MalformedSops("sops-malformed", message, location=Location(file=file))
    return (root,)


def _decoded(text: str) -> object:
    return json.loads(
        text, object_pairs_hook=_members, parse_int=_integer, parse_float=_float, parse_constant=_refuse_constant
    )


def _members(pairs: Iterable[tuple[str, object]]) -> _Object:
    members = _Object(pairs)
    if len({key for key, _ in members}) != len(members):
        raise ValueError("the same key stands twice in one object")
    if any(len(key) > MAXIMUM_KEY_CHARACTERS for key, _ in members):
        raise ValueError(f"a key longer than {MAXIMUM_KEY_CHARACTERS} characters")
    return members


def _integer(literal: str) -> Scalar:
    if len(literal) <= _MAXIMUM_INTEGER_CHARACTERS and INT64_MINIMUM <= int(literal) <= INT64_MAXIMUM:
        return Scalar(type=ValueType.INT, content=str(int(literal)).encode())
    return _float(literal)


def _float(literal: str) -> Scalar:
    value = float(literal)
    if not math.isfinite(value):
        raise ValueError("a number is beyond a 64 bit float")
    return Scalar(type=ValueType.FLOAT, content=float_text(value).encode())


def _refuse_constant(_literal: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _node(value: object, *, depth: int) -> Node:
    if depth > MAXIMUM_DEPTH:
        raise _TooDeepError(f"nested deeper than {MAXIMUM_DEPTH} levels")
    if isinstance(value, Scalar):
        return value
    if isinstance(value, _Object):
        entries = tuple((_text(key), _node(member, depth=depth + 1)) for key, member in value)
        return MappingNode(entries=entries, size=1 + sum(node.size for _, node in entries))
    if isinstance(value, list):
        items = tuple(_node(item, depth=depth + 1) for item in cast("list[object]", value))
        return SequenceNode(items=items, size=1 + sum(node.size for node in items))
    return _constant(value)


def _constant(value: object) -> Scalar:
    if isinstance(value, bool):
        return Scalar(type=ValueType.BOOL, content=bool_text(value=value).encode())
    if value is None:
        return Scalar(type=ValueType.NULL, content=b"")
    return Scalar(type=ValueType.STR, content=_text(str(value)).encode())


def _text(text: str) -> str:
    """The text with lone surrogates replaced, as Go's JSON parser does."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
