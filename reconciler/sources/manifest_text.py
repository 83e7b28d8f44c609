"""Writes a new server into a manifest's text: nothing else of the file changes, not a comment and not a space.

The entry goes to the end of `servers`, in the file's own indentation. What was written is read back, and is accepted
only if the file now says what it said before and the entry. Refused: `servers` in one line with braces, and a file
that is sealed as a whole, whose MAC would no longer fit.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from reconciler.errors import InvalidManifests, SourceError
from reconciler.sources.yaml_nodes import Document, Value, read_document

EntryValue = str | int | Sequence[str] | Mapping[str, "EntryValue | None"] | None
Entry = Mapping[str, EntryValue]

_INDENT: Final = 2
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9./_]|--?[A-Za-z])(?:[A-Za-z0-9_./@+=~,-]|:(?=[^\s:]))*")
_NOT_TEXT: Final = re.compile(
    r"(?:y|n|yes|no|true|false|on|off|null|~)|[-+]?[0-9.][0-9_.,:xXoOa-fA-FtTzZ+-]*|[-+]?\.(?:inf|nan)", re.IGNORECASE
)
"""What some reader of YAML takes for a boolean, a number, a date or nothing."""


def with_server(content: bytes, name: str, entry: Entry, *, file: str) -> bytes:
    """The manifest with one more server.

    Args:
        content: the manifest, in YAML that Catwalk reads.
        name: the server's; not there yet.
        entry: the keys of the server and their values.
        file: the manifest's name, for messages.

    Raises:
        InvalidManifests: the file is no YAML.
        SourceError: the server is there already, or the file has a form that cannot be added to.
    """
    before = read_document(file, content)
    if before.has(("servers", name)):
        raise SourceError(
            "server-exists",
            f"{name} is declared already",
            hint="give the new one another name with --as",
            location=before.key_place(("servers", name)),
        )
    changed = _spliced(content.decode("utf-8"), before, name, entry).encode("utf-8")
    if not _says(changed, _expected(before, name, entry), file):
        raise _refusal(before, "the file has a form that no server can be added to")
    return changed


def _says(content: bytes, expected: Value, file: str) -> bool:
    try:
        return read_document(file, content).data == expected
    except InvalidManifests:
        return False


def rendered(entry: Entry, indent: int) -> Iterator[str]:
    """The lines of a mapping, in block style."""
    for key, value in entry.items():
        yield from _rendered_value(" " * indent + _text(key) + ":", value, indent)


def _rendered_value(head: str, value: EntryValue, indent: int) -> Iterator[str]:
    if value is None:
        yield head
    elif isinstance(value, str):
        yield f"{head} {_text(value)}"
    elif isinstance(value, int):
        yield f"{head} {value}"
    elif isinstance(value, Mapping):
        yield head
        yield from rendered(value, indent + _INDENT)
    else:
        yield head
        yield from (f"{' ' * (indent + _INDENT)}- {_text(item)}" for item in value)


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and not _NOT_TEXT.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _spliced(text: str, before: Document, name: str, entry: Entry) -> str:
    break_ = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += break_
    place, indent, opening = _place(lines, before)
    new = [*opening, *rendered({name: entry}, indent)]
    return "".join((*lines[:place], *(line + break_ for line in new), *lines[place:]))


def _place(lines: list[str], before: Document) -> tuple[int, int, list[str]]:
    """Before which line the entry goes, how far it is indented, and what has to stand above it."""
    data = before.data if isinstance(before.data, dict) else {}
    servers = data.get("servers")
    if "servers" not in data:
        return len(lines), _INDENT, ["servers:"]
    key = before.key_place(("servers",))
    if not servers:
        _empty_value_removed(lines, before)
        return key.line, key.column - 1 + _INDENT, []
    children = [before.key_place(("servers", each)) for each in servers] if isinstance(servers, dict) else []
    if not children or children[0].line == key.line or before.place(("servers",)).line == key.line:
        raise _refusal(before, "`servers` is written in one line")
    last = max(children, key=lambda child: child.line)
    return _end_of(lines, last.line, last.column - 1), last.column - 1, []


def _empty_value_removed(lines: list[str], before: Document) -> None:
    """Takes the `{}` or `null` of an empty mapping away, in place."""
    key = before.key_place(("servers",))
    line = lines[key.line - 1]
    lines[key.line - 1] = re.sub(r"(servers[\"']?\s*:)[ \t]*(?:\{\s*\}|null|~)?", r"\1", line, count=1)


def _end_of(lines: list[str], line: int, indent: int) -> int:
    """How many lines stand before the end of the block whose key stands in `line` (from 1) at `indent`."""
    end = line
    for number in range(line, len(lines)):
        stripped = lines[number].strip()
        depth = len(lines[number]) - len(lines[number].lstrip(" "))
        if stripped and depth <= indent:
            break
        if stripped and depth > indent:
            end = number + 1
    return end


def _expected(before: Document, name: str, entry: Entry) -> Value:
    data: dict[str, Value] = dict(before.data) if isinstance(before.data, dict) else {}
    servers = data.get("servers")
    data["servers"] = {**(servers if isinstance(servers, dict) else {}), name: _plain(entry)}
    return data


def _plain(value: EntryValue) -> Value:
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value)


def _refusal(before: Document, what: str) -> SourceError:
    return SourceError(
        "cannot-add-server",
        what,
        hint="write `servers:` on a line of its own with each server indented below it, or add the entry by hand",
        location=before.key_place(("servers",)),
    )
