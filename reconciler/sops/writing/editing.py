"""Changing an encrypted file in place: one value, the recipients, or the data key.

An `Editing` is a text that has been opened and verified, and a change gives another one; `sealed` closes it. Only what
changes is written: a new value touches its own line, `mac` and `lastmodified`. Nothing is written to disk here.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from reconciler.core.problems import Location
from reconciler.core.secret import SecretValue
from reconciler.sops.ciphertext import (
    DATA_KEY_BYTES,
    DataKey,
    DoesNotVerifyError,
    EncryptedValue,
    NotAnEncryptedValueError,
    looks_encrypted,
    parse_encrypted_value,
)
from reconciler.sops.document import decrypt
from reconciler.sops.identities import Identities
from reconciler.sops.keys import unwrap_data_key
from reconciler.sops.leaves import Path, shown_path
from reconciler.sops.metadata import KeyService, Metadata
from reconciler.sops.nodes import ValueType
from reconciler.sops.rules import Rule, covers, key_matches
from reconciler.sops.writing.age_recipients import wrap
from reconciler.sops.writing.creation import entries_for
from reconciler.sops.writing.entries import Addition, added, removed, replaced
from reconciler.sops.writing.errors import CannotEdit
from reconciler.sops.writing.file_text import FileText, Splice
from reconciler.sops.writing.metadata_text import AgeEntry, with_age_entries, with_group_entries
from reconciler.sops.writing.placed import PlacedScalar, Slot, slots
from reconciler.sops.writing.sealed import Contents, contents, metadata_of, sealed
from reconciler.sops.writing.shares import split

_ENCRYPTED_COMMENT: Final = re.compile(r"(?<=#)ENC\[AES256_GCM,[^\]\s]*,type:comment\]")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Editing:
    """A verified file and what it is to hold when it is closed."""

    source: FileText
    data_key: DataKey
    held: Contents = field(repr=False)

    @property
    def metadata(self) -> Metadata:
        """Of the text as it is now."""
        return metadata_of(self.source.to_bytes(), self.source.file)

    def with_value(self, path: tuple[str, ...], value: SecretValue) -> "Editing":
        """The same file with one string, in the first document; the key and its parents are added if need be.

        Raises:
            CannotEdit: the rule leaves that place in clear, the value is empty, or something else stands there.
        """
        plaintext = value.reveal().encode("utf-8")
        rule = self.metadata.rule
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

    def with_recipient(self, recipient: str) -> "Editing":
        """The same file for one more age recipient, with the same data key; itself if that one is there already.

        Raises:
            InvalidRecipient: it is none.
            CannotEdit: the file has key groups.
        """
        self._refuse_groups()
        entries = self._age_entries()
        if recipient in {entry.recipient for entry in entries}:
            return self
        new = AgeEntry(recipient=recipient, wrapped=self.data_key.wrapped(partial(wrap, recipient)))
        return replace(self, source=with_age_entries(self.source, (*entries, new)))

    def rotated(self, recipients: tuple[str, ...]) -> "Editing":
        """The same values under a new data key, for these age recipients and nobody else.

        Raises:
            CannotEdit: the file has key groups or other recipients than age, or `recipients` is empty.
            InvalidRecipient: one of them is none.
        """
        self._refuse_groups()
        self._refuse_other_services()
        if not recipients:
            raise self._refusal("nobody would be left who can open the file", "name another recipient first")
        new_key = DataKey.generate()
        source = with_age_entries(self._source_under(new_key), entries_for(recipients, new_key))
        return replace(self, source=source, data_key=new_key)

    def rotated_in_groups(self) -> "Editing":
        """The same values under a new data key, shared anew among the same key groups with the same threshold.

        Raises:
            CannotEdit: the file has no key groups, or other recipients than age.
        """
        self._refuse_other_services()
        groups = [tuple(key.recipient.name for key in group) for group in self.metadata.groups]
        if len(groups) < 2:
            raise self._refusal("the recipients of this file are in no key groups", "")
        raw = os.urandom(DATA_KEY_BYTES)
        new_key = DataKey(raw)
        shares = split(raw, shares=len(groups), threshold=self.metadata.threshold)
        entries = [
            tuple(AgeEntry(recipient=name, wrapped=wrap(name, share)) for name in names)
            for names, share in zip(groups, shares, strict=True)
        ]
        return replace(self, source=with_group_entries(self._source_under(new_key), entries), data_key=new_key)

    def sealed(self, last_modified: datetime) -> bytes:
        """The closed file: new MAC and time, read back and compared.

        Raises:
            InternalFault: it would not hold what it should.
        """
        return sealed(self.source, self.data_key, self.held, last_modified)

    def slots(self) -> Iterator[Slot]:
        """Every value with its place in the text."""
        return slots(self.source.documents(), self.metadata.rule)

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

    def _age_entries(self) -> tuple[AgeEntry, ...]:
        keys = (key for group in self.metadata.groups for key in group)
        return tuple(
            AgeEntry(recipient=key.recipient.name, wrapped=key.wrapped)
            for key in keys
            if key.recipient.service is KeyService.AGE
        )

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

    def _refuse_groups(self) -> None:
        if len(self.metadata.groups) > 1:
            message = "the recipients of this file are in key groups, and it is not known which group is meant"
            raise self._refusal(message, "change .sops.yaml and use `sops updatekeys` for it")

    def _refuse_other_services(self) -> None:
        if any(each.service is not KeyService.AGE for each in self.metadata.recipients):
            raise self._refusal("not all recipients of this file are age recipients", "use `sops rotate` for it")

    def _refusal(self, message: str, hint: str) -> CannotEdit:
        return CannotEdit("sops-cannot-edit", message, hint=hint, location=Location(file=self.source.file))


def open_to_edit(content: bytes, identities: Identities, *, file: str) -> Editing:
    """Opens a SOPS file in YAML or JSON for changes; everything in it is verified first.

    Raises:
        UnsupportedSops: another format.
        CatwalkError: whatever `decrypt` raises.
    """
    source = FileText.read(content, file)
    leaves = decrypt(content, identities, file=file).leaves()
    data_key = unwrap_data_key(metadata_of(content, file), identities, file)
    return Editing(source=source, data_key=data_key, held=contents(leaves))


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
