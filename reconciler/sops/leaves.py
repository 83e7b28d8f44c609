"""Walking a tree with the data key: every value in document order, decrypted where the rule says so.

Paths authenticate values: the additional data of a value is the keys on its path, joined and ended by colons, with no
list indices. What the rule covers must be encrypted (or empty, or null, which SOPS stores as they are); plain text in
such a place is refused, whatever the MAC says.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn

from reconciler.core.problems import Location
from reconciler.sops.ciphertext import (
    DataKey,
    DoesNotVerifyError,
    NotAnEncryptedValueError,
    parse_encrypted_value,
)
from reconciler.sops.errors import Tampered
from reconciler.sops.nodes import MappingNode, Node, Scalar, SequenceNode, ValueType
from reconciler.sops.rules import Rule, covers, key_matches
from reconciler.sops.text_forms import canonical_text

Path = tuple[str | int, ...]

_NOT_SHOWN: Final = re.compile(r"ENC\[|AES256_GCM|,iv:|SECRET-KEY|PRIVATE KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One value of a file, or an empty mapping or list."""

    document: int
    """Which YAML document, from 0."""
    path: Path
    """Keys and list indices from the top of the document; comments do not count as list items."""
    type: ValueType
    plaintext: bytes = field(repr=False)
    """Exactly what the value adds to the MAC; empty for null, and for an empty mapping or list."""
    was_encrypted: bool
    in_mac: bool
    line: int
    column: int
    start: int = 0
    """Offset of the value in the decoded text."""
    end: int = 0
    in_flow: bool = False
    """Whether it stands between brackets, in YAML and in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the walk stands."""

    path: Path = ()
    keys: tuple[str, ...] = ()
    matched: bool = False
    in_sequence: bool = False

    @property
    def additional_data(self) -> str:
        return ":".join(self.keys) + ":"

    def under(self, key: str, *, matches: bool) -> "_Place":
        return _Place(path=(*self.path, key), keys=(*self.keys, key), matched=self.matched or matches)

    def item(self, index: int) -> "_Place":
        return _Place(path=(*self.path, index), keys=self.keys, matched=self.matched, in_sequence=True)


class LeafWalker:
    """Turns documents into leaves.

    Iterating raises:
        Tampered: a value does not verify, must be encrypted and is not, or is not what its type says.
    """

    def __init__(self, data_key: DataKey, rule: Rule, *, mac_only_encrypted: bool, file: str) -> None:
        self._data_key = data_key
        self._rule = rule
        self._mac_only_encrypted = mac_only_encrypted
        self._file = file
        self._document = 0
        self.list_comments: list[Leaf] = []
        """Filled while the leaves are iterated."""

    def leaves(self, documents: tuple[MappingNode, ...]) -> Iterator[Leaf]:
        """The leaves of all documents; the metadata must have been taken out."""
        for index, document in enumerate(documents):
            self._document = index
            if document.entries:
                yield from self._walk(document, _Place())

    def _walk(self, node: Node, place: _Place) -> Iterator[Leaf]:
        match node:
            case MappingNode(entries=()):
                yield self._leaf(node, place, ValueType.EMPTY_MAP)
            case SequenceNode(items=()):
                yield self._leaf(node, place, ValueType.EMPTY_LIST)
            case MappingNode():
                for key, child in node.entries:
                    yield from self._walk(child, place.under(key, matches=key_matches(self._rule, key)))
            case SequenceNode():
                yield from self._items(node, place)
            case Scalar():
                yield self._scalar(node, place)

    def _items(self, node: SequenceNode, place: _Place) -> Iterator[Leaf]:
        index = 0
        for item in node.items:
            here = place.item(index)
            if isinstance(item, Scalar):
                leaf = self._scalar(item, here)
                if leaf.type is ValueType.COMMENT:
                    self.list_comments.append(leaf)  # SOPS stores a comment inside a list as an item of it.
                    continue
                yield leaf
            else:
                yield from self._walk(item, here)
            index += 1

    def _scalar(self, scalar: Scalar, place: _Place) -> Leaf:
        if scalar.type is ValueType.NULL:
            return self._leaf(scalar, place, scalar.type)
        covered = covers(self._rule, scalar.content, path_matches=place.matched)
        if covered and (scalar.type is not ValueType.STR or scalar.content):
            return self._decrypted(scalar, place)
        return self._leaf(scalar, place, scalar.type, plaintext=scalar.content)

    def _decrypted(self, scalar: Scalar, place: _Place) -> Leaf:
        try:
            value = parse_encrypted_value(scalar.content if scalar.type is ValueType.STR else b"")
            plaintext = self._data_key.open(value, place.additional_data)
        except NotAnEncryptedValueError as error:
            self._refuse_plain(scalar, place, error)
        except DoesNotVerifyError as error:
            self._refuse_changed(scalar, place, error)
        if value.type is ValueType.COMMENT and not place.in_sequence:
            self._refuse_type(scalar, place)
        text = self._text(scalar, place, value.type, plaintext)
        return self._leaf(scalar, place, value.type, plaintext=text, was_encrypted=True)

    def _text(self, scalar: Scalar, place: _Place, value_type: ValueType, plaintext: bytes) -> bytes:
        try:
            return canonical_text(value_type, plaintext)
        except ValueError:
            self._refuse_type(scalar, place)

    def _leaf(
        self, node: Node, place: _Place, value_type: ValueType, *, plaintext: bytes = b"", was_encrypted: bool = False
    ) -> Leaf:
        return Leaf(
            document=self._document,
            path=place.path,
            type=value_type,
            plaintext=plaintext,
            was_encrypted=was_encrypted,
            in_mac=was_encrypted or not self._mac_only_encrypted,
            line=node.position.line,
            column=node.position.column,
            start=node.position.start,
            end=node.position.end,
            in_flow=node.in_flow,
        )

    def _refuse_plain(self, scalar: Scalar, place: _Place, error: Exception) -> NoReturn:
        message = f"{shown_path(place.path)} must be encrypted and is not, or its ciphertext is damaged"
        hint = (
            "encrypt the file again; if this was a secret, it stands in git in plain text now: replace it at its source"
        )
        raise Tampered("sops-value-tampered", message, hint=hint, location=self._location(scalar)) from error

    def _refuse_changed(self, scalar: Scalar, place: _Place, error: Exception) -> NoReturn:
        message = (
            f"the value of {shown_path(place.path)} does not verify: it was changed, moved from another key, "
            "or comes from another file"
        )
        hint = "restore the file from a commit that you trust, or set this value again"
        raise Tampered("sops-value-tampered", message, hint=hint, location=self._location(scalar)) from error

    def _refuse_type(self, scalar: Scalar, place: _Place) -> NoReturn:
        message = f"the value of {shown_path(place.path)} is not of the type that it claims"
        hint = "restore the file from a commit that you trust, or set this value again"
        # Chained to nothing: a parser's message may quote the plaintext.
        raise Tampered("sops-value-tampered", message, hint=hint, location=self._location(scalar)) from None

    def _location(self, scalar: Scalar) -> Location:
        return Location(file=self._file, line=scalar.position.line, column=scalar.position.column)


def shown_path(path: Path) -> str:
    """A key path for people: `servers.github.secrets.TOKEN`, `env[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{_shown_key(part)}"
    return text.removeprefix(".") or "the document"


def _shown_key(key: str) -> str:
    """A key for people; a ciphertext that a damaged file makes a key of is not repeated."""
    if _NOT_SHOWN.search(key):
        return "(a ciphertext)"
    printable = "".join(character if character.isprintable() else "?" for character in key)
    return printable if len(printable) <= 100 else f"{printable[:100]}…"
