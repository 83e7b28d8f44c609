"""The text of one file with its format, line endings and byte order mark, and how changes are spliced into it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from reconciler.core.problems import Location
from reconciler.sops.files import read_file
from reconciler.sops.formats import Format
from reconciler.sops.writing.placed import PlacedDocument
from reconciler.sops.writing.placed_flat import place_dotenv, place_ini
from reconciler.sops.writing.placed_json import place_json
from reconciler.sops.writing.placed_yaml import place_yaml

_BYTE_ORDER_MARK: Final = "\ufeff"


_PLACERS: Final[Mapping[Format, Callable[[str], tuple[PlacedDocument, ...]]]] = {
    Format.YAML: place_yaml,
    Format.JSON: place_json,
    Format.BINARY: place_json,
    Format.DOTENV: place_dotenv,
    Format.INI: place_ini,
}


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
    format: Format
    text: str = field(repr=False)
    has_byte_order_mark: bool = False

    @classmethod
    def read(cls, content: bytes, file: str, stated: Format | None = None) -> "FileText":
        """The text of `content` in the format that is stated, or else in that of the name `file` or of the content.

        Raises:
            MergeDamage: git conflict markers.
            MalformedSops: not UTF-8, not in its format, or beyond a limit.
        """
        parsed = read_file(content, file, stated)
        marked = content.decode("utf-8").startswith(_BYTE_ORDER_MARK)
        return cls(file=file, format=parsed.format, text=parsed.text, has_byte_order_mark=marked)

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
        return _PLACERS[self.format](self.text)

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
