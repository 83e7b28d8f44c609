r"""Dotenv text to typed nodes, as the SOPS tool reads it: every line is `KEY=value` or a comment.

No quoting and no trimming: a space before `=` belongs to the key, a space after it to the value, and the two characters
`\n` stand for a line break (stores/dotenv/store.go of getsops/sops). Refused: a line without `=`, a key used twice, and
CRLF line ends, with which that tool writes what it cannot read.
"""

from collections.abc import Iterator
from typing import Final, NoReturn

from reconciler.core.problems import Location
from reconciler.sops.errors import MalformedSops
from reconciler.sops.flat_metadata import UnreadableNameError, unflatten
from reconciler.sops.limits import MAXIMUM_KEY_CHARACTERS, MAXIMUM_NODES
from reconciler.sops.nodes import MappingNode, Position, Scalar, ValueType

METADATA_PREFIX: Final = "sops_"
_METADATA_KEY: Final = "sops"
_Entry = tuple[str, str, Position]


def read_dotenv(text: str, file: str) -> tuple[MappingNode, ...]:
    """The one document of `text`; its last entry is the metadata, as a tree, where there is any.

    Raises:
        MalformedSops: it is not dotenv, or beyond a limit.
    """
    seen: set[str] = set()
    entries: list[tuple[str, Scalar]] = []
    metadata: list[_Entry] = []
    for key, value, position in dotenv_lines(text, file):
        if key in seen:
            _refuse("the same key stands twice", file, position)
        seen.add(key)
        if len(seen) > MAXIMUM_NODES:
            _refuse(f"more than {MAXIMUM_NODES} values", file, position)
        if key.startswith(METADATA_PREFIX):
            metadata.append((key.removeprefix(METADATA_PREFIX), value, position))
        else:
            entries.append((key, Scalar(type=ValueType.STR, content=value.encode("utf-8"), position=position)))
    if not metadata:
        return (MappingNode(entries=tuple(entries)),)
    return (MappingNode(entries=(*entries, (_METADATA_KEY, _tree(metadata, file)))),)


def dotenv_lines(text: str, file: str) -> Iterator[_Entry]:
    """Key, value and the place of the value of every line, those of the metadata included.

    Raises:
        MalformedSops: a line is no entry.
    """
    start = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if line and not line.startswith("#"):
            yield _entry(line, number, start, file)
        start += len(line) + 1


def _entry(line: str, number: int, start: int, file: str) -> _Entry:
    key, separator, value = line.partition("=")
    position = Position(line=number, column=len(key) + 2, start=start + len(key) + 1, end=start + len(line))
    if not separator:
        _refuse("a line that is neither KEY=value nor a comment", file, Position(line=number))
    if len(key) > MAXIMUM_KEY_CHARACTERS:
        _refuse(f"a key longer than {MAXIMUM_KEY_CHARACTERS} characters", file, Position(line=number))
    if key.startswith(METADATA_PREFIX) and value.endswith("\r"):
        hint = "convert the file to LF (and keep git from converting it back: `*.env text eol=lf` in .gitattributes)"
        _refuse("the file has CRLF line ends, which SOPS cannot read in dotenv files", file, position, hint=hint)
    return key, value.replace("\\n", "\n"), position


def _tree(metadata: list[_Entry], file: str) -> MappingNode:
    try:
        return unflatten(metadata)
    except UnreadableNameError as error:
        _refuse(str(error), file, metadata[0][2])


def _refuse(message: str, file: str, position: Position, *, hint: str = "") -> NoReturn:
    location = Location(file=file, line=position.line, column=position.column)
    # Chained to nothing: whatever was tried holds the line.
    raise MalformedSops("sops-malformed", message, hint=hint, location=location) from None
