"""OpenPGP signatures of commits, checked by the `gpg` program with a ring of its own.

The ring is made anew for each check, in a folder that is removed, out of the keys that are trusted and nothing else: no
key of the machine counts, none is fetched, and the web of trust has no say. What gpg prints is read for its status
codes alone and never repeated.
"""

import re
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

import anyio.to_thread

from reconciler.errors import EnvironmentFault, SourceError, Unavailable
from reconciler.loop.ports import SignedCommit

TIMEOUT_S: Final = 20.0
LARGEST_KEYS_BYTES: Final = 1024 * 1024
_OPTIONS: Final = (
    "--batch",
    "--no-tty",
    "--no-options",
    "--status-fd=1",
    "--trust-model=always",
    "--no-auto-key-retrieve",
    "--no-auto-key-locate",
    "--disable-dirmngr",
    "--no-autostart",
)
_STATUS: Final = re.compile(rb"^\[GNUPG:\] ([A-Z_]+)(?: (.*))?$", re.MULTILINE)
_REFUSED: Final = {
    b"BADSIG": "the signature does not belong to the commit",
    b"ERRSIG": "the key that signed the commit is not one of the trusted keys",
    b"EXPSIG": "the signature has expired",
    b"EXPKEYSIG": "the key that signed the commit has expired",
    b"REVKEYSIG": "the key that signed the commit was revoked",
}
_WEAK: Final = frozenset({b"1", b"3"})
"""MD5 and SHA-1 (RFC 9580, section 9.5)."""
_HINT: Final = "sign it with a trusted key: `git commit -S`"


class GnuPGSignatures:
    """Checks signatures against OpenPGP public keys. Implements `SignatureVerifier`."""

    def __init__(self, program: str = "gpg") -> None:
        self._program = program

    async def verify(self, commit: SignedCommit, keys: str, *, name: str) -> str:
        """The fingerprint of the key that signed the commit; `keys` are armored, `name` is what errors call them.

        Raises:
            SourceError: none of these keys did, or they cannot be read.
            EnvironmentFault: there is no gpg here.
            Unavailable: gpg did not end in time.
        """
        if len(keys.encode("utf-8")) > LARGEST_KEYS_BYTES:
            raise SourceError("allowed-keys-unreadable", f"{name} is larger than 1 MiB")
        return await anyio.to_thread.run_sync(partial(self._verify, commit, keys, name))

    def _verify(self, commit: SignedCommit, keys: str, name: str) -> str:
        with tempfile.TemporaryDirectory(prefix="catwalk-gpg-") as home:
            place = Path(home)
            imported = self._run(place, ("--import",), keys.encode("utf-8"))
            if b"IMPORT_OK" not in imported:
                raise SourceError(
                    "allowed-keys-unreadable",
                    f"{name} holds no OpenPGP public key",
                    hint="write it with `gpg --armor --export FINGERPRINT`",
                )
            (place / "signature").write_bytes(commit.signature)
            (place / "payload").write_bytes(commit.payload)
            status = self._run(place, ("--verify", str(place / "signature"), str(place / "payload")))
        return _fingerprint(status)

    def _run(self, home: Path, action: tuple[str, ...], given: bytes = b"") -> dict[bytes, bytes]:
        """The status lines of gpg, by name."""
        command = [self._program, *_OPTIONS, f"--homedir={home}", *action]
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "HOME": str(home)}
        try:
            done = subprocess.run(
                command, input=given, capture_output=True, env=environment, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise Unavailable("gpg-timeout", f"gpg did not answer within {TIMEOUT_S:.0f} s") from None
        except OSError as error:
            raise EnvironmentFault(
                "gpg-missing", f"gpg cannot be started: {error.strerror}", hint="install GnuPG where Catwalk runs"
            ) from error
        return {match[1]: match[2] or b"" for match in _STATUS.finditer(done.stdout)}


def _fingerprint(status: dict[bytes, bytes]) -> str:
    """The fingerprint of the primary key behind a good signature.

    Raises:
        SourceError: the signature is not good.
    """
    for name, message in _REFUSED.items():
        if name in status:
            raise SourceError("commit-signature-invalid", message, hint=_HINT)
    fields = status.get(b"VALIDSIG", b"").split()
    if b"GOODSIG" not in status or len(fields) < 10:
        raise SourceError("commit-signature-invalid", "the signature of the commit is no OpenPGP signature", hint=_HINT)
    if fields[7] in _WEAK:
        raise SourceError("commit-signature-invalid", "the signature uses SHA-1 or MD5", hint=_HINT)
    return fields[9].decode("ascii")
