"""Opening a SOPS file: decrypt every value, verify the MAC, and only then hand anything out.

There is no way to skip the MAC. What it does not cover, by the format, is names of unencrypted keys, types, and empty
values, and with `mac_only_encrypted` everything in clear: never take a security decision from those.
"""

import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NoReturn

from reconciler.core.problems import Location
from reconciler.core.secret import SecretValue
from reconciler.sops.ciphertext import DataKey, DoesNotVerifyError, NotAnEncryptedValueError, parse_encrypted_value
from reconciler.sops.comments import EncryptedComment, open_comments
from reconciler.sops.errors import MalformedSops, Tampered, UnusableSecret
from reconciler.sops.files import METADATA_KEY, ParsedFile, is_encrypted, read_file
from reconciler.sops.formats import Format
from reconciler.sops.identities import Identities
from reconciler.sops.keys import unwrap_data_key
from reconciler.sops.leaves import Leaf, LeafWalker, Path, shown_path
from reconciler.sops.metadata import Metadata, read_metadata
from reconciler.sops.nodes import MappingNode, Node, Scalar, ValueType
from reconciler.sops.plaintext import plaintext
from reconciler.sops.rules import Rule, SuffixRule

__all__ = [
    "Decrypted",
    "Document",
    "Format",
    "applied_rule",
    "decrypt",
    "decrypt_document",
    "is_encrypted",
    "mac_digest",
]

# Prefixed to the hash, so that a MAC over encrypted values alone never passes for one over all values.
_ENCRYPTED_ONLY_PREFIX: Final = hashlib.sha256(b"sops").digest()
_EVERYTHING: Final = SuffixRule(suffix="", encrypts_matches=True)
_COPIED_FIELDS: Final = ("mac", "lastmodified")
_NO_VALUES: Final = frozenset({ValueType.NULL, ValueType.EMPTY_MAP})


class Document:
    """A file that was opened and verified. Shows no values."""

    __slots__ = (
        "_by_prefix",
        "_comments",
        "_file",
        "_leaves",
        "_list_comments",
        "_parsed",
        "last_modified",
        "recipients",
    )

    def __init__(self, opened: "_Opened", metadata: Metadata, file: str) -> None:
        self._parsed = opened.parsed
        self._leaves = opened.leaves
        self._list_comments = opened.list_comments
        self._comments = opened.comments
        self._by_prefix: Mapping[tuple[int, Path], tuple[Leaf, ...]] | None = None
        self._file = file
        self.recipients = metadata.recipients
        self.last_modified = metadata.last_modified

    @property
    def format(self) -> Format:
        """The format that the file was read in."""
        return self._parsed.format

    def leaves(self) -> tuple[Leaf, ...]:
        """Every value of every document, in document order."""
        return self._leaves

    def plaintext(self) -> bytes:
        """The decrypted text in the format of the file, with its comments and its layout."""
        return plaintext(self._parsed, (*self._leaves, *self._list_comments), self._comments)

    def values_under(
        self, path: tuple[str, ...], *, document: int = 0, only: Collection[str] | None = None
    ) -> Mapping[str, SecretValue]:
        """The secrets directly under the mapping at `path`, by key; empty where there is no such mapping.

        `only` names the keys to look at; what stands under others, which may be nothing, is not judged.

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
            if only is not None and leaf.path != path and leaf.path[len(path)] not in only:
                continue
            secret = self._secret(leaf, depth=len(path) + 1)
            values[str(leaf.path[-1])] = secret
        return MappingProxyType(values)

    def __repr__(self) -> str:
        return f"Document({self._file}, {len(self._leaves)} values)"

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


Decrypted = Document


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    parsed: ParsedFile
    leaves: tuple[Leaf, ...]
    list_comments: tuple[Leaf, ...]
    comments: tuple[EncryptedComment, ...]


def decrypt(text: bytes, identities: Identities, *, file: str) -> Document:
    """Opens the SOPS file `text`, whose name `file` (or else its content) decides the format and stands in errors.

    Raises:
        CatwalkError: as `decrypt_document` does.
    """
    return decrypt_document(text, format=None, identities=identities, file=file)


def decrypt_document(
    data: bytes,
    *,
    format: Format | None,  # noqa: A002 - the name that the command line gives it too.
    identities: Identities,
    file: str = "standard input",
) -> Document:
    """Opens a SOPS file in the format stated, or where that is `None` in the format of its name or content.

    Raises:
        NotEncrypted: no SOPS metadata.
        MergeDamage: git conflict markers.
        MalformedSops: the file or its metadata is not in the format, or beyond a limit.
        UnsupportedSops: a key service or rule that Catwalk does not read.
        NoKeyConfigured: nothing is configured that could open it.
        KeyMismatch: no identity opens the data key.
        KeyServiceUnavailable, KeyServiceDenied, KeyServiceNotAllowed: a key service could not be used.
        Tampered: a value or the MAC does not verify or is not encrypted, or there is no MAC.
    """
    parsed = read_file(data, file, format)
    documents = parsed.documents
    metadata = read_metadata(documents[0] if documents else MappingNode(entries=()), file)
    data_key = unwrap_data_key(metadata, identities, file)
    rule = applied_rule(parsed.format, metadata.rule)
    walker = LeafWalker(data_key, rule, mac_only_encrypted=metadata.mac_only_encrypted, file=file)
    leaves = tuple(walker.leaves(tuple(document.without(METADATA_KEY) for document in documents)))
    _verify_mac(leaves, metadata, data_key, file)
    _compare_copies(documents, file)
    if parsed.format is Format.BINARY:
        _check_binary(leaves, file)
    comments = open_comments(parsed, data_key, file)
    opened = _Opened(parsed=parsed, leaves=leaves, list_comments=tuple(walker.list_comments), comments=comments)
    return Document(opened, metadata, file)


def applied_rule(form: Format, stated: Rule) -> Rule:
    """The rule that holds in a file: the binary store ignores what its metadata states, its one value is encrypted."""
    return _EVERYTHING if form is Format.BINARY else stated


def _compare_copies(documents: tuple[MappingNode, ...], file: str) -> None:
    """SOPS writes the metadata into every document and reads the first; a copy that differs was edited or merged."""
    first = documents[0].find(METADATA_KEY)
    for document in documents[1:]:
        copy = document.find(METADATA_KEY)
        if copy is not None and _marks(copy) != _marks(first):
            message = "the metadata of this document differs from that of the first"
            hint = "restore the file from a commit that you trust; if git merged it, take the whole file from one side"
            location = Location(file=file, line=copy.position.line, column=copy.position.column)
            raise Tampered("sops-mac-mismatch", message, hint=hint, location=location)


def _marks(block: Node | None) -> tuple[bytes, ...]:
    fields = [block.find(name) for name in _COPIED_FIELDS] if isinstance(block, MappingNode) else []
    return tuple(field.content for field in fields if isinstance(field, Scalar))


def _check_binary(leaves: tuple[Leaf, ...], file: str) -> None:
    if [leaf.path for leaf in leaves] != [("data",)]:
        message = "a binary SOPS file holds one value, data, and this one holds something else"
        hint = "read it in another format: --input-type json"
        raise MalformedSops("sops-malformed", message, hint=hint, location=Location(file=file))


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
