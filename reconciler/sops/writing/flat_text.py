"""Writing into dotenv and INI files: lines of metadata, one more value, one less.

Refused: names that the format would read as something else, because neither of the two can quote a name in a way that
every reader of SOPS understands.
"""

import re
from typing import Final

from reconciler.sops.dotenv_reader import METADATA_PREFIX
from reconciler.sops.formats import Format
from reconciler.sops.ini_reader import DEFAULT_SECTION, METADATA_SECTION
from reconciler.sops.leaves import shown_path
from reconciler.sops.plaintext import ini_value
from reconciler.sops.writing.errors import CannotEdit
from reconciler.sops.writing.file_text import FileText, Splice
from reconciler.sops.writing.metadata_fields import Fields, flat_lines
from reconciler.sops.writing.placed import METADATA_KEY, PlacedDocument, PlacedEntry, PlacedMapping
from reconciler.sops.writing.wrapping import Entry

FLAT: Final = frozenset({Format.DOTENV, Format.INI})
_DOTENV_NAME: Final = re.compile(r"(?!#|sops_)[^=\r\n]+")
_INI_NAME: Final = re.compile(r"(?=[^\s\"'`#;\[-])[^=:\r\n\"'`#;\[\]]*[^=:\s\"'`#;\[\]]")
_INDEX: Final = re.compile(r"__list_([0-9]{1,4})__")
_HEADER: Final = re.compile(rf"^[ \t]*\[{METADATA_SECTION}\]", re.MULTILINE)


def flat_block(source: FileText, block: PlacedMapping | None, fields: Fields) -> list[Splice]:
    """The metadata in the place of what stands in `block`, or behind everything."""
    text = "".join(f"{line}\n" for line in _written(source.format, fields))
    if block is None:
        header = f"[{METADATA_SECTION}]\n" if source.format is Format.INI else ""
        gap = "" if source.text.endswith("\n") or not source.text else "\n"
        gap += "\n" if header and source.text else ""
        end = len(source.text)
        return [Splice(start=end, end=end, text=gap + header + text)]
    first, *others = (_line(source, entry) for entry in block.entries)
    return [Splice(start=first.start, end=first.end, text=text), *others]


def flat_list(source: FileText, block: PlacedMapping, entry: Entry) -> list[Splice]:
    """One more recipient, behind those of its service, or behind all of the metadata."""
    prefix = f"{entry.service.value}__list_"
    same = [each for each in block.entries if each.key.startswith(prefix)]
    indexes = [int(match[1]) for each in same if (match := _INDEX.search(each.key))]
    number = max(indexes, default=-1) + 1
    named: Fields = {f"{prefix}{number}": dict(entry.fields)}
    lines = "".join(f"{line}\n" for line in _written(source.format, named))
    place = source.line_end((same or list(block.entries))[-1].value.end)
    gap = "" if source.text[:place].endswith("\n") else "\n"
    return [Splice(start=place, end=place, text=gap + lines)]


def flat_addition(source: FileText, document: PlacedDocument, path: tuple[str, ...], value: str) -> Splice:
    """One more value: behind the last of the file, or of its section.

    Raises:
        CannotEdit: the path is no name, or no section and name, that the format can hold.
    """
    name = _INI_NAME if source.format is Format.INI else _DOTENV_NAME
    depth = 2 if source.format is Format.INI else 1
    if len(path) != depth or not all(name.fullmatch(part) for part in path) or path[0] == METADATA_SECTION:
        message = f"{shown_path(path)} cannot be written in this format"
        hint = "a name has no `=`, quotes, brackets or line breaks; an INI file has sections and keys, and no more"
        raise CannotEdit("sops-cannot-edit", message, hint=hint, location=source.location(0))
    assert isinstance(document.root, PlacedMapping)
    if source.format is Format.DOTENV:
        return _dotenv_line(source, document.root, f"{path[0]}={value}\n")
    return _ini_line(source, document.root, path, value)


def flat_removal(source: FileText, entry: PlacedEntry) -> Splice:
    """The line of a value goes."""
    return _line(source, entry)


def _dotenv_line(source: FileText, root: PlacedMapping, line: str) -> Splice:
    entries = [entry for entry in root.entries if entry.key != METADATA_KEY]
    place = source.line_end(entries[-1].value.end) if entries else 0
    gap = "" if source.text[:place].endswith("\n") or place == 0 else "\n"
    return Splice(start=place, end=place, text=gap + line)


def _ini_line(source: FileText, root: PlacedMapping, path: tuple[str, ...], value: str) -> Splice:
    section, name = path
    line = f"{name} = {value}\n"
    found = root.find(section)
    if found is not None and isinstance(found.value, PlacedMapping) and found.value.entries:
        place = source.line_end(found.value.entries[-1].value.end)
    elif header := re.search(rf"^[ \t]*\[{re.escape(section)}\][^\n]*\n", source.text, re.MULTILINE):
        place = header.end()
    elif section == DEFAULT_SECTION:
        place = 0
    else:
        metadata = _HEADER.search(source.text)
        place = len(source.text) if metadata is None else metadata.start()
        line = f"[{section}]\n{line}\n"
    gap = "" if source.text[:place].endswith("\n") or place == 0 else "\n"
    return Splice(start=place, end=place, text=gap + line)


def _line(source: FileText, entry: PlacedEntry) -> Splice:
    return Splice(start=source.line_start(entry.start), end=source.line_end(entry.value.end), text="")


def _written(form: Format, fields: Fields) -> list[str]:
    if form is Format.DOTENV:
        return [f"{METADATA_PREFIX}{name}={value}" for name, value in flat_lines(fields)]
    return [f"{name} = {ini_value(value)}" for name, value in flat_lines(fields)]
