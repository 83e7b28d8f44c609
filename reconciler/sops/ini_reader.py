r"""INI text to typed nodes, as the SOPS tool reads it: two levels, sections and keys, all values text.

The grammar is that of gopkg.in/ini.v1 with its default options: `=` or `:` ends a key, `#` and `;` begin a comment
anywhere outside quotes, single and double quotes around a value are dropped, values in backquotes or in three double
quotes may span lines, and a backslash at the end of a line continues it. The section `DEFAULT` always exists. Sections
of the same name are one. Refused: a key used twice, a line that is neither, and quotes that are not closed.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final, NoReturn

from reconciler.core.problems import Location
from reconciler.sops.errors import MalformedSops
from reconciler.sops.flat_metadata import UnreadableNameError, unflatten
from reconciler.sops.limits import MAXIMUM_KEY_CHARACTERS, MAXIMUM_NODES
from reconciler.sops.nodes import MappingNode, Position, Scalar, ValueType

DEFAULT_SECTION: Final = "DEFAULT"
METADATA_SECTION: Final = "sops"
_KEY_END: Final = re.compile("[=:]")
_COMMENT_START: Final = re.compile("[#;]")
_LONG_QUOTE: Final = '"""'
_SPACE: Final = " \t\r\n\v\f\x85\xa0"
_LINE_BREAK: Final = re.compile(r"\n")


def read_ini(text: str, file: str) -> tuple[MappingNode, ...]:
    """The one document of `text`; its last entry is the metadata, as a tree, where there is any.

    Raises:
        MalformedSops: it is not INI, or beyond a limit.
    """
    return (_Reader(text, file).document(),)


def ini_sections(text: str, file: str) -> Mapping[str, Mapping[str, Scalar]]:
    """Every section with its keys, that of the metadata included.

    Raises:
        MalformedSops: it is not INI, or beyond a limit.
    """
    return _Reader(text, file).sections()


