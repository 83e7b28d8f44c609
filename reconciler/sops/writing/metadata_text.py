"""How the `sops` block is written, in the order of SOPS 3.13, and how its parts are replaced in a text.

`version` says 3.9.0, the feature level of what is written here, which every later tool accepts.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from textwrap import indent
from typing import Final

from reconciler.sops.rules import DEFAULT_UNENCRYPTED_SUFFIX, RuleKind
from reconciler.sops.writing.entries import lines_behind
from reconciler.sops.writing.errors import CannotEdit
from reconciler.sops.writing.file_text import FileFormat, FileText, Splice
from reconciler.sops.writing.placed import (
    METADATA_KEY,
    PlacedDocument,
    PlacedMapping,
    PlacedScalar,
    PlacedSequence,
    Style,
)

VERSION: Final = "3.9.0"
PENDING: Final = "pending"
"""Stands where the MAC goes until it is known."""
_STEP: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeEntry:
    """The data key for one recipient, as an armored age file."""

    recipient: str
    wrapped: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMetadata:
    """What a new file says of itself."""

    entries: tuple[AgeEntry, ...]
    rule: tuple[RuleKind, str] | None
    mac_only_encrypted: bool
    last_modified: str

    def fields(self) -> dict[str, object]:
        """By name, in the order in which they are written."""
        kind, text = self.rule or (RuleKind.UNENCRYPTED_SUFFIX, DEFAULT_UNENCRYPTED_SUFFIX)
        found: dict[str, object] = {
            kind.value: text,
            "lastmodified": self.last_modified,
            "mac": PENDING,
            "version": VERSION,
        }
        if self.mac_only_encrypted:
            found["mac_only_encrypted"] = True
        age = [{"enc": entry.wrapped, "recipient": entry.recipient} for entry in self.entries]
        return {"age": age, **dict(sorted(found.items()))}


def with_metadata(source: FileText, metadata: NewMetadata) -> FileText:
    """The text with a `sops` block in every document.

    Raises:
        CannotEdit: a document is no block mapping, or an object without members.
    """
    return source.spliced(_new_block(source, document, metadata) for document in source.documents())


def stamped(source: FileText, *, mac: str, last_modified: str) -> FileText:
    """The text with another MAC and time in every copy of the metadata.

    Raises:
        CannotEdit: a copy lacks one of the two.
    """
    splices: list[Splice] = []
    for block in blocks(source):
        splices += [_field(source, block, "mac", mac), _field(source, block, "lastmodified", last_modified)]
    return source.spliced(splices)


def with_age_entries(source: FileText, entries: Sequence[AgeEntry]) -> FileText:
    """The text with these age recipients, and no others, in every copy of the metadata."""
    return source.spliced(_age_splice(source, block, entries) for block in blocks(source))


def with_group_entries(source: FileText, groups: Sequence[Sequence[AgeEntry]]) -> FileText:
    """The text with other shares for the recipients of every key group, whose order stays."""
    return source.spliced(
        _age_splice(source, mapping, entries)
        for block in blocks(source)
        for mapping, entries in zip(_groups(block), groups, strict=True)
    )


def _groups(block: PlacedMapping) -> Iterator[PlacedMapping]:
    entry = block.find("key_groups")
    if entry is not None and isinstance(entry.value, PlacedSequence):
        yield from (item for item in entry.value.items if isinstance(item, PlacedMapping))


def blocks(source: FileText) -> Iterator[PlacedMapping]:
    """The metadata of every document that has some."""
    for document in source.documents():
        entry = document.root.find(METADATA_KEY) if isinstance(document.root, PlacedMapping) else None
        if entry is not None and isinstance(entry.value, PlacedMapping):
            yield entry.value


def _new_block(source: FileText, document: PlacedDocument, metadata: NewMetadata) -> Splice:
    root = document.root
    if not isinstance(root, PlacedMapping) or not root.entries or (root.in_flow and source.format is FileFormat.YAML):
        message = "only a document that is a mapping with one key a line can be encrypted"
        hint = "write the keys at the top of the document on lines of their own"
        raise CannotEdit("sops-cannot-edit", message, hint=hint, location=source.location(root.start))
    if source.format is FileFormat.JSON:
        return _new_member(source, root, metadata)
    margin = " " * source.column(root.entries[0].start)
    text = indent(_yaml_block(metadata), margin)
    before = source.text[: document.end]
    return Splice(start=document.end, end=document.end, text=text if before.endswith("\n") else "\n" + text)


def _yaml_block(metadata: NewMetadata) -> str:
    margin = " " * _STEP
    lines = [f"{METADATA_KEY}:"]
    for name, value in metadata.fields().items():
        if name == "age":
            layout = _Layout(dash=2 * _STEP, step=2, recipient_first=False)
            lines += [f"{margin}age:", " " * layout.dash + layout.written(metadata.entries).rstrip("\n")]
        else:
            lines.append(f"{margin}{name}: {_yaml_scalar(name, value)}")
    return "\n".join(lines) + "\n"


def _yaml_scalar(name: str, value: object) -> str:
    if name in {"mac", "version"}:
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _new_member(source: FileText, root: PlacedMapping, metadata: NewMetadata) -> Splice:
    last = root.entries[-1]
    before = source.text[: last.start]
    gap = before[len(before.rstrip()) :]
    text = json.dumps(metadata.fields(), ensure_ascii=False, indent=_unit(gap) if "\n" in gap else None)
    margin = gap.rpartition("\n")[2]
    separator = f",{gap}" if "\n" in gap else ", "
    written = separator + f'"{METADATA_KEY}": ' + text.replace("\n", "\n" + margin)
    return Splice(start=last.value.end, end=last.value.end, text=written)


def _unit(gap: str) -> str:
    return gap.rpartition("\n")[2] or "  "


def _field(source: FileText, block: PlacedMapping, name: str, value: str) -> Splice:
    entry = block.find(name)
    if entry is None or not isinstance(entry.value, PlacedScalar) or entry.value.style is Style.BLOCK:
        message = f"a copy of the metadata has no {name} that could be replaced"
        hint = "restore the file, or encrypt it again"
        raise CannotEdit("sops-cannot-edit", message, hint=hint, location=source.location(block.start))
    old = entry.value
    # SOPS 3.13 reads an unquoted time as a time and refuses it, so that it is quoted whatever it was.
    quote = {Style.SINGLE: "'", Style.DOUBLE: '"'}.get(old.style, '"' if name != "mac" or old.in_flow else "")
    return Splice(start=old.start, end=old.end, text=f"{quote}{value}{quote}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How a block sequence of recipients is written: the column of its dashes, the step to its keys, their order."""

    dash: int
    step: int
    recipient_first: bool

    def written(self, entries: Sequence[AgeEntry]) -> str:
        """The items; the first line without its margin, the last with its line break."""
        return ("\n" + " " * self.dash).join(self._item(entry) for entry in entries) + "\n"

    def _item(self, entry: AgeEntry) -> str:
        inner = " " * (self.dash + self.step)
        armor = indent(entry.wrapped.rstrip("\n"), inner + "  ")
        wrapped, name = f"enc: |\n{armor}", f"recipient: {entry.recipient}"
        first, second = (name, wrapped) if self.recipient_first else (wrapped, name)
        return f"-{' ' * (self.step - 1)}{first}\n{inner}{second}"


