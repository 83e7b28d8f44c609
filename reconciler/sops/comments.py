"""Encrypted comments: where they stand, and what they say.

A comment is authenticated by the path of the mapping or list around it, not by the MAC. Which node a comment belongs to
depends on how go-yaml attaches comments; instead of guessing, the paths of the nearest containers are tried, and the
authentication tells the right one. A comment that opens with none of them was changed or comes from elsewhere.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from reconciler.core.problems import Location
from reconciler.sops.ciphertext import DataKey, DoesNotVerifyError, NotAnEncryptedValueError, parse_encrypted_value
from reconciler.sops.errors import Tampered
from reconciler.sops.files import METADATA_KEY, ParsedFile
from reconciler.sops.formats import Format
from reconciler.sops.nodes import MappingNode, Node, Scalar, SequenceNode, ValueType

# A ciphertext, or what one becomes when a character of its opening is changed: it must not pass for a plain comment.
_ENCRYPTED: Final = r"[ \t]{0,8}((?:ENC\[AES256_GCM,|[^\r\n]{15}data:[^,\r\n]*,iv:[^,\r\n]*,tag:)[^\r\n]*)"
_FORMS: Final[Mapping[Format, re.Pattern[str]]] = {
    Format.YAML: re.compile(rf"(?:^|(?<=\s))#{_ENCRYPTED}", re.MULTILINE),
    Format.DOTENV: re.compile(rf"^#{_ENCRYPTED}", re.MULTILINE),
    Format.INI: re.compile(rf"[#;]{_ENCRYPTED}"),
}
_TRIES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedComment:
    """One comment, decrypted; `start` and `end` span its ciphertext in the text."""

    start: int
    end: int
    plaintext: bytes = field(repr=False)


def open_comments(parsed: ParsedFile, data_key: DataKey, file: str) -> tuple[EncryptedComment, ...]:
    """Every encrypted comment of a file. JSON has no comments.

    Raises:
        Tampered: one does not verify with any path near it.
    """
    form = _FORMS.get(parsed.format)
    if form is None or ("#" not in parsed.text and ";" not in parsed.text):
        return ()
    values = sorted(_spans(parsed.documents))
    found = [match for match in form.finditer(parsed.text) if not _inside(values, match.start())]
    return _Opener(parsed, data_key, file).opened(found) if found else ()


class _Opener:
    """Opens the comments of one file."""

    def __init__(self, parsed: ParsedFile, data_key: DataKey, file: str) -> None:
        self._text = parsed.text
        self._paths = _Paths(parsed.documents)
        self._data_key = data_key
        self._file = file

    def opened(self, found: Sequence[re.Match[str]]) -> tuple[EncryptedComment, ...]:
        return tuple(self._comment(match) for match in found)

    def _comment(self, match: re.Match[str]) -> EncryptedComment:
        ciphertext = match[1].rstrip()
        try:
            value = parse_encrypted_value(ciphertext.encode("utf-8"))
        except NotAnEncryptedValueError as error:
            raise self._tampered(match.start()) from error
        if value.type is not ValueType.COMMENT:
            raise self._tampered(match.start())
        for additional_data in self._paths.near(match.start()):
            try:
                plaintext = self._data_key.open(value, additional_data)
            except DoesNotVerifyError:
                continue
            return EncryptedComment(start=match.start(1), end=match.start(1) + len(ciphertext), plaintext=plaintext)
        raise self._tampered(match.start())

    def _tampered(self, start: int) -> Tampered:
        line_start = self._text.rfind("\n", 0, start) + 1
        place = Location(file=self._file, line=self._text.count("\n", 0, start) + 1, column=start - line_start + 1)
        message = "an encrypted comment does not verify: it was changed, or comes from another file"
        return Tampered("sops-value-tampered", message, hint="restore the file, or delete the comment", location=place)


class _Paths:
    """The additional data of every mapping and list, by the place where it begins."""

    def __init__(self, documents: Sequence[MappingNode]) -> None:
        placed = sorted(pair for document in documents for pair in _containers(document, ()))
        self._starts = [start for start, _ in placed]
        self._data = [data for _, data in placed]

    def near(self, offset: int) -> Iterator[str]:
        """Distinct additional data, those of the nearest containers first."""
        before = bisect_right(self._starts, offset)
        order = (index for distance in range(len(self._data)) for index in (before - 1 - distance, before + distance))
        seen: set[str] = set()
        for index in order:
            if 0 <= index < len(self._data) and self._data[index] not in seen:
                seen.add(self._data[index])
                yield self._data[index]
            if len(seen) >= _TRIES:
                return


def _containers(node: Node, keys: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    if isinstance(node, Scalar):
        return
    yield node.position.start, ":".join(keys) + ":"
    if isinstance(node, SequenceNode):
        for item in node.items:
            yield from _containers(item, keys)
        return
    for key, child in node.entries:
        if keys or key != METADATA_KEY:
            yield from _containers(child, (*keys, key))


def _spans(nodes: Sequence[Node]) -> Iterator[tuple[int, int]]:
    for node in nodes:
        if isinstance(node, Scalar):
            yield node.position.start, node.position.end
        else:
            yield from _spans(node.items if isinstance(node, SequenceNode) else [child for _, child in node.entries])


def _inside(spans: Sequence[tuple[int, int]], offset: int) -> bool:
    index = bisect_right(spans, (offset, offset)) - 1
    return index >= 0 and spans[index][0] < offset < spans[index][1]
