"""Adding and removing keys in a text: where the new lines go, and how they are written there.

A block mapping gets lines with its own indentation, a flow mapping and JSON get one more member in the same layout.
What the text says elsewhere, comments included, is not touched.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.sops.formats import Format
from reconciler.sops.leaves import shown_path
from reconciler.sops.nodes import ValueType
from reconciler.sops.scalars import UnreadableScalarError, resolve
from reconciler.sops.writing.errors import CannotEdit
from reconciler.sops.writing.file_text import FileText, Splice
from reconciler.sops.writing.flat_text import FLAT, flat_addition, flat_removal
from reconciler.sops.writing.placed import (
    METADATA_KEY,
    PlacedDocument,
    PlacedEntry,
    PlacedMapping,
    PlacedNode,
    PlacedScalar,
    Style,
)

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_DEFAULT_INDENT: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A value to be written at a path whose parents may be missing; `value` is written text, quoted where needed."""

    path: tuple[str, ...]
    value: str


def written_value(encrypted: str, node: PlacedScalar | None, *, in_flow: bool) -> str:
    """An encrypted value as it stands in the text: quoted where the old one was, or where commas would end it."""
    if node is not None and node.style is Style.BARE:
        return encrypted
    if node is not None and node.style is Style.SINGLE:
        return f"'{encrypted}'"
    if in_flow or (node is not None and node.style is Style.DOUBLE):
        return f'"{encrypted}"'
    return encrypted


def replaced(node: PlacedScalar, encrypted: str) -> Splice:
    """The change of one scalar that is written."""
    text = written_value(encrypted, node, in_flow=node.in_flow)
    if node.style is Style.BLOCK:
        text += "\n"
    elif node.start == node.end and node.style is not Style.BARE:
        text = f" {text}"
    return Splice(start=node.start, end=node.end, text=text)


def added(source: FileText, document: PlacedDocument, addition: Addition) -> list[Splice]:
    """The changes that write a value where there is none.

    Raises:
        CannotEdit: something that is no mapping stands on the path.
    """
    if source.format in FLAT:
        return [flat_addition(source, document, addition.path, addition.value)]
    node: PlacedNode = document.root
    holder: PlacedEntry | None = None
    in_flow = False
    for depth, key in enumerate(addition.path):
        rest = Addition(path=addition.path[depth:], value=addition.value)
        if _is_empty(node) and holder is not None:
            return _filled(source, document, _Empty(entry=holder, in_flow=in_flow), rest)
        if not isinstance(node, PlacedMapping) or not node.entries:
            raise _cannot(source, node, addition.path[:depth])
        entry = node.find(key)
        if entry is None:
            return [_joined(source, document, node, rest)]
        in_flow = node.in_flow
        holder, node = entry, entry.value
    raise _cannot(source, node, addition.path)


def removed(source: FileText, document: PlacedDocument, path: tuple[str, ...]) -> Splice:
    """The change that takes a key and its value out.

    Raises:
        CannotEdit: there is no such key.
    """
    node: PlacedNode = document.root
    for key in path[:-1]:
        entry = node.find(key) if isinstance(node, PlacedMapping) else None
        if entry is None:
            raise _cannot(source, node, path)
        node = entry.value
    entry = node.find(path[-1]) if isinstance(node, PlacedMapping) else None
    if not isinstance(node, PlacedMapping) or entry is None:
        raise _cannot(source, node, path)
    if source.format in FLAT:
        return flat_removal(source, entry)
    return _taken_out(source, node, node.entries.index(entry))


def lines_behind(source: FileText, mapping: PlacedMapping, lines: Sequence[str]) -> Splice:
    """The change that appends lines, without indentation, to a block mapping that has entries."""
    entries = [entry for entry in mapping.entries if entry.key != METADATA_KEY] or list(mapping.entries)
    margin = " " * source.column(mapping.entries[0].start)
    return _inserted(source, entries[-1].value.end, [margin + line if line else "" for line in lines])


