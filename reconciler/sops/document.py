"""Opening a SOPS file: decrypt every value, verify the MAC, and only then hand anything out.

There is no way to skip the MAC. What it does not cover, by the format, is names of unencrypted keys, types, and empty
values, and with `mac_only_encrypted` everything in clear: never take a security decision from those.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NoReturn

from reconciler.core.problems import Location
from reconciler.core.secret import SecretValue
from reconciler.sops.ciphertext import DataKey, DoesNotVerifyError, NotAnEncryptedValueError, parse_encrypted_value
from reconciler.sops.errors import Tampered, UnusableSecret
from reconciler.sops.files import METADATA_KEY, is_encrypted, read_documents
from reconciler.sops.identities import Identities
from reconciler.sops.keys import unwrap_data_key
from reconciler.sops.leaves import Leaf, LeafWalker, Path, shown_path
from reconciler.sops.metadata import Metadata, Recipient, read_metadata
from reconciler.sops.nodes import MappingNode, ValueType

__all__ = ["Decrypted", "decrypt", "is_encrypted", "mac_digest"]

# Prefixed to the hash, so that a MAC over encrypted values alone never passes for one over all values.
_ENCRYPTED_ONLY_PREFIX: Final = hashlib.sha256(b"sops").digest()
_NO_VALUES: Final = frozenset({ValueType.NULL, ValueType.EMPTY_MAP})


class Decrypted:
    """A file that was opened and verified. Shows no values."""

    __slots__ = ("_by_prefix", "_file", "_leaves", "recipients")

    def __init__(self, leaves: tuple[Leaf, ...], recipients: tuple[Recipient, ...], file: str) -> None:
        self._leaves = leaves
        self._by_prefix: Mapping[tuple[int, Path], tuple[Leaf, ...]] | None = None
        self._file = file
        self.recipients = recipients

    def leaves(self) -> tuple[Leaf, ...]:
        """Every value of every document, in document order."""
        return self._leaves

    def values_under(self, path: tuple[str, ...], *, document: int = 0) -> Mapping[str, SecretValue]:
        """The secrets directly under the mapping at `path`, by key; empty where there is no such mapping.

        Only encrypted strings pass. Other types are refused rather than turned into text, because SOPS does not keep
        the spelling: an unquoted `1.10` has become the number 1.1, an unquoted `0123` the number 83.

        Raises:
            UnusableSecret: a value is in plain text, empty, no string, or nested.
        """
        values: dict[str, SecretValue] = {}
        if self._by_prefix is None:
            self._by_prefix = _index(self._leaves)
        for leaf in self._by_prefix.get((document, path), ()):
            if leaf.path == path and leaf.type in _NO_VALUES:
                continue
            secret = self._secret(leaf, depth=len(path) + 1)
            values[str(leaf.path[-1])] = secret
        return MappingProxyType(values)

    def __repr__(self) -> str:
        return f"Decrypted({self._file}, {len(self._leaves)} values)"

    def _secret(self, leaf: Leaf, *, depth: int) -> SecretValue:
        if len(leaf.path) != depth or not isinstance(leaf.path[-1], str):
            self._refuse(leaf, "is nested or a list", "a secret is one string directly under its name")
        if leaf.type is not ValueType.STR and leaf.was_encrypted:
            self._refuse(leaf, f"is of type {leaf.type}, not a string", "quote the value and encrypt it again")
        if not leaf.was_encrypted and leaf.plaintext:
            hint = "encrypt it, and replace the secret at its source: it stands in git in plain text"
            self._refuse(leaf, "is not encrypted", hint)
        if not leaf.plaintext:
            self._refuse(leaf, "has no value", "SOPS does not protect empty values; remove the key or set a value")
        return SecretValue(self._text(leaf))

    def _text(self, leaf: Leaf) -> str:
        try:
            return leaf.plaintext.decode("utf-8")
        except UnicodeDecodeError:
            self._refuse(leaf, "is not UTF-8 text", "encode binary values, for example as base64")

    def _refuse(self, leaf: Leaf, message: str, hint: str) -> NoReturn:
        location = Location(file=self._file, line=leaf.line, column=leaf.column)
        # Chained to nothing: a decoding error carries the plaintext.
        raise UnusableSecret(
            "sops-unusable-secret", f"{shown_path(leaf.path)} {message}", hint=hint, location=location
        ) from None


def decrypt(text: bytes, identities: Identities, *, file: str) -> Decrypted:
    """Opens the SOPS file `text`, whose name `file` decides the format (.yaml, .yml, .json) and stands in errors.

    Raises:
        NotEncrypted: no SOPS metadata.
        MergeDamage: git conflict markers.
        MalformedSops: the file or its metadata is not in the format, or beyond a limit.
        UnsupportedSops: a format, key service or rule that Catwalk does not read.
        NoKeyConfigured: `identities` is empty.
        KeyMismatch: no identity opens the data key.
        Tampered: a value or the MAC does not verify or is not encrypted, or there is no MAC.
    """
    documents = read_documents(text, file)
    metadata = read_metadata(documents[0] if documents else MappingNode(entries=()), file)
    data_key = unwrap_data_key(metadata, identities, file)
    walker = LeafWalker(data_key, metadata.rule, mac_only_encrypted=metadata.mac_only_encrypted, file=file)
    leaves = tuple(walker.leaves(tuple(document.without(METADATA_KEY) for document in documents)))
    _verify_mac(leaves, metadata, data_key, file)
    return Decrypted(leaves, metadata.recipients, file)


def mac_digest(contents: Iterable[bytes], *, mac_only_encrypted: bool) -> str:
    """The MAC over the byte forms of the values that it covers, in document order: SHA-512, upper case hexadecimal."""
    digest = hashlib.sha512(_ENCRYPTED_ONLY_PREFIX if mac_only_encrypted else b"")
    for content in contents:
        digest.update(content)
    return digest.hexdigest().upper()


def _verify_mac(leaves: tuple[Leaf, ...], metadata: Metadata, data_key: DataKey, file: str) -> None:
    expected = mac_digest(
        (leaf.plaintext for leaf in leaves if leaf.in_mac), mac_only_encrypted=metadata.mac_only_encrypted
    )
    if not hmac.compare_digest(_stored_mac(metadata, data_key, file), expected.encode("ascii")):
        message = "the MAC does not match: values were changed, added, removed or reordered without SOPS"
        hint = (
            "restore the file from a commit that you trust; if git merged it, take the whole file from one side and "
            "make the other change again"
        )
        raise Tampered("sops-mac-mismatch", message, hint=hint, location=Location(file=file))


def _stored_mac(metadata: Metadata, data_key: DataKey, file: str) -> bytes:
    try:
        return data_key.open(parse_encrypted_value(metadata.mac), metadata.last_modified)
    except (NotAnEncryptedValueError, DoesNotVerifyError) as error:
        message = "the MAC itself does not verify: mac or lastmodified was changed, or comes from another file"
        hint = "restore the file from a commit that you trust"
        raise Tampered("sops-mac-mismatch", message, hint=hint, location=Location(file=file)) from error


def _index(leaves: tuple[Leaf, ...]) -> Mapping[tuple[int, Path], tuple[Leaf, ...]]:
    by_prefix: dict[tuple[int, Path], list[Leaf]] = {}
    for leaf in leaves:
        for length in range(len(leaf.path) + 1):
            by_prefix.setdefault((leaf.document, leaf.path[:length]), []).append(leaf)
    return {prefix: tuple(found) for prefix, found in by_prefix.items()}
