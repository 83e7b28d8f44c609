"""The `sops` block: who can open the file, which values are encrypted, and the MAC.

It is not authenticated and comes from whoever can push, so it is read as hostile input: every field is checked for type
and size, and what is later shown to people (recipients) is checked for form. Fields that Catwalk does not know are left
alone, as the SOPS tool does.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NoReturn

from reconciler.core.problems import Location
from reconciler.sops.errors import MalformedSops, NotEncrypted, Tampered
from reconciler.sops.files import METADATA_KEY
from reconciler.sops.limits import MAXIMUM_KEY_GROUPS, MAXIMUM_RECIPIENTS, MAXIMUM_WRAPPED_KEY_CHARACTERS
from reconciler.sops.nodes import MappingNode, Node, Scalar, SequenceNode, ValueType
from reconciler.sops.rules import DEFAULT_UNENCRYPTED_SUFFIX, Rule, RuleKind, make_rule
from reconciler.sops.timestamps import rfc_3339

_AGE_RECIPIENT: Final = re.compile(r"(age1[a-z0-9]{10,4000}|ssh-(?:ed25519|rsa) [A-Za-z0-9+/]{40,4000}={0,2})(?: .*)?")
_MAXIMUM_NAME_CHARACTERS: Final = 300
_MAXIMUM_CONTEXT_ENTRIES: Final = 50


class KeyService(StrEnum):
    """Who wraps the data key; the value is the field of the metadata."""

    AGE = "age"
    PGP = "pgp"
    AWS_KMS = "kms"
    GCP_KMS = "gcp_kms"
    VAULT = "hc_vault"
    AZURE_KEY_VAULT = "azure_kv"
    HUAWEI_KMS = "hckms"


_NAME_FIELDS: Final[dict[KeyService, str]] = {
    KeyService.AGE: "recipient",
    KeyService.PGP: "fp",
    KeyService.AWS_KMS: "arn",
    KeyService.GCP_KMS: "resource_id",
    KeyService.VAULT: "key_name",
    KeyService.AZURE_KEY_VAULT: "name",
    KeyService.HUAWEI_KMS: "key_id",
}


_ATTRIBUTES: Final[dict[KeyService, tuple[str, ...]]] = {
    KeyService.AWS_KMS: ("arn", "role", "aws_profile"),
    KeyService.GCP_KMS: ("resource_id",),
    KeyService.VAULT: ("vault_address", "engine_path", "key_name"),
    KeyService.PGP: ("fp",),
    KeyService.AGE: ("recipient",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Somebody who can open the file: public, fit to be shown."""

    service: KeyService
    name: str
    """An age recipient, a PGP fingerprint, an ARN, …; printable ASCII."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """The data key, or a share of it, for one recipient."""

    recipient: Recipient
    wrapped: str = field(repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """What else a key service has to know (`role`, `vault_address`, …), as the file says it: unchecked."""
    context: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """The encryption context of AWS KMS."""


KeyGroup = tuple[WrappedKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The checked metadata of a file."""

    groups: tuple[KeyGroup, ...]
    threshold: int
    """How many groups must be opened; 1 when there is one group."""
    rule: Rule
    mac: bytes = field(repr=False)
    """The encrypted MAC."""
    last_modified: str
    """RFC 3339 without fraction: the additional data of the MAC."""
    mac_only_encrypted: bool

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """Everybody in every group, in the order of the file."""
        return tuple(key.recipient for group in self.groups for key in group)


def read_metadata(document: MappingNode, file: str) -> Metadata:
    """The metadata of the first document of a file.

    Raises:
        NotEncrypted: there is none.
        MalformedSops: a field is missing, of the wrong type, or beyond a limit.
        Tampered: the MAC is missing.
        UnsupportedSops: the rule cannot be applied.
    """
    block = document.find(METADATA_KEY)
    if not isinstance(block, MappingNode):
        hint = "set its values with `catwalk secrets set`, or encrypt it: `sops encrypt --in-place FILE`"
        message = "this file is not encrypted with SOPS: it has no top-level sops mapping"
        raise NotEncrypted("sops-not-encrypted", message, hint=hint, location=Location(file=file))
    return _Reader(file).metadata(block)