def _age_splice(source: FileText, block: PlacedMapping, entries: Sequence[AgeEntry]) -> Splice:
    entry = block.find("age")
    if entry is None:
        return _new_age(source, block, entries)
    old = entry.value
    if source.format is FileFormat.JSON or (isinstance(old, PlacedSequence) and old.in_flow and old.items):
        return Splice(start=old.start, end=old.end, text=_flow_list(source, entry.start, entries))
    if isinstance(old, PlacedSequence) and old.items:
        text = _layout(source, old).written(entries)
        return Splice(
            start=old.start, end=old.end, text=text if source.text[old.end - 1] == "\n" else text.rstrip("\n")
        )
    column = source.column(entry.start) + _STEP
    layout = _Layout(dash=column, step=2, recipient_first=False)
    text = "\n" + " " * column + layout.written(entries).rstrip("\n")
    return Splice(start=old.start, end=old.end, text=text)


def _new_age(source: FileText, block: PlacedMapping, entries: Sequence[AgeEntry]) -> Splice:
    if block.in_flow:
        end = block.entries[-1].value.end
        start = block.entries[-1].start
        return Splice(start=end, end=end, text=', "age": ' + _flow_list(source, start, entries))
    column = source.column(block.entries[0].start)
    layout = _Layout(dash=column + _STEP, step=2, recipient_first=False)
    items = (" " * layout.dash + layout.written(entries).rstrip("\n")).split("\n")
    return lines_behind(source, block, ["age:", *(line[column:] for line in items)])


def _layout(source: FileText, old: PlacedSequence) -> _Layout:
    first = old.items[0]
    dash = source.column(old.start)
    named_first = isinstance(first, PlacedMapping) and first.entries[0].key == "recipient"
    return _Layout(dash=dash, step=max(source.column(first.start) - dash, 2), recipient_first=named_first)


def _flow_list(source: FileText, key_start: int, entries: Sequence[AgeEntry]) -> str:
    """JSON, which is YAML too; on several lines where the key has a line of its own."""
    margin = source.text[source.line_start(key_start) : key_start]
    own_line = not margin.strip()
    unit = "\t" if "\t" in margin else "  "
    items = [{"enc": entry.wrapped, "recipient": entry.recipient} for entry in entries]
    text = json.dumps(items, indent=unit if own_line else None)
    return text.replace("\n", "\n" + margin) if own_line else text
