"""Changing an encrypted file in place: one value, the recipients, or the data key; in every format of SOPS.

An `Editing` is a text that has been opened and verified, and a change gives another one; `sealed` closes it. Only what
changes is written: a new value touches its own line, `mac` and `lastmodified`. Nothing is written to disk here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from reconciler.core.problems import Location
from reconciler.core.secret import SecretValue
from reconciler.sops.ciphertext import (
    DataKey,
    DoesNotVerifyError,
    EncryptedValue,
    NotAnEncryptedValueError,
    looks_encrypted,
    parse_encrypted_value,
)
from reconciler.sops.document import applied_rule, decrypt_document
from reconciler.sops.formats import Format
from reconciler.sops.identities import Identities
from reconciler.sops.keys import unwrap_data_key
from reconciler.sops.leaves import Path, shown_path
from reconciler.sops.master_keys import KeyGroups, MasterKey, key_groups
from reconciler.sops.metadata import Metadata
from reconciler.sops.nodes import ValueType
from reconciler.sops.rules import Rule, covers, key_matches
from reconciler.sops.writing.entries import Addition, added, removed, replaced
from reconciler.sops.writing.errors import CannotEdit
from reconciler.sops.writing.file_text import FileText, Splice
from reconciler.sops.writing.metadata_fields import with_keys
from reconciler.sops.writing.metadata_text import blocks, fields_of, with_entry, with_fields
from reconciler.sops.writing.placed import PlacedScalar, Slot, slots
from reconciler.sops.writing.sealed import Contents, contents, metadata_of, sealed
from reconciler.sops.writing.wrapping import Services, wrapped, wrapped_once

_ENCRYPTED_COMMENT: Final = re.compile(r"(?<=[#;])ENC\[AES256_GCM,[^\]\s]*,type:comment\]")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Editing:
    """A verified file and what it is to hold when it is closed."""

    source: FileText
    data_key: DataKey
    held: Contents = field(repr=False)
    services: Services = ()
    """The doors to the key services that recipients other than age need."""

    @property
    def metadata(self) -> Metadata:
        """Of the text as it is now."""
        return metadata_of(self.source.to_bytes(), self.source.file, self.source.format)

    @property
    def keys(self) -> KeyGroups:
        """To whom the file is encrypted now."""
        return key_groups(self.metadata)

    @property
    def rule(self) -> Rule:
        """Which values are encrypted."""
        return applied_rule(self.source.format, self.metadata.rule)

    def with_value(self, path: tuple[str, ...], value: SecretValue) -> "Editing":
        """The same file with one string, in the first document; the key and its parents are added if need be.

        Raises:
            CannotEdit: the rule leaves that place in clear, the value is empty, or something else stands there.
        """
        return self.with_content(path, value.reveal().encode("utf-8"))

    def with_content(self, path: tuple[str, ...], plaintext: bytes) -> "Editing":
        """As `with_value`, for bytes that may be no text: the content of a binary file stands at `data`."""
        rule = self.rule
        if not covers(rule, b"", path_matches=any(key_matches(rule, key) for key in path)):
            hint = "write it under a key that the rule of the file covers"
            raise self._refusal(f"the rule of this file does not encrypt {shown_path(path)}", hint)
        if not plaintext:
            raise self._refusal(f"{shown_path(path)} would be empty, and SOPS does not protect empty values", "")
        encrypted = self.data_key.seal(plaintext, ValueType.STR, ":".join(path) + ":")
        source = self.source.spliced(self._value_splices(rule, path, encrypted))
        return replace(self, source=source, held={**self.held, (0, path): (ValueType.STR, plaintext)})

    def without_value(self, path: tuple[str, ...]) -> "Editing":
        """The same file without one key and its value.

        Raises:
            CannotEdit: it is not there.
        """
        source = self.source.spliced([removed(self.source, self.source.documents()[0], path)])
        gone = {place for place in self.held if place[0] == 0 and place[1][: len(path)] == path}
        return replace(
            self, source=source, held={place: held for place, held in self.held.items() if place not in gone}
        )

    def with_recipient(self, key: MasterKey, moment: datetime) -> "Editing":
        """The same file for one more recipient, with the same data key; itself if that one is there already.

        Raises:
            CannotEdit: the file has key groups.
            CatwalkError: its key service cannot be used.
        """
        if len(self.metadata.groups) > 1:
            message = "the recipients of this file are in key groups, and it is not known which group is meant"
            raise self._refusal(message, "change the groups in .sops.yaml, and run `catwalk secrets rotate`")
        if key.recipient in self.metadata.recipients:
            return self
        entry = wrapped_once(key, self.data_key, self.services, moment)
        return replace(self, source=with_entry(self.source, entry))

    def rotated(self, keys: KeyGroups, moment: datetime) -> "Editing":
        """The same values under a new data key, for these recipients in these groups and nobody else.

        Raises:
            CannotEdit: nobody would be left, in the file or in a group of it.
            InvalidRecipient: one of them is of a service that Catwalk does not encrypt with.
            CatwalkError: a key service cannot be used.
        """
        if not keys.groups or not all(keys.groups):
            raise self._refusal("nobody would be left who can open the file", "name another recipient first")
        new_key = DataKey.generate()
        entries = wrapped(keys, new_key, self.services, moment)
        source = self._source_under(new_key)
        fields = with_keys(fields_of(next(blocks(source))), entries, keys.needed)
        return replace(self, source=with_fields(source, fields), data_key=new_key)

    def sealed(self, last_modified: datetime) -> bytes:
        """The closed file: new MAC and time, read back and compared.

        Raises:
            InternalFault: it would not hold what it should.
        """
        return sealed(self.source, self.data_key, self.held, last_modified)

    def slots(self) -> Iterator[Slot]:
        """Every value with its place in the text."""
        return slots(self.source.documents(), self.rule)

    def opened_value(self, slot: Slot) -> tuple[ValueType, bytes] | None:
        """Type and plaintext of a ciphertext in its place; `None` where it is none."""
        if not isinstance(slot.node, PlacedScalar):
            return None
        opened = self._opened(slot.node.content, slot.additional_data)
        return None if opened is None else (opened[0].type, opened[1])

    def _value_splices(self, rule: Rule, path: tuple[str, ...], encrypted: str) -> list[Splice]:
        documents = self.source.documents()
        slot = next((each for each in slots(documents, rule) if each.document == 0 and each.path == path), None)
        if slot is None:
            return added(self.source, documents[0], Addition(path=path, value=encrypted))
        if not isinstance(slot.node, PlacedScalar) or slot.node.anchored:
            raise self._refusal(f"{shown_path(path)} is an anchor or alias", "write the value out first")
        return [replaced(slot.node, encrypted)]

    def _source_under(self, new_key: DataKey) -> FileText:
        return self.source.spliced([*self._resealed(new_key), *self._resealed_comments(new_key)])

    def _resealed(self, new_key: DataKey) -> Iterator[Splice]:
        for slot in self.slots():
            if isinstance(slot.node, PlacedScalar) and looks_encrypted(slot.node.content):
                value = self._opened(slot.node.content, slot.additional_data)
                if value is not None:
                    yield replaced(slot.node, new_key.seal(value[1], value[0].type, slot.additional_data))

    def _opened(self, content: bytes, additional_data: str) -> tuple[EncryptedValue, bytes] | None:
        """`None` for a text in clear that only looks like a ciphertext: the file has been verified before."""
        try:
            value = parse_encrypted_value(content)
            return value, self.data_key.open(value, additional_data)
        except (NotAnEncryptedValueError, DoesNotVerifyError):
            return None

    def _resealed_comments(self, new_key: DataKey) -> Iterator[Splice]:
        """Comments that SOPS encrypted. Which mapping one belongs to is told by which path authenticates it."""
        found = list(_ENCRYPTED_COMMENT.finditer(self.source.text))
        paths = _paths_of_parents(self.slots()) if found else []
        for match in found:
            opened = (self._comment(match[0], data) for data in paths)
            data, plaintext = next((each for each in opened if each is not None), ("", b""))
            if not data:
                line = self.source.text.count("\n", 0, match.start()) + 1
                raise self._refusal(f"the encrypted comment in line {line} does not open", "remove it first")
            text = new_key.seal(plaintext, ValueType.COMMENT, data)
            yield Splice(start=match.start(), end=match.end(), text=text)

    def _comment(self, text: str, additional_data: str) -> tuple[str, bytes] | None:
        opened = self._opened(text.encode("utf-8"), additional_data)
        return None if opened is None else (additional_data, opened[1])

    def _refusal(self, message: str, hint: str) -> CannotEdit:
        return CannotEdit("sops-cannot-edit", message, hint=hint, location=Location(file=self.source.file))


def open_to_edit(content: bytes, identities: Identities, *, file: str, stated: Format | None = None) -> Editing:
    """Opens a SOPS file for changes, in the format that is stated or else in that of its name or content.

    Everything in it is verified first.

    Raises:
        CatwalkError: whatever `decrypt_document` raises.
    """
    opened = decrypt_document(content, format=stated, identities=identities, file=file)
    source = FileText.read(content, file, opened.format)
    data_key = unwrap_data_key(metadata_of(content, file, opened.format), identities, file)
    return Editing(source=source, data_key=data_key, held=contents(opened.leaves()), services=identities.services)


def _paths_of_parents(found: Iterator[Slot]) -> list[str]:
    prefixes: dict[tuple[str, ...], None] = {}
    for slot in found:
        for length in range(len(slot.keys) + 1):
            prefixes[slot.keys[:length]] = None
    return [":".join(prefix) + ":" for prefix in prefixes]


def values_of(held: Contents, rule: Rule) -> tuple[Path, ...]:
    """The paths of what the rule encrypts: what is to be replaced at its source after somebody lost access."""
    return tuple(
        path
        for (_, path), (value_type, _) in held.items()
        if value_type is not ValueType.NULL
        and covers(rule, b"", path_matches=any(key_matches(rule, part) for part in path if isinstance(part, str)))
    )
