"""Closing a changed file: the MAC over what it now holds, and the proof that it reads back as meant.

Both use the reader's own walk, so that a text that this room would not open is never given out.
"""

import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from reconciler.core.problems import Location
from reconciler.errors import InternalFault
from reconciler.sops.ciphertext import DataKey, DoesNotVerifyError, NotAnEncryptedValueError, parse_encrypted_value
from reconciler.sops.document import applied_rule, mac_digest
from reconciler.sops.errors import Tampered
from reconciler.sops.files import METADATA_KEY, ParsedFile, read_file
from reconciler.sops.formats import Format
from reconciler.sops.leaves import Leaf, LeafWalker, Path
from reconciler.sops.metadata import Metadata, read_metadata
from reconciler.sops.nodes import MappingNode, ValueType
from reconciler.sops.rules import AppearanceRule
from reconciler.sops.timestamps import timestamp
from reconciler.sops.writing.file_text import FileText
from reconciler.sops.writing.metadata_text import stamped

_NOTHING: Final = frozenset({ValueType.NULL, ValueType.EMPTY_MAP, ValueType.EMPTY_LIST})

Contents = Mapping[tuple[int, Path], tuple[ValueType, bytes]]
"""What a file holds: type and bytes by document and path, without null and empty mappings and lists."""


def metadata_of(content: bytes, file: str, stated: Format | None = None) -> Metadata:
    """The metadata of a file, for which no key is needed.

    Raises:
        NotEncrypted: there is none.
        CatwalkError: as `read_metadata` and `read_file` raise.
    """
    return _metadata(read_file(content, file, stated), file)


def plain_leaves(content: bytes, file: str, stated: Format | None = None) -> tuple[Leaf, ...]:
    """The values of a text in clear, typed as the format types them; those that look encrypted are refused."""
    walker = LeafWalker(DataKey.generate(), AppearanceRule(), mac_only_encrypted=False, file=file)
    return _walked(walker, read_file(content, file, stated))


def verified_leaves(content: bytes, data_key: DataKey, file: str, stated: Format | None = None) -> tuple[Leaf, ...]:
    """The values of a file whose data key is known, if everything verifies.

    Raises:
        Tampered: a value or the MAC does not.
    """
    parsed = read_file(content, file, stated)
    metadata = _metadata(parsed, file)
    leaves = _leaves(parsed, metadata, data_key, file)
    if not hmac.compare_digest(_stored_mac(metadata, data_key), _digest(leaves, metadata).encode("ascii")):
        hint = "restore the file from a commit that you trust"
        raise Tampered("sops-mac-mismatch", "the MAC does not match", hint=hint, location=Location(file=file))
    return leaves


def unsealed_leaves(source: FileText, data_key: DataKey) -> tuple[Leaf, ...]:
    """The values of a changed file whose MAC is not made yet; each of them verifies by itself."""
    parsed = read_file(source.to_bytes(), source.file, source.format)
    return _leaves(parsed, _metadata(parsed, source.file), data_key, source.file)


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
    parsed = read_file(source.to_bytes(), source.file, source.format)
    metadata = _metadata(parsed, source.file)
    leaves = _leaves(parsed, metadata, data_key, source.file)
    mac = data_key.seal(_digest(leaves, metadata).encode("ascii"), ValueType.STR, stamp)
    result = stamped(source, mac=mac, last_modified=stamp).to_bytes()
    if contents(verified_leaves(result, data_key, source.file, source.format)) != expected:
        message = "this change would have damaged other values of the file, so it was not made"
        raise InternalFault("sops-edit-failed", message, location=Location(file=source.file))
    return result


def _metadata(parsed: ParsedFile, file: str) -> Metadata:
    return read_metadata(parsed.documents[0] if parsed.documents else MappingNode(entries=()), file)


def _leaves(parsed: ParsedFile, metadata: Metadata, data_key: DataKey, file: str) -> tuple[Leaf, ...]:
    rule = applied_rule(parsed.format, metadata.rule)
    walker = LeafWalker(data_key, rule, mac_only_encrypted=metadata.mac_only_encrypted, file=file)
    return _walked(walker, parsed)


def _walked(walker: LeafWalker, parsed: ParsedFile) -> tuple[Leaf, ...]:
    return tuple(walker.leaves(tuple(document.without(METADATA_KEY) for document in parsed.documents)))


def _digest(leaves: tuple[Leaf, ...], metadata: Metadata) -> str:
    covered = (leaf.plaintext for leaf in leaves if leaf.in_mac)
    return mac_digest(covered, mac_only_encrypted=metadata.mac_only_encrypted)


def _stored_mac(metadata: Metadata, data_key: DataKey) -> bytes:
    try:
        return data_key.open(parse_encrypted_value(metadata.mac), metadata.last_modified)
    except (NotAnEncryptedValueError, DoesNotVerifyError):
        return b""
