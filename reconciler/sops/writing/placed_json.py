"""JSON text to placed nodes.

Works on a text that the room's reader has accepted already, so that it needs no limits and no errors of its own.
Strings go through the library's scanner.
"""

import re
from json import JSONDecoder
from typing import Final

from reconciler.sops.nodes import ValueType
from reconciler.sops.writing.placed import (
    PlacedDocument,
    PlacedEntry,
    PlacedMapping,
    PlacedNode,
    PlacedScalar,
    PlacedSequence,
    Style,
)

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_LITERAL: Final = re.compile(r"[^\s,\]}]+")
_DECODER: Final = JSONDecoder()
_TYPES: Final = {"null": ValueType.NULL, "true": ValueType.BOOL, "false": ValueType.BOOL}


def place_json(text: str) -> tuple[PlacedDocument, ...]:
    """The one document of a text that `read_json` accepts."""
    root = _Scanner(text).node()
    return (PlacedDocument(root=root, end=root.end),)


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._offset = 0

    def node(self) -> PlacedNode:
        self._skip_space()
        match self._text[self._offset]:
            case "{":
                return self._object()
            case "[":
                return self._array()
            case '"':
                return self._string()
            case _:
                return self._literal()

    def _skip_space(self) -> str:
        match = _SPACE.match(self._text, self._offset)
        assert match is not None
        self._offset = match.end()
        return self._text[self._offset]

    def _object(self) -> PlacedMapping:
        start = self._offset
        entries: list[PlacedEntry] = []
        self._offset += 1
        while self._skip_space() != "}":
            entries.append(self._entry())
            self._skip_comma()
        self._offset += 1
        return PlacedMapping(start=start, end=self._offset, entries=tuple(entries), in_flow=True)

    def _entry(self) -> PlacedEntry:
        start = self._offset
        key = self._string()
        self._skip_space()
        self._offset += 1  # The colon.
        return PlacedEntry(key=key.content.decode("utf-8"), start=start, value=self.node())

    def _array(self) -> PlacedSequence:
        start = self._offset
        items: list[PlacedNode] = []
        self._offset += 1
        while self._skip_space() != "]":
            items.append(self.node())
            self._skip_comma()
        self._offset += 1
        return PlacedSequence(start=start, end=self._offset, items=tuple(items), in_flow=True)

    def _skip_comma(self) -> None:
        if self._skip_space() == ",":
            self._offset += 1

    def _string(self) -> PlacedScalar:
        start = self._offset
        decoded, self._offset = _DECODER.raw_decode(self._text, start)
        content = str(decoded).encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode("utf-8")
        return self._scalar(start, ValueType.STR, content, Style.DOUBLE)

    def _literal(self) -> PlacedScalar:
        start = self._offset
        match = _LITERAL.match(self._text, start)
        assert match is not None
        self._offset = match.end()
        # The type of a number is the reader's business: its text is all that the editor needs.
        is_float = any(mark in match[0] for mark in ".eE")
        value_type = _TYPES.get(match[0], ValueType.FLOAT if is_float else ValueType.INT)
        return self._scalar(start, value_type, match[0].encode("ascii"), Style.PLAIN)

    def _scalar(self, start: int, value_type: ValueType, content: bytes, style: Style) -> PlacedScalar:
        return PlacedScalar(start=start, end=self._offset, type=value_type, content=content, style=style, in_flow=True)
