"""What this process can open files with: age identities, and the key services that it may ask.

`SOPS_AGE_KEY` and `SOPS_AGE_KEY_FILE` hold or name what `age-keygen` writes: one `AGE-SECRET-KEY-1…` a line, comments
with `#`; an unencrypted OpenSSH private key is accepted too, as `age -i` does. A line of another kind (a plugin) is
skipped with a warning, because one such line must not disable the keys beside it. `~/.ssh` and `~/.config/sops` are
never read: a service uses the keys that it was given.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.core.problems import Problem, Remedy
from reconciler.sops.age import AgeIdentity, UnreadableIdentityError, ssh_identity, x25519_identity
from reconciler.sops.age_post_quantum import IDENTITY_PREFIX, PostQuantumIdentity, post_quantum_identity
from reconciler.sops.errors import KeyUnreadable
from reconciler.sops.limits import MAXIMUM_KEY_FILE_BYTES
from reconciler.sops.services.configured import load_services
from reconciler.sops.services.port import DataKeyService

KEY_VARIABLE: Final = "SOPS_AGE_KEY"
KEY_FILE_VARIABLE: Final = "SOPS_AGE_KEY_FILE"

AgeKey = AgeIdentity | PostQuantumIdentity

_SSH_KEY: Final = re.compile(
    r"^-----BEGIN OPENSSH PRIVATE KEY-----$.*?^-----END OPENSSH PRIVATE KEY-----$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Identities:
    """The keys that may open files, and what could not be used. An empty set is legal: nothing is configured."""

    keys: tuple[AgeKey, ...] = ()
    warnings: tuple[Problem, ...] = ()
    services: tuple[DataKeyService, ...] = ()
    """Key services that may be asked about files which none of `keys` opens."""

    @property
    def recipients(self) -> tuple[str, ...]:
        """The public side of every key, fit to be shown."""
        return tuple(key.recipient for key in self.keys)

    def __repr__(self) -> str:
        return f"Identities(********, recipients={list(self.recipients)})"


def load_identities(environment: Mapping[str, str]) -> Identities:
    """The identities that `environment` configures; both variables add up.

    Raises:
        KeyUnreadable: the key file is missing, not readable, not text, or larger than 1 MiB.
    """
    found: list[AgeKey | Problem] = []
    if text := environment.get(KEY_VARIABLE, ""):
        found += _identities(text, KEY_VARIABLE)
    if path := environment.get(KEY_FILE_VARIABLE, ""):
        found += _identities(_read_key_file(_key_file(path)), KEY_FILE_VARIABLE)
    return Identities(
        keys=tuple(each for each in found if not isinstance(each, Problem)),
        warnings=tuple(each for each in found if isinstance(each, Problem)),
        services=load_services(environment),
    )


def _key_file(value: str) -> Path:
    if "SECRET-KEY" in value or "PRIVATE KEY" in value:
        message = f"{KEY_FILE_VARIABLE} holds a key, not the name of a file"
        raise KeyUnreadable("sops-key-file-unreadable", message, hint=f"put the key itself into {KEY_VARIABLE}")
    return Path(value)


def _read_key_file(path: Path) -> str:
    hint = f"create it with `age-keygen -o FILE`, or correct {KEY_FILE_VARIABLE}"
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(MAXIMUM_KEY_FILE_BYTES + 1)
        if len(content) > MAXIMUM_KEY_FILE_BYTES:
            raise KeyUnreadable("sops-key-file-unreadable", f"{path} is too large to be a key file", hint=hint)
        return content.decode("utf-8-sig")
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no such home directory"
        message = f"{KEY_FILE_VARIABLE} names {path}, which cannot be read: {reason}"
        raise KeyUnreadable("sops-key-file-unreadable", message, hint=hint) from error
    except UnicodeDecodeError:
        # Chained to nothing: the exception carries the bytes of the key file.
        message = f"{KEY_FILE_VARIABLE} names {path}, which is not a text file"
        raise KeyUnreadable("sops-key-file-unreadable", message, hint=hint) from None


def _identities(text: str, origin: str) -> Iterator[AgeKey | Problem]:
    normal = text.replace("\r\n", "\n")
    for block in _SSH_KEY.finditer(normal):
        line = normal.count("\n", 0, block.start()) + 1
        yield _identity(ssh_identity, block[0] + "\n", f"{origin}, line {line}")
    # A block becomes as many empty lines, so that the numbers of the other lines stay right.
    rest = _SSH_KEY.sub(lambda block: "\n" * block[0].count("\n"), normal)
    for line, content in enumerate(rest.split("\n"), start=1):
        bare = content.strip()
        if bare and not bare.startswith("#"):
            read = post_quantum_identity if bare.startswith(IDENTITY_PREFIX) else x25519_identity
            yield _identity(read, bare, f"{origin}, line {line}")


def _identity(read: Callable[[str], AgeKey], text: str, place: str) -> AgeKey | Problem:
    try:
        return read(text)
    except UnreadableIdentityError as error:
        return Problem(
            code="age-identity-skipped",
            message=f"{place}: {error}; it is skipped",
            remedy=Remedy.FIX_ENVIRONMENT,
            hint="Catwalk reads AGE-SECRET-KEY-1 and AGE-SECRET-KEY-PQ-1 lines and OpenSSH keys without a passphrase",
        )
