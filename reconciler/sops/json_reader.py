"""JSON text to typed nodes, with the numbers of SOPS 3.13.2: an integer that fits 64 bits is one, all else a float.

Reads by itself what Python's parser reads, because that one tells no positions, and every error about a value has to
name its line. Strings go through the library's scanner. Refused: a top that is no object, a key used twice, `NaN` and
`Infinity`, numbers beyond a 64 bit float, nesting and sizes beyond the limits.
"""

import json
import math
import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Final, NoReturn, cast

from reconciler.core.problems import Location
from reconciler.sops.errors import MalformedSops
from reconciler.sops.limits import MAXIMUM_DEPTH, MAXIMUM_KEY_CHARACTERS, MAXIMUM_NODES
from reconciler.sops.nodes import MappingNode, Node, Position, Scalar, SequenceNode, ValueType
from reconciler.sops.text_forms import INT64_MAXIMUM, INT64_MINIMUM, bool_text, float_text

# An int64 has at most 20 characters; longer literals are floats and never reach Python's slow integer parser.
_MAXIMUM_INTEGER_CHARACTERS: Final = 20
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_NUMBER: Final = re.compile(r"(-?(?:0|[1-9][0-9]*))((?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)")
_LINE_BREAK: Final = re.compile(r"\n")
_CONSTANTS: Final = {
    "true": (ValueType.BOOL, bool_text(value=True).encode()),
    "false": (ValueType.BOOL, bool_text(value=False).encode()),
    "null": (ValueType.NULL, b""),
}
_CONSTANT: Final = re.compile("|".join(_CONSTANTS))
# The scanner of the standard library, in C; its stubs leave it out.
_scan_string = cast("Callable[[str, int, bool], tuple[str, int]]", vars(json.decoder)["scanstring"])


def read_json(text: str, file: str) -> tuple[MappingNode, ...]:
    """The one document of `text`.

    Raises:
        MalformedSops: it is not JSON, not an object, or beyond a limit.
    """
    return (_Reader(text, file).document(),)


class _Reader:
    """Descends into the text; the depth limit keeps it off the end of the stack."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._offset = 0
        self._nodes = 0
        self._line_starts = (0, *(match.end() for match in _LINE_BREAK.finditer(text)))

    def document(self) -> MappingNode:
        if self._peek() in {"", "}"}:
            self._refuse_syntax()
        root = self._node(depth=1)
        if self._peek():
            self._refuse_syntax()
        if not isinstance(root, MappingNode):
            self._refuse("a SOPS document must be an object at its top", 0)
        return root

    def _peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        character = self._text[self._offset : self._offset + 1]
        if character not in " \t\r\n":  # The usual case, without the price of a search.
            return character
        match = _SPACE.match(self._text, self._offset)
        self._offset = self._offset if match is None else match.end()
        return self._text[self._offset : self._offset + 1]

    def _node(self, *, depth: int) -> Node:
        self._nodes += 1
        first = self._peek()
        if self._nodes > MAXIMUM_NODES:
            self._refuse(f"more than {MAXIMUM_NODES} values", self._offset)
        if depth > MAXIMUM_DEPTH:
            self._refuse(f"nested deeper than {MAXIMUM_DEPTH} levels", self._offset)
        match first:
            case "{":
                return self._object(depth)
            case "[":
                return self._array(depth)
            case '"':
                start = self._offset
                return self._scalar(ValueType.STR, self._string().encode(), start)
            case _:
                return self._number_or_constant()

    def _object(self, depth: int) -> MappingNode:
        start = self._offset
        entries: dict[str, Node] = {}
        starts: list[int] = []
        more = self._opens("}")
        while more:
            key_start = self._offset
            key = self._key(entries)
            starts.append(key_start)
            self._expect(":")
            entries[key] = self._node(depth=depth + 1)
            more = self._continues("}")
        size = 1 + sum(node.size for node in entries.values())
        return MappingNode(
            entries=tuple(entries.items()),
            position=self._position(start),
            size=size,
            key_starts=tuple(starts),
            in_flow=True,
        )

    def _array(self, depth: int) -> SequenceNode:
        start = self._offset
        items: list[Node] = []
        more = self._opens("]")
        while more:
            items.append(self._node(depth=depth + 1))
            more = self._continues("]")
        size = 1 + sum(item.size for item in items)
        return SequenceNode(items=tuple(items), position=self._position(start), size=size, in_flow=True)

    def _opens(self, closing: str) -> bool:
        """Steps over the bracket, and over its counterpart where nothing stands between them."""
        self._offset += 1
        if self._peek() != closing:
            return True
        self._offset += 1
        return False

    def _continues(self, closing: str) -> bool:
        """Steps over the comma or the closing bracket behind a value; whether another value follows."""
        character = self._peek()
        if character not in {",", closing} or not character:
            self._refuse_syntax()
        self._offset += 1
        if character == ",":
            self._peek()
        return character == ","

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            self._refuse_syntax()
        self._offset += 1

    def _key(self, known: dict[str, Node]) -> str:
        start = self._offset
        if self._text[start : start + 1] != '"':
            self._refuse_syntax()
        key = self._string()
        if key in known:
            self._refuse("the same key stands twice in one object", start)
        if len(key) > MAXIMUM_KEY_CHARACTERS:
            self._refuse(f"a key longer than {MAXIMUM_KEY_CHARACTERS} characters", start)
        return key

    def _string(self) -> str:
        try:
            text, self._offset = _scan_string(self._text, self._offset + 1, True)
        except json.JSONDecodeError as error:
            self._offset = error.pos
            self._refuse_syntax()
        return _without_surrogates(text)

    def _number_or_constant(self) -> Scalar:
        start = self._offset
        if (constant := _CONSTANT.match(self._text, start)) is not None:
            self._offset = constant.end()
            return self._scalar(*_CONSTANTS[constant[0]], start)
        number = _NUMBER.match(self._text, start)
        if number is None:
            if self._text.startswith(("NaN", "Infinity", "-Infinity"), start):
                self._refuse("NaN and Infinity are not JSON", start)
            self._refuse_syntax()
        self._offset = number.end()
        return self._number(number, start)

    def _number(self, number: re.Match[str], start: int) -> Scalar:
        literal = number[0]
        short = not number[2] and len(literal) <= _MAXIMUM_INTEGER_CHARACTERS
        if short and INT64_MINIMUM <= (integer := int(literal)) <= INT64_MAXIMUM:
            return self._scalar(ValueType.INT, str(integer).encode(), start)
        value = float(literal)
        if not math.isfinite(value):
            self._refuse("a number is beyond a 64 bit float", start)
        return self._scalar(ValueType.FLOAT, float_text(value).encode(), start)

    def _scalar(self, value_type: ValueType, content: bytes, start: int) -> Scalar:
        return Scalar(type=value_type, content=content, position=self._position(start), in_flow=True)

    def _position(self, start: int) -> Position:
        line = bisect_right(self._line_starts, start)
        return Position(
            line=line, column=start - self._line_starts[line - 1] + 1, start=start, end=max(start, self._offset)
        )

    def _refuse_syntax(self) -> NoReturn:
        self._refuse("this is not valid JSON", min(self._offset, len(self._text)))

    def _refuse(self, message: str, offset: int) -> NoReturn:
        place = self._position(offset)
        location = Location(file=self._file, line=place.line, column=place.column)
        # Chained to nothing: a parser's exception carries the whole text.
        raise MalformedSops("sops-malformed", message, location=location) from None


def _without_surrogates(text: str) -> str:
    """The text with lone surrogates replaced, as Go's JSON parser does."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
