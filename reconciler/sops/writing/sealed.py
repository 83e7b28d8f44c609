"""Closing a changed file: the MAC over what it now holds, and the proof that it reads back as meant.

Both use the reader's own walk, so that a text that this room would not open is never given out.
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from reconciler.core.problems import Location
from reconciler.errors import InternalFault
from reconciler.sops.ciphertext import DataKey, DoesNotVerifyError, NotAnEncryptedValueError, parse_encrypted_value
from reconciler.sops.document import mac_digest
from reconciler.sops.errors import Tampered
from reconciler.sops.files import METADATA_KEY, read_documents
from reconciler.sops.leaves import Leaf, LeafWalker, Path
from reconciler.sops.metadata import Metadata, read_metadata
from reconciler.sops.nodes import MappingNode, ValueType
from reconciler.sops.rules import AppearanceRule, Rule
from reconciler.sops.writing.file_text import FileText
from reconciler.sops.writing.metadata_text import stamped

_NOTHING: Final = frozenset({ValueType.NULL, ValueType.EMPTY_MAP, ValueType.EMPTY_LIST})

Contents = Mapping[tuple[int, Path], tuple[ValueType, bytes]]
"""What a file holds: type and bytes by document and path, without null and empty mappings and lists."""


def metadata_of(content: bytes, file: str) -> Metadata:
    """The metadata of a file, for which no key is needed.

    Raises:
        NotEncrypted: there is none.
        CatwalkError: as `read_metadata` and `read_documents` raise.
    """
    documents = read_documents(content, file)
    return read_metadata(documents[0] if documents else MappingNode(entries=()), file)


def plain_leaves(content: bytes, file: str) -> tuple[Leaf, ...]:
    """The values of a text in clear, typed as the format types them; those that look encrypted are refused."""
    return _leaves(content, DataKey.generate(), AppearanceRule(), file)


def verified_leaves(content: bytes, data_key: DataKey, file: str) -> tuple[Leaf, ...]:
    """The values of a file whose data key is known, if everything verifies.

    Raises:
        Tampered: a value or the MAC does not.
    """
    metadata = metadata_of(content, file)
    leaves = _leaves(content, data_key, metadata.rule, file, mac_only_encrypted=metadata.mac_only_encrypted)
    if not hmac.compare_digest(_stored_mac(metadata, data_key), _digest(leaves, metadata).encode("ascii")):
        hint = "restore the file from a commit that you trust"
        raise Tampered("sops-mac-mismatch", "the MAC does not match", hint=hint, location=Location(file=file))
    return leaves


def unsealed_leaves(content: bytes, data_key: DataKey, file: str) -> tuple[Leaf, ...]:
    """The values of a changed file whose MAC is not made yet; each of them verifies by itself."""
    metadata = metadata_of(content, file)
    return _leaves(content, data_key, metadata.rule, file, mac_only_encrypted=metadata.mac_only_encrypted)


def contents(leaves: tuple[Leaf, ...]) -> Contents:
    """The leaves as something to compare."""
    return {(leaf.document, leaf.path): (leaf.type, leaf.plaintext) for leaf in leaves if leaf.type not in _NOTHING}


def sealed(source: FileText, data_key: DataKey, expected: Contents, last_modified: datetime) -> bytes:
    """The file with a new MAC and time; `last_modified` must be aware.

    Raises:
        InternalFault: it does not hold what was expected: the change would have damaged something, and is not made.
        CatwalkError: what it holds cannot be read.
    """
    stamp = timestamp(last_modified)
    content = source.to_bytes()
    metadata = metadata_of(content, source.file)
    leaves = _leaves(content, data_key, metadata.rule, source.file, mac_only_encrypted=metadata.mac_only_encrypted)
    mac = data_key.seal(_digest(leaves, metadata).encode("ascii"), ValueType.STR, stamp)
    result = stamped(source, mac=mac, last_modified=stamp).to_bytes()
    if contents(verified_leaves(result, data_key, source.file)) != expected:
        message = "this change would have damaged other values of the file, so it was not made"
        raise InternalFault("sops-edit-failed", message, location=Location(file=source.file))
    return result


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC without a fraction, as `lastmodified` wants it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _leaves(
    content: bytes, data_key: DataKey, rule: Rule, file: str, *, mac_only_encrypted: bool = False
) -> tuple[Leaf, ...]:
    walker = LeafWalker(data_key, rule, mac_only_encrypted=mac_only_encrypted, file=file)
    documents = read_documents(content, file)
    return tuple(walker.leaves(tuple(document.without(METADATA_KEY) for document in documents)))


def _digest(leaves: tuple[Leaf, ...], metadata: Metadata) -> str:
    covered = (leaf.plaintext for leaf in leaves if leaf.in_mac)
    return mac_digest(covered, mac_only_encrypted=metadata.mac_only_encrypted)


def _stored_mac(metadata: Metadata, data_key: DataKey) -> bytes:
    try:
        return data_key.open(parse_encrypted_value(metadata.mac), metadata.last_modified)
    except (NotAnEncryptedValueError, DoesNotVerifyError):
        return b""
