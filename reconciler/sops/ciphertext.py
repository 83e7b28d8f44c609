"""One encrypted value: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`, AES-256-GCM with a nonce of 32 bytes.

Stricter than the SOPS tool where it is lax (text after the bracket, base64 with stray bits): a file that tool wrote
passes, one that was changed by hand does not.
"""

import base64
import binascii
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from reconciler.sops.nodes import ValueType

Wrapped = TypeVar("Wrapped")

DATA_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 32
_TAG_BYTES: Final = 16
_PREFIX: Final = b"ENC[AES256_GCM,"
_FORM: Final = re.compile(
    rb"ENC\[AES256_GCM,data:([^,]+),iv:([^,]+),tag:([^,]+),type:(str|int|float|bool|bytes|time|comment)\]"
)


class NotAnEncryptedValueError(ValueError):
    """The text is not in the form of an encrypted value."""


class DoesNotVerifyError(ValueError):
    """The value, its tag, its place or the key is not the one it was encrypted with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedValue:
    """The parts of an encrypted value, decoded."""

    data: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    tag: bytes = field(repr=False)
    type: ValueType


def looks_encrypted(content: bytes) -> bool:
    """Whether a string begins as encrypted values do."""
    return content.startswith(_PREFIX)


def parse_encrypted_value(content: bytes) -> EncryptedValue:
    """The parts of `content`.

    Raises:
        NotAnEncryptedValueError: wrong form, wrong base64, or wrong lengths.
    """
    match = _FORM.fullmatch(content)
    if match is None:
        raise NotAnEncryptedValueError("not in the form of an encrypted value")
    data, nonce, tag = (_base64(match[number]) for number in (1, 2, 3))
    if len(nonce) != _NONCE_BYTES or len(tag) != _TAG_BYTES:
        raise NotAnEncryptedValueError("nonce or tag of the wrong length")
    return EncryptedValue(data=data, nonce=nonce, tag=tag, type=ValueType(match[4].decode()))


def _base64(text: bytes) -> bytes:
    bare = text.replace(b"\r", b"").replace(b"\n", b"")
    try:
        decoded = base64.b64decode(bare, validate=True)
    except binascii.Error:
        raise NotAnEncryptedValueError("not base64") from None
    if base64.b64encode(decoded) != bare:
        raise NotAnEncryptedValueError("not canonical base64")
    return decoded


class DataKey:
    """The symmetric key of one file, shown nowhere."""

    __slots__ = ("_cipher", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = AESGCM(key)

    @classmethod
    def generate(cls) -> "DataKey":
        """A new key, from the randomness of the operating system."""
        return cls(os.urandom(DATA_KEY_BYTES))

    def wrapped(self, wrap: Callable[[bytes], Wrapped]) -> Wrapped:
        """What `wrap` makes of the key: the one way in which it leaves this object, to be encrypted to somebody."""
        return wrap(self._key)

    def seal(self, plaintext: bytes, value_type: ValueType, additional_data: str) -> str:
        """The encrypted value in its written form. The nonce is random, so that no two are alike."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, plaintext, additional_data.encode("utf-8"))
        data, initial, tag = (
            base64.b64encode(part).decode("ascii") for part in (sealed[:-_TAG_BYTES], nonce, sealed[-_TAG_BYTES:])
        )
        return f"ENC[AES256_GCM,data:{data},iv:{initial},tag:{tag},type:{value_type}]"

    def open(self, value: EncryptedValue, additional_data: str) -> bytes:
        """The plaintext.

        Raises:
            DoesNotVerifyError: the value was changed or stands in another place.
        """
        try:
            return self._cipher.decrypt(value.nonce, value.data + value.tag, additional_data.encode("utf-8"))
        except InvalidTag:
            raise DoesNotVerifyError("does not verify") from None

    def __repr__(self) -> str:
        return "DataKey(********)"