class _Reader:
    """Goes through the text once; `_offset` is where the next line begins."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._offset = 0
        self._count = 0
        self._numbered = 0
        self._sections: dict[str, dict[str, Scalar]] = {DEFAULT_SECTION: {}}
        self._line_starts = (0, *(match.end() for match in _LINE_BREAK.finditer(text)))

    def document(self) -> MappingNode:
        self.sections()
        return self._root()

    def sections(self) -> Mapping[str, Mapping[str, Scalar]]:
        section = DEFAULT_SECTION
        while self._offset < len(self._text):
            start, line = self._next_line()
            content = line.lstrip(_SPACE)
            start += len(line) - len(content)
            if not content or content[0] in "#;":
                continue
            if content[0] == "[":
                section = self._section(content, start)
            else:
                self._key(section, content, start)
        return self._sections

    def _root(self) -> MappingNode:
        metadata = self._sections.pop(METADATA_SECTION, None)
        entries = tuple((name, MappingNode(entries=tuple(keys.items()))) for name, keys in self._sections.items())
        if metadata is None:
            return MappingNode(entries=entries)
        return MappingNode(entries=(*entries, (METADATA_SECTION, self._metadata(metadata))))

    def _metadata(self, fields: dict[str, Scalar]) -> MappingNode:
        try:
            return unflatten(
                (name, value.content.decode("utf-8").replace("\\n", "\n"), value.position)
                for name, value in fields.items()
            )
        except UnreadableNameError as error:
            place = next((value.position.start for value in fields.values()), 0)
            self._refuse(str(error), place)

    def _next_line(self) -> tuple[int, str]:
        start = self._offset
        end = self._text.find("\n", start)
        self._offset = len(self._text) if end < 0 else end + 1
        return start, self._text[start : self._offset]

    def _section(self, content: str, start: int) -> str:
        end = content.rfind("]")
        if end < 0:
            self._refuse("a section without its closing bracket", start)
        name = content[1:end]
        self._check(name, start)
        self._sections.setdefault(name, {})
        return name

    def _key(self, section: str, content: str, start: int) -> None:
        key, value_start = self._name(content, start)
        self._check(key, start)
        value, value_start, value_end = self._value(content[value_start:], start + value_start)
        if key in self._sections[section]:
            self._refuse("the same key stands twice in one section", start)
        self._sections[section][key] = Scalar(
            type=ValueType.STR, content=value.encode("utf-8"), position=self._position(value_start, value_end)
        )

    def _check(self, name: str, start: int) -> None:
        self._count += 1
        if self._count > MAXIMUM_NODES:
            self._refuse(f"more than {MAXIMUM_NODES} values", start)
        if not name or len(name) > MAXIMUM_KEY_CHARACTERS:
            self._refuse(f"a name that is empty or longer than {MAXIMUM_KEY_CHARACTERS} characters", start)

    def _name(self, content: str, start: int) -> tuple[str, int]:
        quote = _key_quote(content)
        closed = content.find(quote, len(quote)) if quote else 0
        end = _KEY_END.search(content, closed) if closed >= 0 else None
        if end is None:
            self._refuse("a line that is neither a section nor KEY = value", start)
        name = content[len(quote) : closed] if quote else content[: end.start()].strip(_SPACE)
        if name == "-":  # ini.v1 counts such keys over the section; the count is all that is left of the name.
            self._numbered += 1
            name = f"#{self._numbered}"
        return name, end.end()

    def _value(self, rest: str, start: int) -> tuple[str, int, int]:
        """The value and its span: what would have to be replaced to change it."""
        content = rest.lstrip(_SPACE)
        if not content:
            return "", start, start
        start += len(rest) - len(content)
        for quote in (_LONG_QUOTE, "`"):
            if content.startswith(quote) and len(content) > len(quote):
                return self._quoted(content, start, quote)
        bare = content.rstrip(_SPACE)
        if bare.endswith("\\"):
            return self._continued(bare[:-1], start)
        comment = _COMMENT_START.search(bare)
        bare = bare[: comment.start()].rstrip(_SPACE) if comment else bare
        return _without_quotes(bare), start, start + len(bare)

    def _quoted(self, content: str, start: int, quote: str) -> tuple[str, int, int]:
        opened = start + len(quote)
        closed = content.rfind(quote, len(quote))
        if closed >= 0:
            return content[len(quote) : closed], start, start + closed + len(quote)
        first = self._text.find(quote, self._offset)
        if first < 0:
            self._refuse("a quoted value that is not closed", start)
        self._offset = self._text.rfind("\n", 0, first) + 1
        line_start, line = self._next_line()
        found = line_start + line.rfind(quote)
        return self._text[opened:found], start, found + len(quote)

    def _continued(self, value: str, start: int) -> tuple[str, int, int]:
        parts, end, more = [value], start + len(value) + 1, True
        while more and self._offset < len(self._text):
            line_start, line = self._next_line()
            following = line.strip(_SPACE)
            end = line_start + len(line.rstrip(_SPACE))
            more = following.endswith("\\")
            self._count += 1
            if self._count > MAXIMUM_NODES:
                self._refuse(f"more than {MAXIMUM_NODES} values and lines of values", start)
            parts.append(following[:-1] if more else following)
        return "".join(parts), start, end

    def _position(self, start: int, end: int) -> Position:
        line = bisect_right(self._line_starts, start)
        return Position(line=line, column=start - self._line_starts[line - 1] + 1, start=start, end=end)

    def _refuse(self, message: str, start: int) -> NoReturn:
        place = self._position(start, start)
        location = Location(file=self._file, line=place.line, column=place.column)
        # Chained to nothing: whatever was tried holds the line.
        raise MalformedSops("sops-malformed", message, location=location) from None


def _key_quote(content: str) -> str:
    if content.startswith(_LONG_QUOTE) and len(content) > 6:
        return _LONG_QUOTE
    return content[0] if content[0] in '"`' else ""


def _without_quotes(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"" and value[0] not in value[1:-1]
    return value[1:-1] if quoted else value
