"""The door to pyrage, the age implementation: identities in, unwrapped keys out.

Everything that can print an identity stays behind this door: pyrage shows an X25519 secret key as its text.
"""

from collections.abc import Sequence
from typing import Protocol, cast

import pyrage  # type: ignore[import-untyped]  # A compiled module that ships no types; `_Library` states what is used.
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key


class UnreadableIdentityError(ValueError):
    """Not an identity that pyrage reads. The message never quotes it."""


class CannotUnwrapError(ValueError):
    """This identity does not open this age file, or the file is damaged."""


class _Opaque(Protocol):
    """An identity of pyrage."""


class _X25519Secret(_Opaque, Protocol):
    def to_public(self) -> object: ...


class _X25519Identity(Protocol):
    def from_str(self, text: str, /) -> _X25519Secret: ...


class _SshIdentity(Protocol):
    def from_buffer(self, buffer: bytes, /) -> _Opaque: ...


class _X25519Module(Protocol):
    Identity: _X25519Identity


class _SshModule(Protocol):
    Identity: _SshIdentity


class _Library(Protocol):
    x25519: _X25519Module
    ssh: _SshModule
    DecryptError: type[Exception]
    IdentityError: type[Exception]

    def decrypt(self, ciphertext: bytes, identities: Sequence[_Opaque], /) -> bytes: ...


_library = cast("_Library", pyrage)


class AgeIdentity:
    """One secret key and its public recipient. Shows the recipient only."""

    __slots__ = ("_identity", "recipient")

    def __init__(self, identity: _Opaque, recipient: str) -> None:
        self._identity = identity
        self.recipient = recipient

    def unwrap(self, wrapped: bytes) -> bytes:
        """The content of an armored age file.

        Raises:
            CannotUnwrapError: not for this identity, or damaged.
        """
        try:
            return _library.decrypt(wrapped, [self._identity])
        except _library.DecryptError as error:
            raise CannotUnwrapError("the age file does not open") from error

    def __repr__(self) -> str:
        return f"AgeIdentity({self.recipient})"


def x25519_identity(text: str) -> AgeIdentity:
    """The identity of an `AGE-SECRET-KEY-1…` line.

    Raises:
        UnreadableIdentityError: it is none.
    """
    try:
        identity = _library.x25519.Identity.from_str(text)
    except _library.IdentityError:
        raise UnreadableIdentityError("not a valid age identity") from None
    return AgeIdentity(identity, str(identity.to_public()))


def ssh_identity(pem: str) -> AgeIdentity:
    """The identity of an OpenSSH private key without passphrase (ed25519 or RSA).

    Raises:
        UnreadableIdentityError: damaged, protected by a passphrase, or of another kind.
    """
    try:
        public = load_ssh_private_key(pem.encode("ascii"), password=None).public_key()
        recipient = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
        return AgeIdentity(_library.ssh.Identity.from_buffer(pem.encode("ascii")), recipient)
    except (ValueError, TypeError, UnsupportedAlgorithm, _library.IdentityError):
        raise UnreadableIdentityError("not an SSH private key that age can use, or protected by a passphrase") from None
