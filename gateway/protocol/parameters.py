"""Headers that repeat arguments of a tool call (`Mcp-Param-*`): which a tool wants, and whether they agree with the
body.

Source: "Custom headers from tool parameters" of the Streamable HTTP page, revision 2026-07-28. A tool whose schema uses
`x-mcp-header` against the rules wants none at all, because conforming clients drop it. Headers that no tool asked for
are not looked at.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from gateway.protocol.errors import HEADER_MISMATCH, Refusal
from gateway.protocol.headers import BadHeaderValue, decode_header_value, encode_header_value

PARAM_PREFIX = "mcp-param-"
_KEYWORD = "x-mcp-header"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DECIMAL = re.compile(r"-?[0-9]{1,400}(?:\.0+)?")
_TYPES = frozenset({"string", "integer", "boolean"})
_NAME_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterHeader:
    """One header that a tool wants: its lower-case name, the path of the argument, the type that the schema gives
    it.
    """

    header: str
    path: tuple[str, ...]
    is_integer: bool


class MisusedHeader(ValueError):
    """A schema uses `x-mcp-header` in a way that the specification forbids."""


def parameter_headers(schema: object) -> tuple[ParameterHeader, ...]:
    """The headers that the input schema of a tool asks for. Raises MisusedHeader."""
    found: list[ParameterHeader] = []
    annotated = sum(1 for _ in _annotations(schema))
    for path, node in _reachable(schema, ()):
        found.append(_header_of(node, path))
    if len(found) != annotated:
        raise MisusedHeader("x-mcp-header stands where properties alone do not lead")
    names = {each.header for each in found}
    if len(names) != len(found):
        raise MisusedHeader("two properties ask for one header")
    return tuple(found)


def _header_of(node: Mapping[str, object], path: tuple[str, ...]) -> ParameterHeader:
    name, kind = node[_KEYWORD], node.get("type")
    if not isinstance(name, str) or _TOKEN.fullmatch(name) is None:
        raise MisusedHeader(f"{name!r} is no header name")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise MisusedHeader(f"a property of type {kind!r} cannot be a header")
    return ParameterHeader(header=PARAM_PREFIX + name.lower(), path=path, is_integer=kind == "integer")


def _reachable(node: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, object]]]:
    """The annotated schemas that `properties` keys alone lead to."""
    if not isinstance(node, dict):
        return
    schema = cast(dict[str, object], node)
    if path and _KEYWORD in schema:
        yield path, schema
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for name, child in cast(dict[str, object], properties).items():
            yield from _reachable(child, (*path, name))


def _annotations(node: object) -> Iterator[object]:
    """Every use of the keyword in a schema, wherever it stands; the names of properties are no keywords."""
    if isinstance(node, list):
        for item in cast(list[object], node):
            yield from _annotations(item)
    if not isinstance(node, dict):
        return
    for key, value in cast(dict[str, object], node).items():
        if key == _KEYWORD:
            yield value
        elif key in _NAME_MAPS and isinstance(value, dict):
            yield from _annotations(list(cast(dict[str, object], value).values()))
        elif key not in {"default", "const", "enum", "examples"}:
            yield from _annotations(value)


def check_parameter_headers(
    wanted: Sequence[ParameterHeader], arguments: object, headers: Sequence[tuple[str, str]]
) -> Refusal | None:
    """Compare what a request says in its headers with its arguments; None means that they agree.

    `headers` are (lower-case name, value) pairs, duplicates included. An argument that is null counts as absent.
    """
    for each in wanted:
        values = [value for name, value in headers if name == each.header]
        complaint = _complaint(each, _value_at(arguments, each.path), values)
        if complaint is not None:
            return Refusal(code=HEADER_MISMATCH, message=f"the header {each.header} {complaint}")
    return None


def _complaint(wanted: ParameterHeader, argument: object, values: Sequence[str]) -> str | None:
    if len(values) > 1:
        return "stands more than once"
    rendered = render_parameter(argument)
    if rendered is None:
        return "is present, but its argument is not" if values else None
    if not values:
        return "is missing, but its argument is present"
    try:
        decoded = decode_header_value(values[0])
    except BadHeaderValue as error:
        return f"cannot be read: {error}"
    return None if _agree(wanted, argument, decoded, rendered) else "and its argument differ"


def _agree(wanted: ParameterHeader, argument: object, decoded: str, rendered: str) -> bool:
    if not wanted.is_integer or isinstance(argument, bool) or _DECIMAL.fullmatch(decoded) is None:
        return decoded == rendered
    whole = decoded.partition(".")[0]
    if isinstance(argument, float):
        return argument.is_integer() and int(whole) == int(argument)
    return isinstance(argument, int) and int(whole) == argument


def render_parameter(argument: object) -> str | None:
    """An argument as it stands in a header before encoding; None for what no header can carry."""
    if isinstance(argument, bool):
        return "true" if argument else "false"
    if isinstance(argument, str):
        return argument
    return str(argument) if isinstance(argument, int | float) else None


def write_parameter_headers(wanted: Sequence[ParameterHeader], arguments: object) -> list[tuple[str, str]]:
    """The headers of a call whose arguments are known, as (name, encoded value) pairs."""
    rendered = [(each.header, render_parameter(_value_at(arguments, each.path))) for each in wanted]
    return [(name, encode_header_value(value)) for name, value in rendered if value is not None]


def _value_at(arguments: object, path: Sequence[str]) -> object:
    value = arguments
    for key in path:
        value = cast(dict[str, object], value).get(key) if isinstance(value, dict) else None
    return value
