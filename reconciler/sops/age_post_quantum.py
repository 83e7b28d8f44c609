"""Post-quantum age identities: `AGE-SECRET-KEY-PQ-1…`, recipients `age1pq1…`, which pyrage does not have yet.

One stanza type, `mlkem768x25519`: the file key is sealed with HPKE (ML-KEM-768 with X25519, HKDF-SHA256,
ChaCha20-Poly1305; C2SP age specification). Reads and writes age files of one chunk, because a wrapped data key has 32
bytes. The primitives are those of `cryptography`; nothing here is secret-dependent but calls into it.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field
from textwrap import wrap as in_lines
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from reconciler.sops.age import CannotUnwrapError, UnreadableIdentityError
from reconciler.sops.bech32 import NotBech32Error, decode, encode

IDENTITY_PREFIX: Final = "AGE-SECRET-KEY-PQ-"
RECIPIENT_PREFIX: Final = "age1pq"
_STANZA: Final = "mlkem768x25519"
_INFO: Final = b"age-encryption.org/mlkem768x25519"
_SEED_BYTES: Final = 32
_ML_KEM_SEED_BYTES: Final = 64
_ML_KEM_PUBLIC_BYTES: Final = 1184
_ENCAPSULATED_BYTES: Final = 1120
_PUBLIC_BYTES: Final = 1216
_EXPANDED_BYTES: Final = 96
_FILE_KEY_BYTES: Final = 16
_PAYLOAD_NONCE_BYTES: Final = 16
_LAST_CHUNK: Final = bytes(11) + b"\x01"
_ARMOR: Final = re.compile(
    r"\s*-----BEGIN AGE ENCRYPTED FILE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END AGE ENCRYPTED FILE-----\s*"
)
_HEADER: Final = re.compile(
    rb"(age-encryption\.org/v1\n(?:-> [^\n]+\n(?:[A-Za-z0-9+/]*\n)+?)+---) ([^\n]+)\n",
)
_STANZAS: Final = re.compile(rb"-> ([^\n]+)\n((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n)")


class PostQuantumIdentity:
    """One secret key and its public recipient. Shows the recipient only."""

    __slots__ = ("_key", "recipient")

    def __init__(self, key: MLKEM768X25519PrivateKey, recipient: str) -> None:
        self._key = key
        self.recipient = recipient

    def unwrap(self, wrapped: bytes) -> bytes:
        """The content of an armored age file.

        Raises:
            CannotUnwrapError: not for this identity, or damaged.
        """
        try:
            file = _parsed(wrapped)
            file_key = self._file_key(file)
            _check_header(file, file_key)
            return _payload(file, file_key)
        except (ValueError, InvalidTag) as error:
            raise CannotUnwrapError("the age file does not open") from error

    def _file_key(self, file: "_AgeFile") -> bytes:
        for sealed in file.sealed:
            try:
                file_key = _suite().decrypt(sealed, self._key, _INFO)
            except InvalidTag:
                continue
            if len(file_key) == _FILE_KEY_BYTES:
                return file_key
        raise ValueError("no stanza is for this identity")

    def __repr__(self) -> str:
        return f"PostQuantumIdentity({self.recipient[:20]}…)"


def post_quantum_identity(text: str) -> PostQuantumIdentity:
    """The identity of an `AGE-SECRET-KEY-PQ-1…` line.

    Raises:
        UnreadableIdentityError: it is none, or the OpenSSL that `cryptography` was built with has no ML-KEM.
    """
    try:
        seed = decode(text, IDENTITY_PREFIX)
        if len(seed) != _SEED_BYTES:
            raise UnreadableIdentityError("not a valid age identity")
        return _identity(hashlib.shake_256(seed).digest(_EXPANDED_BYTES))
    except NotBech32Error:
        raise UnreadableIdentityError("not a valid age identity") from None
    except UnsupportedAlgorithm:
        raise UnreadableIdentityError("a post-quantum identity, which this build of OpenSSL cannot use") from None


def _identity(expanded: bytes) -> PostQuantumIdentity:
    ml_kem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_ML_KEM_SEED_BYTES])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[_ML_KEM_SEED_BYTES:])
    public = ml_kem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return PostQuantumIdentity(MLKEM768X25519PrivateKey(ml_kem, x25519), encode(RECIPIENT_PREFIX, public))


class PostQuantumRecipient:
    """The public key of an `age1pq1…` recipient."""

    __slots__ = ("_key",)

    def __init__(self, text: str) -> None:
        """Reads the recipient.

        Raises:
            ValueError: it is none, or the OpenSSL that `cryptography` was built with has no ML-KEM.
        """
        public = decode(text, RECIPIENT_PREFIX)
        if len(public) != _PUBLIC_BYTES:
            raise ValueError("not a post-quantum recipient")
        try:
            ml_kem = MLKEM768PublicKey.from_public_bytes(public[:_ML_KEM_PUBLIC_BYTES])
            x25519 = X25519PublicKey.from_public_bytes(public[_ML_KEM_PUBLIC_BYTES:])
            self._key = MLKEM768X25519PublicKey(ml_kem, x25519)
        except UnsupportedAlgorithm:
            raise ValueError("a post-quantum recipient, which this build of OpenSSL cannot use") from None

    def wrap(self, secret: bytes) -> str:
        """An armored age file with `secret`, which is short; ends with a line break."""
        file_key = os.urandom(_FILE_KEY_BYTES)
        sealed = _suite().encrypt(file_key, self._key, _INFO)
        argument, body = _unpadded_text(sealed[:_ENCAPSULATED_BYTES]), _unpadded_text(sealed[_ENCAPSULATED_BYTES:])
        header = f"age-encryption.org/v1\n-> {_STANZA} {argument}\n{body}\n---".encode("ascii")
        mac = hmac.digest(_derived(file_key, salt=b"", info=b"header"), header, "sha256")
        nonce = os.urandom(_PAYLOAD_NONCE_BYTES)
        cipher = ChaCha20Poly1305(_derived(file_key, salt=nonce, info=b"payload"))
        payload = nonce + cipher.encrypt(_LAST_CHUNK, secret, None)
        return _armored(header + b" " + _unpadded_text(mac).encode("ascii") + b"\n" + payload)


def _unpadded_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii").rstrip("=")


def _armored(binary: bytes) -> str:
    lines = in_lines(base64.b64encode(binary).decode("ascii"), 64)
    return "\n".join(["-----BEGIN AGE ENCRYPTED FILE-----", *lines, "-----END AGE ENCRYPTED FILE-----", ""])


def _suite() -> Suite:
    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


@dataclass(frozen=True, slots=True, kw_only=True)
class _AgeFile:
    authenticated: bytes = field(repr=False)
    """The header up to its MAC."""
    mac: bytes = field(repr=False)
    sealed: tuple[bytes, ...] = field(repr=False)
    """Encapsulated key and sealed file key, one for every stanza of our type."""
    payload: bytes = field(repr=False)


def _parsed(wrapped: bytes) -> _AgeFile:
    armor = _ARMOR.fullmatch(wrapped.decode("ascii", "replace"))
    if armor is None:
        raise ValueError("no armored age file")
    binary = base64.b64decode(armor[1].replace("\r", "").replace("\n", ""), validate=True)
    header = _HEADER.match(binary)
    if header is None:
        raise ValueError("no age header")
    sealed = [_sealed(arguments, body) for arguments, body in _STANZAS.findall(header[1])]
    return _AgeFile(
        authenticated=header[1],
        mac=_unpadded(header[2]),
        sealed=tuple(each for each in sealed if each),
        payload=binary[header.end() :],
    )


def _sealed(arguments: bytes, body: bytes) -> bytes:
    """Empty for a stanza of another type."""
    kind, *rest = arguments.split(b" ")
    if kind != _STANZA.encode() or len(rest) != 1:
        return b""
    return _unpadded(rest[0]) + _unpadded(body.replace(b"\n", b""))


def _unpadded(text: bytes) -> bytes:
    try:
        decoded = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if base64.b64encode(decoded).rstrip(b"=") != text:
        raise ValueError("not canonical base64")
    return decoded


def _check_header(file: _AgeFile, file_key: bytes) -> None:
    expected = hmac.digest(_derived(file_key, salt=b"", info=b"header"), file.authenticated, "sha256")
    if not hmac.compare_digest(expected, file.mac):
        raise ValueError("the header does not verify")


def _payload(file: _AgeFile, file_key: bytes) -> bytes:
    nonce, chunk = file.payload[:_PAYLOAD_NONCE_BYTES], file.payload[_PAYLOAD_NONCE_BYTES:]
    cipher = ChaCha20Poly1305(_derived(file_key, salt=nonce, info=b"payload"))
    return cipher.decrypt(_LAST_CHUNK, chunk, None)


def _derived(key: bytes, *, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)
