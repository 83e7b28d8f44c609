"""Text as a double-quoted YAML scalar, which no reader takes for anything but text."""

from typing import Final

_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def double_quoted(text: str) -> str:
    """`text` in quotes. What YAML cannot hold is escaped as one code point, never as a pair of surrogates."""
    return '"' + "".join(_written(character) for character in text) + '"'


def _written(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\U{ord(character):08x}"
