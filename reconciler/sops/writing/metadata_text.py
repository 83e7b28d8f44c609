"""How the `sops` block is written into a text, and how its parts are replaced there.

A changed MAC or one more recipient touches its own lines; a rotation writes the block anew, in the layout of SOPS 3.13.
"""

from collections.abc import Iterator
from typing import Final

from reconciler.sops.formats import Format
from reconciler.sops.nodes import ValueType
from reconciler.sops.writing.entries import lines_behind
from reconciler.sops.writing.errors import CannotEdit
from reconciler.sops.writing.file_text import FileText, Splice
from reconciler.sops.writing.flat_text import FLAT, flat_block, flat_list
from reconciler.sops.writing.metadata_fields import Fields, Plain
from reconciler.sops.writing.metadata_layout import STEP, ItemLayout, json_text, mapping_lines
from reconciler.sops.writing.placed import (
    METADATA_KEY,
    PlacedDocument,
    PlacedMapping,
    PlacedNode,
    PlacedScalar,
    PlacedSequence,
    Style,
)
from reconciler.sops.writing.wrapping import Entry

_NUMBERS: Final = {ValueType.INT: int, ValueType.FLOAT: float}


def with_metadata(source: FileText, fields: Fields) -> FileText:
    """The text with a `sops` block in every document.

    Raises:
        CannotEdit: a document is no block mapping, or an object without members.
    """
    return source.spliced(splice for document in source.documents() for splice in _new_block(source, document, fields))


def with_fields(source: FileText, fields: Fields) -> FileText:
    """The text with other metadata in every document that has some."""
    splices: list[Splice] = []
    for block in blocks(source):
        splices += flat_block(source, block, fields) if source.format in FLAT else [_block(source, block, fields)]
    return source.spliced(splices)


def stamped(source: FileText, *, mac: str, last_modified: str) -> FileText:
    """The text with another MAC and time in every copy of the metadata.

    Raises:
        CannotEdit: a copy lacks one of the two.
    """
    splices: list[Splice] = []
    for block in blocks(source):
        splices += [_field(source, block, "mac", mac), _field(source, block, "lastmodified", last_modified)]
    return source.spliced(splices)


def with_entry(source: FileText, entry: Entry) -> FileText:
    """The text with one more recipient in every copy of the metadata; those that are there stay as they are written."""
    splices: list[Splice] = []
    for block in blocks(source):
        if source.format in FLAT:
            splices += flat_list(source, block, entry)
        else:
            splices.append(_list_splice(source, block, entry))
    return source.spliced(splices)


def blocks(source: FileText) -> Iterator[PlacedMapping]:
    """The metadata of every document that has some."""
    for document in source.documents():
        entry = document.root.find(METADATA_KEY) if isinstance(document.root, PlacedMapping) else None
        if entry is not None and isinstance(entry.value, PlacedMapping):
            yield entry.value


def fields_of(block: PlacedMapping) -> Fields:
    """What a block says, in its order; values that only SOPS could have written otherwise are text."""
    return {entry.key: _plain(entry.value) for entry in block.entries}


def _plain(node: PlacedNode) -> Plain:
    if isinstance(node, PlacedMapping):
        return fields_of(node)
    if isinstance(node, PlacedSequence):
        return [_plain(item) for item in node.items]
    if not isinstance(node, PlacedScalar) or node.type is ValueType.NULL:
        return None
    text = node.content.decode("utf-8", "replace")
    if node.type is ValueType.BOOL:
        return text.lower() == "true"
    number = _NUMBERS.get(node.type)
    return text if number is None else number(text)


def _new_block(source: FileText, document: PlacedDocument, fields: Fields) -> list[Splice]:
    root = document.root
    if source.format in FLAT and isinstance(root, PlacedMapping):
        return flat_block(source, None, fields)
    if not isinstance(root, PlacedMapping) or not root.entries or (root.in_flow and source.format is Format.YAML):
        message = "only a document that is a mapping with one key a line can be encrypted"
        hint = "write the keys at the top of the document on lines of their own"
        raise CannotEdit("sops-cannot-edit", message, hint=hint, location=source.location(root.start))
    if source.format is not Format.YAML:
        return [_new_member(source, root, fields)]
    margin = " " * source.column(root.entries[0].start)
    lines = mapping_lines({METADATA_KEY: fields}, STEP)
    text = "".join(f"{margin}{line}\n" if line else "\n" for line in lines)
    before = source.text[: document.end]
    return [Splice(start=document.end, end=document.end, text=text if before.endswith("\n") else "\n" + text)]


