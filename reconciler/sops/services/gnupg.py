"""The door to GnuPG: PGP recipients, by the `gpg` program and the key ring of the caller.

The ring is the one of `GNUPGHOME`, or the caller's own. gpg never asks: a key behind a passphrase opens only while
gpg-agent remembers it. What gpg prints is read for its status codes and never repeated, because it names user ids.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Final

from reconciler.sops.master_keys import MasterKey
from reconciler.sops.metadata import KeyService, WrappedKey
from reconciler.sops.services.port import (
    MAXIMUM_ANSWER_BYTES,
    TIMEOUT_S,
    DamagedKeyError,
    KeyServiceDenied,
    KeyServiceUnavailable,
    NotForUsError,
)

PROGRAM_VARIABLE: Final = "SOPS_GPG_EXEC"
_OPTIONS: Final = (
    "--batch",
    "--no-tty",
    "--yes",
    "--status-fd=2",
    "--no-verbose",
    "--pinentry-mode=error",
    "--no-auto-key-retrieve",
    f"--max-output={MAXIMUM_ANSWER_BYTES}",
)
# The fingerprint in .sops.yaml is what is trusted, as with the SOPS tool; the web of trust has no say.
_ENCRYPT: Final = ("--trust-model=always", "--no-auto-key-locate", "--no-encrypt-to", "--armor", "--encrypt")
_FINGERPRINT: Final = re.compile(r"[0-9A-Fa-f]{16,64}")
_PASSED_ON: Final = ("HOME", "PATH", "GNUPGHOME", "XDG_RUNTIME_DIR", "GPG_AGENT_INFO")
_STATUS: Final = re.compile(rb"^\[GNUPG:\] ([A-Z_]+)(?: (.*))?$", re.MULTILINE)
# Codes of libgpg-error that say a passphrase was wanted: bad, no pinentry, cancelled, none given, cancelled for good.
_PASSPHRASE_WANTED: Final = frozenset({11, 85, 99, 177, 198})
_PKDECRYPT_FAILED: Final = re.compile(rb"pkdecrypt_failed ([0-9]{1,10})")
_CODE_MASK: Final = 0xFFFF
_NOT_READABLE: Final = frozenset({b"NODATA", b"BADARMOR", b"BADMDC", b"DECRYPTION_KEY"})
_CHECKSUM: Final = b"CRC error"


class GnuPG:
    """Decrypts and encrypts with one `gpg` program and one key ring."""

    def __init__(self, program: str, environment: Mapping[str, str]) -> None:
        self._program = program
        self._environment = {name: environment[name] for name in _PASSED_ON if name in environment} | {"LC_ALL": "C"}

    @property
    def kind(self) -> KeyService:
        """PGP entries of the metadata."""
        return KeyService.PGP

    def unwrap(self, key: WrappedKey) -> bytes:
        """The content of an armored PGP message.

        Raises:
            NotForUsError: the ring has no secret key for it.
            DamagedKeyError: it is no PGP message, or not the one that was encrypted.
            KeyServiceDenied: the secret key is locked.
            KeyServiceUnavailable: gpg does not run, or does not end in time.
        """
        result = self._run(key.wrapped.encode("utf-8"), ("--decrypt",))
        states = {match[1]: match[2] or b"" for match in _STATUS.finditer(result.stderr)}
        if result.returncode == 0 and b"DECRYPTION_OKAY" in states and result.stdout:
            return result.stdout
        if _CHECKSUM in result.stderr or states.keys() & _NOT_READABLE:
            raise DamagedKeyError("the PGP message does not open")
        if not states:
            raise _unavailable("gpg failed without saying why")
        failed = _PKDECRYPT_FAILED.search(states.get(b"ERROR", b""))
        if failed is None:
            raise NotForUsError("the key ring has no secret key for this recipient")
        if int(failed[1]) & _CODE_MASK in _PASSPHRASE_WANTED:
            raise _locked(key)
        raise DamagedKeyError("the PGP message does not open")

    def wrap(self, key: MasterKey, secret: bytes) -> str:
        """An armored PGP message with `secret`; a public key in the ring is all that it takes.

        Raises:
            KeyServiceDenied: the ring has no usable public key of this fingerprint.
            KeyServiceUnavailable: gpg does not run, or does not end in time.
        """
        if not _FINGERPRINT.fullmatch(key.name):
            raise _no_public_key(key)
        result = self._run(secret, (*_ENCRYPT, f"--recipient={key.name}"))
        states = {match[1] for match in _STATUS.finditer(result.stderr)}
        if result.returncode == 0 and b"END_ENCRYPTION" in states and result.stdout:
            return result.stdout.decode("ascii").replace("\r\n", "\n")
        if not states:
            raise _unavailable("gpg failed without saying why")
        raise _no_public_key(key)

    def _run(self, message: bytes, action: tuple[str, ...]) -> subprocess.CompletedProcess[bytes]:
        command = [self._program, *_OPTIONS, *action]
        try:
            return subprocess.run(
                command, input=message, capture_output=True, env=self._environment, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            # Chained to nothing: the exception carries what gpg wrote so far.
            raise _unavailable(f"gpg did not answer within {TIMEOUT_S:.0f} seconds") from None
        except OSError as error:
            raise _unavailable(f"gpg cannot be started: {error.strerror}") from error

    def __repr__(self) -> str:
        return f"GnuPG({self._program})"


def gnupg(environment: Mapping[str, str]) -> GnuPG | None:
    """The installed `gpg`, or the program that `SOPS_GPG_EXEC` names; `None` where there is none."""
    wanted = environment.get(PROGRAM_VARIABLE) or "gpg"
    program = shutil.which(wanted, path=environment.get("PATH", ""))
    return None if program is None else GnuPG(program, environment)


def _locked(key: WrappedKey) -> KeyServiceDenied:
    return KeyServiceDenied(
        "sops-key-service-denied",
        f"the PGP key for {key.recipient.name} is locked, and nobody is here to type its passphrase",
        hint="unlock it in gpg-agent first (decrypt anything with gpg by hand), or use a key without a passphrase",
    )


def _no_public_key(key: MasterKey) -> KeyServiceDenied:
    return KeyServiceDenied(
        "sops-key-service-denied",
        f"the key ring has no usable public key {key.name}",
        hint="import it with `gpg --import`; it must be able to encrypt, and be neither expired nor revoked",
    )


def _unavailable(message: str) -> KeyServiceUnavailable:
    hint = "try `gpg --list-secret-keys` as the same user; kill a stale agent with `gpgconf --kill all`"
    return KeyServiceUnavailable("sops-key-service-unavailable", message, hint=hint)
