"""The text of one file with its format, line endings and byte order mark, and how changes are spliced into it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

from reconciler.core.problems import Location
from reconciler.sops.errors import UnsupportedSops
from reconciler.sops.files import read_documents
from reconciler.sops.writing.placed import PlacedDocument
from reconciler.sops.writing.placed_json import place_json
from reconciler.sops.writing.placed_yaml import place_yaml

_BYTE_ORDER_MARK: Final = "\ufeff"


class FileFormat(StrEnum):
    """The formats that Catwalk writes."""

    YAML = "yaml"
    JSON = "json"


_FORMATS: Final = {".yaml": FileFormat.YAML, ".yml": FileFormat.YAML, ".json": FileFormat.JSON}


@dataclass(frozen=True, slots=True, kw_only=True)
class Splice:
    """The characters from `start` to `end` become `text`."""

    start: int
    end: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileText:
    """A file that its reader accepts."""

    file: str
    format: FileFormat
    text: str = field(repr=False)
    has_byte_order_mark: bool = False

    @classmethod
    def read(cls, content: bytes, file: str) -> "FileText":
        """The text of `content`; `file` decides the format and stands in errors.

        Raises:
            UnsupportedSops: a format that Catwalk does not write.
            MergeDamage: git conflict markers.
            MalformedSops: not UTF-8, not in its format, or beyond a limit.
        """
        written = _FORMATS.get(PurePosixPath(file).suffix.lower())
        if written is None:
            hint = "Catwalk writes YAML (.yaml, .yml) and JSON (.json); use `sops` for other formats"
            message = "Catwalk does not write SOPS files in this format"
            raise UnsupportedSops("sops-unsupported-format", message, hint=hint, location=Location(file=file))
        read_documents(content, file)
        text = content.decode("utf-8")
        bare = text.removeprefix(_BYTE_ORDER_MARK)
        return cls(file=file, format=written, text=bare, has_byte_order_mark=bare != text)

    @property
    def newline(self) -> str:
        """The line ending of the first line."""
        first, separator, _ = self.text.partition("\n")
        return "\r\n" if separator and first.endswith("\r") else "\n"

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return ((_BYTE_ORDER_MARK if self.has_byte_order_mark else "") + self.text).encode("utf-8")

    def documents(self) -> tuple[PlacedDocument, ...]:
        """Where everything stands."""
        return place_yaml(self.text) if self.format is FileFormat.YAML else place_json(self.text)

    def spliced(self, splices: Iterable[Splice]) -> "FileText":
        """The text with changes that do not overlap; their line breaks become those of the file."""
        text = self.text
        for splice in sorted(splices, key=lambda each: (each.start, each.end), reverse=True):
            written = splice.text.replace("\r\n", "\n").replace("\n", self.newline)
            text = text[: splice.start] + written + text[splice.end :]
        return replace(self, text=text)

    def line_start(self, offset: int) -> int:
        """Where the line of `offset` begins."""
        return self.text.rfind("\n", 0, offset) + 1

    def line_end(self, offset: int) -> int:
        """Behind the line break of the line of `offset`, or the end of the text."""
        found = self.text.find("\n", offset)
        return len(self.text) if found == -1 else found + 1

    def column(self, offset: int) -> int:
        """Characters before `offset` on its line."""
        return offset - self.line_start(offset)

    def location(self, offset: int) -> Location:
        """The place of `offset` for people."""
        line = self.text.count("\n", 0, offset) + 1
        return Location(file=self.file, line=line, column=self.column(offset) + 1)
