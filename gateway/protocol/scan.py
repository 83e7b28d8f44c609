"""Where the members of a JSON object stand in its text, so that a message can be changed without being re-encoded.

Re-encoding would alter numbers (1.10, 1e400) and the order of keys of data that is not ours. The standard library's
scanner finds the end of each value at C speed; only the members that are replaced are touched. Refused: anything that
is not one JSON object, trailing text, NaN and Infinity, nesting beyond the interpreter's limit.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn, cast

_WHITESPACE = re.compile(r"[ \t\n\r]*")
_PLAIN_KEY = re.compile(r'"([^"\\\x00-\x1f]*)"[ \t\n\r]*:[ \t\n\r]*')
"""A key without escapes up to its value. Whatever else stands there is for `_key` to read, or to refuse."""
_AFTER_VALUE = re.compile(r"[ \t\n\r]*(?:(\})|,[ \t\n\r]*)")


class MalformedJson(ValueError):
    """The text is not one valid JSON value of the expected kind."""


@dataclass(slots=True, kw_only=True, eq=False)
class Member:
    """One member of an object: the decoded value and where its text starts and ends in the scanned text.

    Two members are the same only when they stand at the same place, so comparison is by identity. Nobody changes one;
    it is not frozen because that takes three times as long to make, and every message has a handful.
    """

    value: object
    start: int
    end: int


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedJson(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _skip(text: str, index: int) -> int:
    match = _WHITESPACE.match(text, index)
    return match.end() if match else index


def _value(text: str, index: int) -> tuple[object, int]:
    try:
        value, end = _DECODER.raw_decode(text, index)
    except RecursionError as deep:
        raise MalformedJson("the nesting is too deep") from deep
    except ValueError as error:
        raise MalformedJson(str(error)) from error
    return value, end


def _key(text: str, index: int) -> tuple[str, int]:
    plain = _PLAIN_KEY.match(text, index)
    if plain is not None:
        return plain[1], plain.end()
    if text[index : index + 1] != '"':
        raise MalformedJson(f"a key is expected at character {index}")
    key, end = _value(text, index)
    colon = _skip(text, end)
    if text[colon : colon + 1] != ":":
        raise MalformedJson(f"a colon is expected at character {colon}")
    return str(key), _skip(text, colon + 1)


def object_members(text: str, start: int = 0) -> tuple[dict[str, Member], int]:
    """Scan the object that begins at `start`; return its members and the index after its closing brace.

    Of a key that stands twice the last one counts, as in `json.loads`. Raises MalformedJson.
    """
    index = _skip(text, start)
    if text[index : index + 1] != "{":
        raise MalformedJson("an object is expected")
    members: dict[str, Member] = {}
    index = _skip(text, index + 1)
    if text[index : index + 1] == "}":
        return members, index + 1
    while True:
        key, at = _key(text, index)
        value, end = _value(text, at)
        members[key] = Member(value=value, start=at, end=end)
        after = _AFTER_VALUE.match(text, end)
        if after is None:
            raise MalformedJson(f"a comma or a closing brace is expected at character {_skip(text, end)}")
        index = after.end()
        if after[1]:
            return members, index


def whole_object(text: str) -> dict[str, Member]:
    """Scan a text that is one object and nothing else. Raises MalformedJson."""
    members, end = object_members(text)
    if _skip(text, end) != len(text):
        raise MalformedJson(f"unexpected text at character {end}")
    return members


def array_items(text: str) -> list[str]:
    """The texts of the items of a text that is one array and nothing else. Raises MalformedJson."""
    index = _skip(text, _skip(text, 0) + 1)
    items: list[str] = []
    while text[index : index + 1] != "]":
        if items:
            index = _expect_comma(text, index)
        _, end = _value(text, index)
        items.append(text[index:end])
        index = _skip(text, end)
    if _skip(text, index + 1) != len(text):
        raise MalformedJson(f"unexpected text at character {index + 1}")
    return items


def _expect_comma(text: str, index: int) -> int:
    if text[index : index + 1] != ",":
        raise MalformedJson(f"a comma is expected at character {index}")
    return _skip(text, index + 1)


def splice(text: str, replacements: Mapping[Member, str]) -> str:
    """Replace the text of some members, each given as JSON text, and leave every other character as it was."""
    pieces: list[str] = []
    last = 0
    for member in sorted(replacements, key=lambda each: each.start):
        pieces += [text[last : member.start], replacements[member]]
        last = member.end
    pieces.append(text[last:])
    return "".join(pieces)


def compose(text: str, members: Mapping[str, Member], extra: Mapping[str, str]) -> str:
    """Write an object anew from the raw text of scanned members, followed by `extra` members given as JSON text."""
    parts = [f"{json.dumps(key)}:{text[each.start : each.end]}" for key, each in members.items()]
    parts += [f"{json.dumps(key)}:{value}" for key, value in extra.items()]
    return "{" + ",".join(parts) + "}"


def json_object(value: object) -> dict[str, object]:
    """A decoded value where an object is expected: any other value counts as an empty one."""
    return cast(dict[str, object], value) if isinstance(value, dict) else {}


def json_array(value: object) -> list[object]:
    """The same for an array."""
    return cast(list[object], value) if isinstance(value, list) else []