def written_key(source: FileText, key: str) -> str:
    """A key, quoted where it would be read as something else than text."""
    if source.format is Format.YAML and _PLAIN_KEY.fullmatch(key):
        try:
            if resolve(key, quoted=False, tag=None)[0] is ValueType.STR:
                return key
        except UnreadableScalarError:
            pass
    return json.dumps(key, ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Empty:
    """A key without a value, with `null` or with `{}`."""

    entry: PlacedEntry
    in_flow: bool


def _is_empty(node: PlacedNode) -> bool:
    if isinstance(node, PlacedScalar):
        return node.type is ValueType.NULL and not node.anchored
    return isinstance(node, PlacedMapping) and not node.entries


def _filled(source: FileText, document: PlacedDocument, empty: _Empty, addition: Addition) -> list[Splice]:
    start, end = empty.entry.value.start, empty.entry.value.end
    if empty.in_flow:
        text = f"{{{_flow(source, addition)}}}"
        return [Splice(start=start, end=end, text=f" {text}" if start == end else text)]
    margin = source.column(empty.entry.start) + _indent(source, document)
    lines = [" " * margin + line for line in _block(source, document, addition)]
    old = source.text[start:end]
    bare = start - (len(source.text[:start]) - len(source.text[:start].rstrip(" "))) if old else start
    return [Splice(start=bare, end=end, text=""), _inserted(source, end, lines)]


def _joined(source: FileText, document: PlacedDocument, mapping: PlacedMapping, addition: Addition) -> Splice:
    if not mapping.in_flow:
        return lines_behind(source, mapping, _block(source, document, addition))
    last = ([entry for entry in mapping.entries if entry.key != METADATA_KEY] or list(mapping.entries))[-1]
    before = source.text[: last.start]
    gap = before[len(before.rstrip()) :]
    separator = f",{gap}" if "\n" in gap else ", "
    return Splice(start=last.value.end, end=last.value.end, text=separator + _flow(source, addition))


def _block(source: FileText, document: PlacedDocument, addition: Addition) -> list[str]:
    unit = _indent(source, document)
    *parents, last = addition.path
    lines = [" " * (unit * depth) + f"{written_key(source, key)}:" for depth, key in enumerate(parents)]
    separator = " " if addition.value else ""
    return [*lines, " " * (unit * len(parents)) + f"{written_key(source, last)}:{separator}{addition.value}"]


def _flow(source: FileText, addition: Addition) -> str:
    text = addition.value
    if text.startswith("ENC["):
        text = f'"{text}"'
    text = text or "null"
    for depth, key in enumerate(reversed(addition.path)):
        text = f"{written_key(source, key)}: " + (text if depth == 0 else f"{{{text}}}")
    return text


def _inserted(source: FileText, offset: int, lines: Sequence[str]) -> Splice:
    """Lines behind the line of `offset`, which is the end of a value."""
    at_line_start = offset > 0 and source.text[offset - 1] == "\n"
    place = offset if at_line_start else source.line_end(offset)
    text = "".join(f"{line}\n" for line in lines)
    if place == len(source.text) and not source.text.endswith("\n"):
        text = "\n" + text.rstrip("\n")
    return Splice(start=place, end=place, text=text)


def _taken_out(source: FileText, mapping: PlacedMapping, index: int) -> Splice:
    entry = mapping.entries[index]
    if len(mapping.entries) == 1:
        trailing = "\n" if source.text[mapping.end - 1] == "\n" and not mapping.in_flow else ""
        return Splice(start=mapping.start, end=mapping.end, text="{}" + trailing)
    begins_line = not source.text[source.line_start(entry.start) : entry.start].strip()
    if not mapping.in_flow and begins_line:
        end = entry.value.end
        behind = end if source.text[end - 1] == "\n" else source.line_end(end)
        return Splice(start=source.line_start(entry.start), end=behind, text="")
    if index + 1 < len(mapping.entries):
        return Splice(start=entry.start, end=mapping.entries[index + 1].start, text="")
    return Splice(start=mapping.entries[index - 1].value.end, end=entry.value.end, text="")


def _indent(source: FileText, document: PlacedDocument) -> int:
    """The step of the first nested block mapping."""
    return next(_steps(source, document.root), _DEFAULT_INDENT)


def _steps(source: FileText, node: PlacedNode) -> Iterator[int]:
    if not isinstance(node, PlacedMapping) or node.in_flow:
        return
    for entry in node.entries:
        inner = entry.value
        if isinstance(inner, PlacedMapping) and not inner.in_flow and inner.entries and entry.key != METADATA_KEY:
            yield source.column(inner.entries[0].start) - source.column(entry.start)
            yield from _steps(source, inner)


def _cannot(source: FileText, node: PlacedNode, path: tuple[str, ...]) -> CannotEdit:
    message = f"{shown_path(path)} is not a mapping that could take a key, or the key is not there"
    hint = "change the file by hand at this place first"
    return CannotEdit("sops-cannot-edit", message, hint=hint, location=source.location(node.start))