class _Reader:
    """Reads fields; knows the file for the place of every refusal."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._recipients = 0

    def metadata(self, block: MappingNode) -> Metadata:
        mac_only_encrypted = self._flag(block, "mac_only_encrypted")
        groups = self._groups(block)
        return Metadata(
            groups=groups,
            threshold=self._threshold(block, len(groups)),
            rule=self._rule(block, mac_only_encrypted=mac_only_encrypted),
            mac=self._mac(block),
            last_modified=self._last_modified(block),
            mac_only_encrypted=mac_only_encrypted,
        )

    def _rule(self, block: MappingNode, *, mac_only_encrypted: bool) -> Rule:
        stated = [(kind, text) for kind in RuleKind if (text := self._text(block, kind.value))]
        if len(stated) > 1:
            names = " and ".join(kind.value for kind, _ in stated)
            self._refuse(f"the metadata states more than one rule: {names}", block)
        kind, text = stated[0] if stated else (RuleKind.UNENCRYPTED_SUFFIX, DEFAULT_UNENCRYPTED_SUFFIX)
        return make_rule(kind, text, mac_only_encrypted=mac_only_encrypted, file=self._file)

    def _mac(self, block: MappingNode) -> bytes:
        mac = self._text(block, "mac")
        if not mac:
            message = "the metadata has no mac, so that nothing shows whether the file was changed"
            hint = "restore the file from a commit that has it; Catwalk has no switch to ignore the MAC"
            raise Tampered("sops-mac-missing", message, hint=hint, location=self._location(block))
        return mac.encode("utf-8")

    def _last_modified(self, block: MappingNode) -> str:
        try:
            return rfc_3339(self._text(block, "lastmodified"), keep_fraction=False)
        except ValueError:
            self._refuse("lastmodified is missing or no RFC 3339 timestamp", block)

    def _groups(self, block: MappingNode) -> tuple[KeyGroup, ...]:
        listed = self._mappings(block, "key_groups")
        if len(listed) > MAXIMUM_KEY_GROUPS:
            self._refuse(f"the metadata has more than {MAXIMUM_KEY_GROUPS} key groups", block)
        groups = tuple(self._group(group) for group in listed or (block,))
        if not all(groups):
            self._refuse("the metadata has no recipients, or a key group without any", block)
        return groups

    def _group(self, group: MappingNode) -> KeyGroup:
        return tuple(
            self._wrapped_key(service, entry)
            for service in KeyService
            for entry in self._mappings(group, service.value)
        )

    def _wrapped_key(self, service: KeyService, entry: MappingNode) -> WrappedKey:
        self._recipients += 1
        if self._recipients > MAXIMUM_RECIPIENTS:
            self._refuse(f"the metadata has more than {MAXIMUM_RECIPIENTS} recipients", entry)
        wrapped = self._text(entry, "enc")
        if not wrapped or len(wrapped) > MAXIMUM_WRAPPED_KEY_CHARACTERS:
            self._refuse(f"an entry under {service} has no data key, or one that is far too long", entry)
        name = self._text(entry, _NAME_FIELDS[service])
        return WrappedKey(
            recipient=self._recipient(service, name, entry),
            wrapped=wrapped,
            attributes={field: self._text(entry, field) for field in _ATTRIBUTES.get(service, ())},
            context=self._context(entry) if service is KeyService.AWS_KMS else {},
        )

    def _context(self, entry: MappingNode) -> Mapping[str, str]:
        node = entry.find("context")
        if node is None or _absent(node):
            return {}
        if not isinstance(node, MappingNode) or len(node.entries) > _MAXIMUM_CONTEXT_ENTRIES:
            self._refuse(f"context is not a mapping of at most {_MAXIMUM_CONTEXT_ENTRIES} texts", node)
        return {name: self._text(node, name) for name, _ in node.entries}

    def _recipient(self, service: KeyService, name: str, entry: MappingNode) -> Recipient:
        if service is KeyService.AGE:
            match = _AGE_RECIPIENT.fullmatch(name)
            if match is None:
                self._refuse("an entry under age has no valid recipient", entry)
            return Recipient(service=service, name=match[1])
        if service is KeyService.PGP:
            name = name.replace(" ", "").upper()
        return Recipient(service=service, name=re.sub(r"[^ -~]", "?", name)[:_MAXIMUM_NAME_CHARACTERS])

    def _threshold(self, block: MappingNode, groups: int) -> int:
        node = block.find("shamir_threshold")
        threshold = 0
        if isinstance(node, Scalar) and node.type is ValueType.INT:
            threshold = int(node.content)
        elif not _absent(node):
            self._refuse("shamir_threshold is not an integer", block)
        if groups == 1:
            return 1
        if threshold != 0 and not 2 <= threshold <= groups:
            self._refuse(f"shamir_threshold must be between 2 and the number of key groups, {groups}", block)
        return threshold or groups

    def _flag(self, block: MappingNode, name: str) -> bool:
        node = block.find(name)
        if _absent(node):
            return False
        if not isinstance(node, Scalar) or node.type is not ValueType.BOOL:
            self._refuse(f"{name} is not true or false", block)
        return node.content == b"True"

    def _text(self, block: MappingNode, name: str) -> str:
        """A text field, empty where it is absent. Other tools write `lastmodified` as an unquoted timestamp."""
        node = block.find(name)
        if node is None or _absent(node):
            return ""
        if not isinstance(node, Scalar) or node.type not in {ValueType.STR, ValueType.TIME}:
            self._refuse(f"{name} is not text", node)
        try:
            return node.content.decode("utf-8")
        except UnicodeDecodeError:
            self._refuse(f"{name} is not UTF-8 text", node)

    def _mappings(self, block: MappingNode, name: str) -> tuple[MappingNode, ...]:
        node = block.find(name)
        if node is None or _absent(node):
            return ()
        if not isinstance(node, SequenceNode):
            self._refuse(f"{name} is not a list", node)
        return tuple(item if isinstance(item, MappingNode) else self._refuse_item(name, item) for item in node.items)

    def _refuse_item(self, name: str, item: Node) -> NoReturn:
        self._refuse(f"an item of {name} is not a mapping", item)

    def _refuse(self, message: str, node: Node) -> NoReturn:
        hint = "the sops block is written by tools only: restore it, or encrypt the file again"
        raise MalformedSops("sops-malformed", message, hint=hint, location=self._location(node)) from None

    def _location(self, node: Node) -> Location:
        return Location(file=self._file, line=node.position.line, column=node.position.column)


def _absent(node: Node | None) -> bool:
    return node is None or (isinstance(node, Scalar) and node.type is ValueType.NULL)
