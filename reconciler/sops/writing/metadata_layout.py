"""Metadata as lines of YAML and as JSON.

Only what the metadata holds can be written: texts, numbers, flags, lists of mappings. Texts of several lines become
literal blocks; others are plain where every reader takes them for text, and in double quotes elsewhere.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.sops.nodes import ValueType
from reconciler.sops.scalars import UnreadableScalarError, resolve
from reconciler.sops.writing.metadata_fields import Fields, Plain
from reconciler.sops.writing.yaml_text import double_quoted

STEP: Final = 4
"""How far SOPS indents."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_./+=@,-]|:(?=\S)|(?<=\S) (?=[A-Za-z0-9+/]))*")
_CIPHERTEXT: Final = re.compile(r"ENC\[[A-Za-z0-9_,:+/=]*\]")
_QUOTED: Final = frozenset({"lastmodified"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemLayout:
    """How items of a block sequence are written: the column of the dash, the step to the keys, and which key leads."""

    dash: int
    step: int
    first: str = ""

    def item(self, fields: Mapping[str, Plain]) -> list[str]:
        """The lines of one item, with their margin."""
        ordered = dict(sorted(fields.items(), key=lambda each: each[0] != self.first)) if self.first else fields
        margin = " " * self.dash
        return [margin + line if line else "" for line in _item(ordered, self.step)]


def mapping_lines(fields: Fields, step: int) -> Iterator[str]:
    """A block mapping, without margin."""
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            yield f"{name}:"
            yield from _indented(mapping_lines(value, step), step)
        elif isinstance(value, Sequence) and not isinstance(value, str) and value:
            yield f"{name}:"
            yield from _indented(_items(value), step)
        elif isinstance(value, str) and _fits_a_block(value):
            yield from _literal(name, value)
        else:
            yield f"{name}: {_scalar(name, value)}"


def json_text(value: Plain, *, unit: str | None, margin: str) -> str:
    """JSON, on lines that are indented by `unit` and begin with `margin`; on one line without a unit."""
    text = json.dumps(value, ensure_ascii=False, indent=unit)
    return text.replace("\n", "\n" + margin) if unit is not None else text


def _items(values: Sequence[Plain]) -> Iterator[str]:
    for value in values:
        if isinstance(value, Mapping) and value:
            yield from _item(value, 2)
        else:
            yield f"- {_scalar('', value)}"


def _item(fields: Mapping[str, Plain], step: int) -> list[str]:
    first, *others = mapping_lines(fields, STEP)
    return [f"-{' ' * (step - 1)}{first}", *_indented(others, step)]


def _fits_a_block(text: str) -> bool:
    lines = text.removesuffix("\n").split("\n")
    return "\n" in text and lines[0][:1] not in {"", " "} and lines[-1] != "" and all(map(str.isprintable, lines))


def _literal(name: str, value: str) -> Iterator[str]:
    bare = value.rstrip("\n")
    yield f"{name}: |" if value.endswith("\n") else f"{name}: |-"
    yield from _indented(bare.split("\n"), 2)


def _indented(lines: Iterator[str] | Sequence[str], width: int) -> Iterator[str]:
    for line in lines:
        yield " " * width + line if line else ""


def _scalar(name: str, value: Plain) -> str:
    if isinstance(value, str):
        return value if name not in _QUOTED and _is_plain(value) else double_quoted(value)
    return json.dumps(value)


def _is_plain(text: str) -> bool:
    if _CIPHERTEXT.fullmatch(text):
        return True
    try:
        return _PLAIN.fullmatch(text) is not None and resolve(text, quoted=False, tag=None)[0] is ValueType.STR
    except UnreadableScalarError:
        return False
