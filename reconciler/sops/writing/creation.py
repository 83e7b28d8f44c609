"""Making an encrypted file from a plain text: public recipients are all that it takes.

Values are spliced into the text, so that comments, order and line endings stay as they were written. Comments stay
readable, unlike with the SOPS tool: do not write secrets into them. Refused: rules by comment, aliases in what is to be
encrypted, a rule that encrypts nothing, and no recipients.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from reconciler.core.problems import Location
from reconciler.sops.ciphertext import DataKey
from reconciler.sops.files import is_encrypted
from reconciler.sops.nodes import ValueType
from reconciler.sops.rules import DEFAULT_UNENCRYPTED_SUFFIX, Rule, RuleKind, covers, make_rule
from reconciler.sops.writing.age_recipients import wrap
from reconciler.sops.writing.entries import replaced
from reconciler.sops.writing.errors import CannotEdit
from reconciler.sops.writing.file_text import FileText, Splice
from reconciler.sops.writing.metadata_text import AgeEntry, NewMetadata, with_metadata
from reconciler.sops.writing.placed import METADATA_KEY, PlacedAlias, PlacedMapping, Slot, slots
from reconciler.sops.writing.sealed import Contents, contents, plain_leaves, sealed, timestamp

_COMMENT_RULES: Final = frozenset({RuleKind.UNENCRYPTED_COMMENT_REGEX, RuleKind.ENCRYPTED_COMMENT_REGEX})


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """How a new file is encrypted."""

    recipients: tuple[str, ...]
    """Age recipients, each of whom opens the file."""
    rule: tuple[RuleKind, str] | None = None
    """Which values; all whose keys do not end in `_unencrypted` where there is none."""
    mac_only_encrypted: bool = False


def encrypt(content: bytes, encryption: Encryption, *, file: str, last_modified: datetime) -> bytes:
    """The SOPS file of a plain text in YAML or JSON; the name `file` decides which.

    Raises:
        CannotEdit: it is encrypted already, has a form that cannot be encrypted, or nothing in it would be.
        InvalidRecipient: a recipient is none, or there are none.
        UnsupportedSops: the format, or the pattern of the rule.
        MalformedSops: the text cannot be read.
    """
    source = FileText.read(content, file)
    if is_encrypted(content) or any(_has_metadata(source)):
        raise _refusal(source, "the file is encrypted already", "set single values in it instead")
    rule = _rule(source, encryption)
    data_key = DataKey.generate()
    held = contents(plain_leaves(content, file))
    splices = list(_splices(source, rule, data_key, held))
    if not splices:
        hint = "write the values under a key that the rule covers, or correct the rule in .sops.yaml"
        raise _refusal(source, "the rule for this file would encrypt none of its values", hint)
    metadata = NewMetadata(
        entries=entries_for(encryption.recipients, data_key),
        rule=encryption.rule,
        mac_only_encrypted=encryption.mac_only_encrypted,
        last_modified=timestamp(last_modified),
    )
    return sealed(with_metadata(source.spliced(splices), metadata), data_key, held, last_modified)


def entries_for(recipients: tuple[str, ...], data_key: DataKey) -> tuple[AgeEntry, ...]:
    """The data key for each of them.

    Raises:
        InvalidRecipient: one of them is no recipient.
    """
    return tuple(
        AgeEntry(recipient=recipient, wrapped=data_key.wrapped(partial(wrap, recipient))) for recipient in recipients
    )


def _rule(source: FileText, encryption: Encryption) -> Rule:
    kind, text = encryption.rule or (RuleKind.UNENCRYPTED_SUFFIX, DEFAULT_UNENCRYPTED_SUFFIX)
    if kind in _COMMENT_RULES:
        message = "rules by comment are only read: parsers disagree on which key a comment belongs to"
        raise _refusal(source, message, "use encrypted_regex")
    if not encryption.recipients:
        raise _refusal(source, "there is nobody to encrypt to", "add an age recipient to .sops.yaml")
    return make_rule(kind, text, mac_only_encrypted=encryption.mac_only_encrypted, file=source.file)


def _has_metadata(source: FileText) -> Iterator[bool]:
    for document in source.documents():
        yield isinstance(document.root, PlacedMapping) and document.root.find(METADATA_KEY) is not None


def _splices(source: FileText, rule: Rule, data_key: DataKey, held: Contents) -> Iterator[Splice]:
    for slot in slots(source.documents(), rule):
        if not covers(rule, b"", path_matches=slot.matched):
            continue
        if isinstance(slot.node, PlacedAlias) or slot.node.anchored:
            message = "an anchor or alias stands in what is to be encrypted; SOPS ties each value to its own place"
            raise _refusal(source, message, "write the value out", slot)
        value_type, plaintext = held.get((slot.document, slot.path), (ValueType.NULL, b""))
        if value_type is not ValueType.NULL and (plaintext or value_type is not ValueType.STR):
            yield replaced(slot.node, data_key.seal(plaintext, value_type, slot.additional_data))


def _refusal(source: FileText, message: str, hint: str, slot: Slot | None = None) -> CannotEdit:
    location = Location(file=source.file) if slot is None else source.location(slot.node.start)
    return CannotEdit("sops-cannot-edit", message, hint=hint, location=location)
