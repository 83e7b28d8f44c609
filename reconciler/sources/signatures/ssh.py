"""SSH signatures of commits, checked in process (OpenSSH, PROTOCOL.sshsig; git docs, "gpg.ssh.allowedSignersFile").

As in git, a key counts as of the time of the commit. Whoever holds a key can write any time into a commit: to take a
key away from somebody, its line must go.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature

from reconciler.errors import SourceError
from reconciler.loop.ports import SignedCommit
from reconciler.sources.signatures import ssh_keys
from reconciler.sources.signatures.allowed_signers import AllowedSigner, read_allowed_signers
from reconciler.sources.signatures.wire import Wire, WireError, text

NAMESPACE: Final = "git"
_MAGIC: Final = b"SSHSIG"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_HASHES: Final = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
_COMMITTER: Final = re.compile(rb"^committer .*> ([0-9]{1,12}) [+-][0-9]{4}$", re.MULTILINE)
_HINT: Final = "sign it with a key of the list of allowed signers: `git commit -S`, with `gpg.format` set to `ssh`"


@dataclass(frozen=True, slots=True)
class _Signature:
    key: bytes
    namespace: str
    hash_name: bytes
    signature: bytes


class SSHSignatures:
    """Checks signatures against a list of allowed signers. Implements `SignatureVerifier`."""

    async def verify(self, commit: SignedCommit, keys: str, *, name: str) -> str:
        """Who signed the commit, in the words of the list `keys`; `name` is what errors call the list.

        Raises:
            SourceError: nobody on the list did, or the list cannot be read.
        """
        signers = read_allowed_signers(keys, name=name)
        try:
            found = _read(commit.signature)
            ssh_keys.check(found.key, found.signature, _message(found, commit.payload))
        except WireError as error:
            raise _refused("commit-signature-invalid", f"it is no good SSH signature: {error}") from error
        except InvalidSignature as error:
            raise _refused("commit-signature-invalid", "the signature does not belong to the commit") from error
        return _signer(found, signers, commit, name)


def _signer(found: _Signature, signers: tuple[AllowedSigner, ...], commit: SignedCommit, name: str) -> str:
    """The first line that allows it.

    Raises:
        SourceError: no line does.
    """
    if found.namespace != NAMESPACE:
        raise _refused("commit-signature-invalid", "what was signed is no commit, but a file or something else")
    known = [signer for signer in signers if signer.key == found.key]
    if not known:
        raise _refused("commit-signer-unknown", f"the key that signed the commit is not in {name}")
    at = _committed_at(commit.payload)
    allowed = next((signer for signer in known if signer.may_sign(NAMESPACE, at)), None)
    if allowed is None:
        raise _refused("commit-signer-not-allowed", f"{name}, line {known[0].line}: the key may not sign this commit")
    return ",".join(allowed.principals)


def _read(armored: bytes) -> _Signature:
    """Raises: WireError: it is no SSH signature."""
    try:
        lines = armored.decode("ascii").strip().splitlines()
        if len(lines) < 3 or lines[0].strip() != _BEGIN or lines[-1].strip() != _END:
            raise WireError("it has another form")
        wire = Wire(base64.b64decode("".join(lines[1:-1]), validate=True))
    except (UnicodeDecodeError, binascii.Error) as error:
        raise WireError("it is no Base64") from error
    if wire.take(len(_MAGIC)) != _MAGIC or wire.number() != 1:
        raise WireError("it is of another version")
    key, namespace, _, hash_name, signature = (wire.string() for _ in range(5))
    wire.end()
    if hash_name not in _HASHES:
        raise WireError("its hash is not supported")
    return _Signature(key, namespace.decode("utf-8", errors="replace"), hash_name, signature)


def _message(found: _Signature, payload: bytes) -> bytes:
    """What was signed: the namespace, and a hash of the commit."""
    digest = _HASHES[found.hash_name](payload).digest()
    return _MAGIC + text(found.namespace.encode("utf-8")) + text(b"") + text(found.hash_name) + text(digest)


def _committed_at(payload: bytes) -> datetime:
    """Raises: SourceError: the commit tells no time."""
    found = _COMMITTER.search(payload.partition(b"\n\n")[0])
    if found is None:
        raise _refused("commit-signature-invalid", "the commit does not say when it was made")
    return datetime.fromtimestamp(int(found[1]), UTC)


def _refused(code: str, message: str) -> SourceError:
    return SourceError(code, message, hint=_HINT)
