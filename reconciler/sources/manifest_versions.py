"""Writes another version of a package into a manifest's text: nothing else of the file changes, not a comment.

The value is replaced where it stands, in the quotes that it has. What was written is read back, and is accepted only if
the file now says what it said before and the new version.
"""

from typing import Final

from reconciler.core.problems import Location
from reconciler.errors import InvalidManifests, SourceError
from reconciler.sources.yaml_nodes import Path, Value, read_document

_QUOTES: Final = ("'", '"')


def with_package(content: bytes, server: str, package: str, *, file: str) -> bytes:
    """The manifest in which `server` runs `package`, such as `npm:NAME@VERSION`.

    Raises:
        InvalidManifests: the file is no YAML.
        SourceError: the file is sealed as a whole, or its form keeps the value from being replaced in place.
    """
    document = read_document(file, content)
    path: Path = ("servers", server, "package")
    place = document.place(path)
    if _sealed_whole(document.data):
        raise _refusal(place, "the MAC of this file covers everything, so that only SOPS can change it")
    text = _replaced(content.decode("utf-8"), place, str(_at(document.data, path)), package)
    changed = text.encode("utf-8") if text is not None else content
    if not _says(changed, _expected(document.data, path, package), file):
        raise _refusal(place, "the value is written in a form that cannot be replaced in place")
    return changed


def _replaced(text: str, place: Location, old: str, new: str) -> str | None:
    lines = text.splitlines(keepends=True)
    # Columns count characters of the line; the byte order mark at the very start is none of them.
    mark = 1 if place.line == 1 and text.startswith("\ufeff") else 0
    line, at = lines[place.line - 1], place.column - 1 + mark
    start = at + 1 if line[at : at + 1] in _QUOTES else at
    if line[start : start + len(old)] != old:
        return None
    lines[place.line - 1] = line[:start] + new + line[start + len(old) :]
    return "".join(lines)


def _sealed_whole(data: Value) -> bool:
    sops = _mapping(data).get("sops")
    return bool(sops) and _mapping(sops).get("mac_only_encrypted") is not True


def _at(data: Value, path: Path) -> Value:
    for part in path:
        data = _mapping(data).get(str(part))
    return data


def _expected(data: Value, path: Path, new: str) -> Value:
    if not path:
        return new
    return {**_mapping(data), str(path[0]): _expected(_mapping(data).get(str(path[0])), path[1:], new)}


def _says(content: bytes, expected: Value, file: str) -> bool:
    try:
        return read_document(file, content).data == expected
    except InvalidManifests:
        return False


def _mapping(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def _refusal(place: Location, reason: str) -> SourceError:
    return SourceError("version-not-written", reason, hint="write the version yourself", location=place)
