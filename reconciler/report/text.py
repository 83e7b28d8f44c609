"""Makes a commit status description: one line, 140 characters at most, cut on a word. Total: any text gives one."""

import unicodedata
from typing import Final

DESCRIPTION_LIMIT: Final = 140
"""Characters. GitHub refuses more with 422 "description is too long (maximum is 140 characters)"."""
ELLIPSIS: Final = "…"
_SHORTEST_KEPT: Final = 0.6
"""Part of the room that must stay used for the cut to fall on a word: a single endless word is cut inside."""


def one_line(text: str, *, limit: int = DESCRIPTION_LIMIT) -> str:
    """`text` in NFC on one line without control characters, at most `limit` code points."""
    visible = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    line = unicodedata.normalize("NFC", " ".join(visible.split()))
    if len(line) <= limit:
        return line
    room = line[: limit - len(ELLIPSIS)]
    on_word = room if line[len(room)] == " " else room.rpartition(" ")[0]
    kept = on_word if len(on_word) >= limit * _SHORTEST_KEPT else room
    return kept.rstrip(" ,;:.(") + ELLIPSIS


def with_tail(text: str, tail: str, *, limit: int = DESCRIPTION_LIMIT) -> str:
    """`text` followed by `tail`, of which `tail` survives the cut."""
    return one_line(text, limit=limit - len(tail)) + tail


def counted(number: int, noun: str) -> str:
    """`1 server`, `3 servers`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
