"""Encrypting a data key to an age recipient: the writing half of the door to pyrage, and of post-quantum keys.

Public keys are all that it takes. Each recipient gets an age file of its own, as the format wants it.
"""

import re
from typing import Final, Protocol, cast

import pyrage  # type: ignore[import-untyped]  # A compiled module that ships no types; `_Library` states what is used.

from reconciler.sops.age_post_quantum import PostQuantumRecipient
from reconciler.sops.writing.errors import InvalidRecipient

_X25519: Final = re.compile(r"age1[a-z0-9]{58}")
_POST_QUANTUM: Final = re.compile(r"age1pq1[a-z0-9]{1900,2100}")
_SSH: Final = re.compile(r"(ssh-(?:ed25519|rsa) [A-Za-z0-9+/]{40,4000}={0,2})(?: .*)?")
_SECRET: Final = re.compile(r"AGE-SECRET-KEY|PRIVATE KEY", re.IGNORECASE)


class _Recipient(Protocol):
    """A recipient of pyrage."""


class _RecipientType(Protocol):
    def from_str(self, text: str, /) -> _Recipient: ...


class _Secret(Protocol):
    def to_public(self) -> object: ...


class _SecretType(Protocol):
    def generate(self) -> _Secret: ...


class _X25519Module(Protocol):
    Recipient: _RecipientType
    Identity: _SecretType


class _SshModule(Protocol):
    Recipient: _RecipientType


class _Library(Protocol):
    x25519: _X25519Module
    ssh: _SshModule
    RecipientError: type[Exception]

    def encrypt(self, plaintext: bytes, recipients: list[_Recipient], *, armored: bool) -> bytes: ...


_library = cast("_Library", pyrage)


def checked_recipient(text: str) -> str:
    """The recipient as it stands in files: an SSH key loses its comment.

    Raises:
        InvalidRecipient: it is no age recipient that Catwalk can encrypt to.
    """
    name = text.strip()
    if ssh := _SSH.fullmatch(name):
        name = ssh[1]
    if _POST_QUANTUM.fullmatch(name):
        _post_quantum(name)
    else:
        _recipient(name)
    return name


def wrap(recipient: str, secret: bytes) -> str:
    """An armored age file with `secret` for one recipient; ends with a line break.

    Raises:
        InvalidRecipient: as for `checked_recipient`.
    """
    if _POST_QUANTUM.fullmatch(recipient):
        return _post_quantum(recipient).wrap(secret)
    armored = _library.encrypt(secret, [_recipient(recipient)], armored=True)
    return armored.decode("ascii").replace("\r\n", "\n").rstrip("\n") + "\n"


def generate_identity() -> tuple[str, str]:
    """A new age key: its secret line, and its public recipient."""
    secret = _library.x25519.Identity.generate()
    return str(secret), str(secret.to_public())


def _post_quantum(name: str) -> PostQuantumRecipient:
    try:
        return PostQuantumRecipient(name)
    except ValueError as error:
        raise _invalid(name) from error


def _recipient(name: str) -> _Recipient:
    try:
        if _X25519.fullmatch(name):
            return _library.x25519.Recipient.from_str(name)
        if _SSH.fullmatch(name):
            return _library.ssh.Recipient.from_str(name)
    except _library.RecipientError as error:
        raise _invalid(name) from error
    raise _invalid(name)


def _invalid(name: str) -> InvalidRecipient:
    hint = "name an age1… recipient (the public key that `age-keygen -y` shows) or an ssh-ed25519 or ssh-rsa public key"
    if _SECRET.search(name):
        return InvalidRecipient("sops-invalid-recipient", "this is a secret key, not a recipient", hint=hint)
    shown = "".join(character for character in name[:80] if character.isprintable())
    return InvalidRecipient(
        "sops-invalid-recipient", f"`{shown}` is no recipient that Catwalk can encrypt to", hint=hint
    )