def _new_member(source: FileText, root: PlacedMapping, fields: Fields) -> Splice:
    last = root.entries[-1]
    before = source.text[: last.start]
    gap = before[len(before.rstrip()) :]
    margin = gap.rpartition("\n")[2]
    text = json_text(fields, unit=(margin or "  ") if "\n" in gap else None, margin=margin)
    separator = f",{gap}" if "\n" in gap else ", "
    return Splice(start=last.value.end, end=last.value.end, text=f'{separator}"{METADATA_KEY}": {text}')


def _block(source: FileText, block: PlacedMapping, fields: Fields) -> Splice:
    if source.format is not Format.YAML or block.in_flow:
        margin = source.text[source.line_start(block.start) : block.start]
        margin = margin[: len(margin) - len(margin.lstrip())]
        own_lines = "\n" in source.text[block.start : block.end]
        text = json_text(fields, unit=(margin or "  ") if own_lines else None, margin=margin)
        return Splice(start=block.start, end=block.end, text=text)
    margin = " " * source.column(block.start)
    lines = list(mapping_lines(fields, STEP))
    text = "\n".join([lines[0], *(margin + line if line else "" for line in lines[1:])])
    return Splice(start=block.start, end=block.end, text=_ended(source, block.end, text))


def _ended(source: FileText, end: int, text: str) -> str:
    """With a line break where the old text had one: a block scalar ends behind its own."""
    return text + "\n" if source.text[end - 1] == "\n" else text


def _field(source: FileText, block: PlacedMapping, name: str, value: str) -> Splice:
    entry = block.find(name)
    if entry is None or not isinstance(entry.value, PlacedScalar) or entry.value.style is Style.BLOCK:
        message = f"a copy of the metadata has no {name} that could be replaced"
        hint = "restore the file, or encrypt it again"
        raise CannotEdit("sops-cannot-edit", message, hint=hint, location=source.location(block.start))
    old = entry.value
    # SOPS 3.13 reads an unquoted time as a time and refuses it, so that it is quoted whatever it was.
    needed = '"' if name != "mac" or old.in_flow else ""
    quote = {Style.SINGLE: "'", Style.DOUBLE: '"', Style.BARE: ""}.get(old.style, needed)
    return Splice(start=old.start, end=old.end, text=f"{quote}{value}{quote}")


def _list_splice(source: FileText, block: PlacedMapping, entry: Entry) -> Splice:
    found = block.find(entry.service.value)
    if found is None:
        return _new_list(source, block, entry)
    old = found.value
    items = old.items if isinstance(old, PlacedSequence) else ()
    if source.format is not Format.YAML or (isinstance(old, PlacedSequence) and old.in_flow and items):
        listed = [_plain(item) for item in items]
        return Splice(start=old.start, end=old.end, text=_flow_list(source, found.start, [*listed, entry.fields]))
    if items:
        return _lines_at(source, old.end, _layout(source, old).item(entry.fields))
    column = source.column(found.start) + STEP
    text = "".join(f"\n{line}" for line in ItemLayout(dash=column, step=2).item(entry.fields))
    return Splice(start=old.start, end=old.end, text=text)


def _lines_at(source: FileText, offset: int, lines: list[str]) -> Splice:
    """Lines behind the line in which a value ends at `offset`."""
    place = offset if source.text[offset - 1] == "\n" else source.line_end(offset)
    text = "".join(f"{line}\n" for line in lines)
    return Splice(start=place, end=place, text=text if source.text[:place].endswith("\n") else "\n" + text.rstrip("\n"))


def _new_list(source: FileText, block: PlacedMapping, entry: Entry) -> Splice:
    name = entry.service.value
    if block.in_flow:
        last = block.entries[-1]
        before = source.text[: last.start]
        gap = before[len(before.rstrip()) :]
        separator = f",{gap}" if "\n" in gap else ", "
        text = f'{separator}"{name}": {_flow_list(source, last.start, [entry.fields])}'
        return Splice(start=last.value.end, end=last.value.end, text=text)
    lines = ItemLayout(dash=STEP, step=2).item(entry.fields)
    return lines_behind(source, block, [f"{name}:", *lines])


def _layout(source: FileText, old: PlacedNode) -> ItemLayout:
    assert isinstance(old, PlacedSequence)
    first = old.items[0]
    dash = source.column(old.start)
    named_first = isinstance(first, PlacedMapping) and first.entries[0].key == "recipient"
    step = max(source.column(first.start) - dash, 2)
    return ItemLayout(dash=dash, step=step, first="recipient" if named_first else "")


def _flow_list(source: FileText, key_start: int, items: list[Plain]) -> str:
    """JSON, which is YAML too; on several lines where the key has a line of its own."""
    margin = source.text[source.line_start(key_start) : key_start]
    if margin.strip():
        return json_text(items, unit=None, margin="")
    return json_text(items, unit="\t" if "\t" in margin else "  ", margin=margin)
