"""Making an encrypted file from a plain text: public recipients are all that it takes.

Values are spliced into the text, so that comments, order and line endings stay as they were written. Comments in YAML
and INI stay readable, unlike with the SOPS tool: do not write secrets into them. Those in dotenv files, where values
that were commented out are common, are encrypted as that tool does; a comment behind a value of an INI file is refused,
because it may be the rest of a password. What is in no format that is known becomes a
binary file, as with that tool. Refused: rules by comment, aliases in what is to be encrypted, a rule that encrypts
nothing, and no recipients.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from reconciler.core.problems import Location
from reconciler.sops.ciphertext import DataKey
from reconciler.sops.document import applied_rule
from reconciler.sops.files import is_encrypted
from reconciler.sops.formats import Format, format_by_name
from reconciler.sops.master_keys import KeyGroups
from reconciler.sops.nodes import ValueType
from reconciler.sops.rules import DEFAULT_UNENCRYPTED_SUFFIX, Rule, RuleKind, covers, make_rule
from reconciler.sops.timestamps import timestamp
from reconciler.sops.writing.entries import replaced
from reconciler.sops.writing.errors import CannotEdit
from reconciler.sops.writing.file_text import FileText, Splice
from reconciler.sops.writing.metadata_fields import NewMetadata
from reconciler.sops.writing.metadata_text import with_metadata
from reconciler.sops.writing.placed import METADATA_KEY, PlacedAlias, PlacedMapping, PlacedScalar, Slot, slots
from reconciler.sops.writing.sealed import Contents, contents, plain_leaves, sealed
from reconciler.sops.writing.wrapping import Services, wrapped

_SKELETON: Final = b'{\n\t"data": ""\n}\n'
"""What the binary store makes of any content: JSON with one value."""
_DOTENV_COMMENT: Final = re.compile(r"^#([^\n]+)$", re.MULTILINE)
_COMMENT_RULES: Final = frozenset({RuleKind.UNENCRYPTED_COMMENT_REGEX, RuleKind.ENCRYPTED_COMMENT_REGEX})


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """How a new file is encrypted."""

    keys: KeyGroups
    """To whom."""
    rule: tuple[RuleKind, str] | None = None
    """Which values; all whose keys do not end in `_unencrypted` where there is none."""
    mac_only_encrypted: bool = False
    services: Services = ()
    """The doors to the key services that recipients other than age need."""


def encrypt(
    content: bytes, encryption: Encryption, *, file: str, last_modified: datetime, stated: Format | None = None
) -> bytes:
    """The SOPS file of a plain text, in the format that is stated or that the name `file` says.

    Raises:
        CannotEdit: it is encrypted already, has a form that cannot be encrypted, or nothing in it would be.
        NoKeyConfigured: the key service of a recipient is not configured.
        UnsupportedSops: the pattern of the rule.
        MalformedSops: the text cannot be read.
        CatwalkError: a key service does not answer, refuses, or may not be asked.
    """
    form = stated or format_by_name(file) or Format.BINARY
    source = FileText.read(_SKELETON if form is Format.BINARY else content, file, form)
    if is_encrypted(content) or any(_has_metadata(source)):
        raise _refusal(source, "the file is encrypted already", "set single values in it instead")
    rule = applied_rule(form, _rule(source, encryption))
    data_key = DataKey.generate()
    held = _binary(content) if form is Format.BINARY else contents(plain_leaves(content, file, form))
    splices = _all_splices(source, rule, data_key, held)
    metadata = NewMetadata(
        groups=wrapped(encryption.keys, data_key, encryption.services, last_modified),
        threshold=encryption.keys.needed,
        rule=encryption.rule,
        mac_only_encrypted=encryption.mac_only_encrypted,
        last_modified=timestamp(last_modified),
    )
    return sealed(with_metadata(source.spliced(splices), metadata.fields()), data_key, held, last_modified)


def _all_splices(source: FileText, rule: Rule, data_key: DataKey, held: Contents) -> list[Splice]:
    splices = list(_splices(source, rule, data_key, held))
    if not splices:
        hint = "write the values under a key that the rule covers, or correct the rule in .sops.yaml"
        raise _refusal(source, "the rule for this file would encrypt none of its values", hint)
    return [*splices, *_comment_splices(source, rule, data_key)]


def _binary(content: bytes) -> Contents:
    return {(0, ("data",)): (ValueType.STR, content)}


def _rule(source: FileText, encryption: Encryption) -> Rule:
    kind, text = encryption.rule or (RuleKind.UNENCRYPTED_SUFFIX, DEFAULT_UNENCRYPTED_SUFFIX)
    if kind in _COMMENT_RULES:
        message = "rules by comment are only read: parsers disagree on which key a comment belongs to"
        raise _refusal(source, message, "use encrypted_regex")
    if not all(encryption.keys.groups) or not encryption.keys.groups:
        hint = "add a recipient to .sops.yaml, to every key group of it"
        raise _refusal(source, "there is nobody to encrypt to", hint)
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
        if source.format is Format.INI and _has_rest(source, slot.node):
            message = "`;` and `#` end a value in INI, and what follows on the line would stay readable"
            raise _refusal(source, message, "put the value between backquotes, or the comment on its own line", slot)
        value_type, plaintext = held.get((slot.document, slot.path), (ValueType.NULL, b""))
        if value_type is not ValueType.NULL and (plaintext or value_type is not ValueType.STR):
            yield replaced(slot.node, data_key.seal(plaintext, value_type, slot.additional_data))


def _has_rest(source: FileText, node: PlacedScalar) -> bool:
    return bool(source.text[node.end : source.line_end(node.end)].strip())


def _comment_splices(source: FileText, rule: Rule, data_key: DataKey) -> Iterator[Splice]:
    """The comments of a dotenv file; their path is that of the document."""
    if source.format is Format.DOTENV and covers(rule, b"", path_matches=False):
        for match in _DOTENV_COMMENT.finditer(source.text):
            text = data_key.seal(match[1].encode("utf-8"), ValueType.COMMENT, ":")
            yield Splice(start=match.start(1), end=match.end(1), text=text)


def _refusal(source: FileText, message: str, hint: str, slot: Slot | None = None) -> CannotEdit:
    location = Location(file=source.file) if slot is None else source.location(slot.node.start)
    return CannotEdit("sops-cannot-edit", message, hint=hint, location=location)
