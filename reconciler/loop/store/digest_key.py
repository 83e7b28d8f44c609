"""The key of the digests by which secrets are compared.

It stays in the state directory, readable by its owner alone, or comes from the environment. A lost key makes every
secret look changed once: one rolling update of the servers that have secrets, nothing else. So a damaged key file is
refused rather than replaced: the person decides when the update happens.

Two processes that share a database and not the key would each undo what the other did, for ever. The database holds a
fingerprint of the key, which tells nothing about it: the key itself must not lie beside the digests that it protects.
Whoever has another key is refused while somebody leads with this one.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

import structlog

from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault
from reconciler.loop.store.store import Store

FILE_NAME: Final = "digest.key"
KEY_BYTES: Final = 32
CLAIM: Final = "digest-key"

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.loop")


def digest_key(state_dir: Path) -> bytes:
    """The 32 bytes in `state_dir/digest.key`; made at random when there is none yet.

    Raises:
        EnvironmentFault: the file cannot be read or written, or is not a key.
    """
    path = state_dir / FILE_NAME
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _create(path)
        key = path.read_bytes()
    except OSError as error:
        raise EnvironmentFault(
            "state-unusable",
            f"the key file {path} cannot be used: {error.strerror}",
            hint="give this user access to the state directory, or name another one in CATWALK_STATE_DIR",
        ) from error
    if len(key) != KEY_BYTES:
        raise EnvironmentFault(
            "digest-key-damaged",
            f"{path} holds {len(key)} bytes where a key has {KEY_BYTES}",
            hint="delete the file: a new key is made, and servers with secrets are updated once",
        )
    return key


def _create(path: Path) -> None:
    """Writes a whole key beside its place and links it in, so that of two processes one wins and both read the same."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def given_key(value: SecretValue) -> bytes:
    """The key that the environment holds, in hexadecimal or Base64.

    Raises:
        EnvironmentFault: it is none.
    """
    text = value.reveal().strip()
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise EnvironmentFault(
            "digest-key-invalid",
            f"CATWALK_DIGEST_KEY is no key of {KEY_BYTES} bytes in hexadecimal or Base64",
            hint="make one with `openssl rand -hex 32`, the same for all processes",
        )
    return key


def fingerprint(key: bytes) -> str:
    """Tells two keys apart and nothing about either."""
    return hmac.new(key, b"catwalk digest key", hashlib.sha256).hexdigest()[:32]


class SameKey:
    """Lets nobody act whose key is another than the one in use. Implements `Gate`."""

    def __init__(self, store: Store, key: bytes) -> None:
        self._store, self._mark = store, fingerprint(key)

    async def agree(self, *, acts: bool) -> None:
        """Puts the key in use where none is, or where nobody leads with the other one.

        `acts` is false for commands that only look: these change nothing.

        Raises:
            EnvironmentFault: another process leads with another key.
        """
        standing = await self._store.claim(CLAIM, self._mark) if acts else await self._store.claimed(CLAIM)
        if standing in {self._mark, ""}:
            return
        if (await self._store.leases.state()).holder:
            raise _differs()
        if acts:
            log.warning("digest-key-replaced", hint="servers with secrets are updated once")
            await self._store.claim(CLAIM, self._mark, replace=True)

    async def check(self) -> None:
        """Lets a pass go on.

        Raises:
            EnvironmentFault: the key in use is another one.
        """
        if await self._store.claimed(CLAIM) not in {self._mark, ""}:
            raise _differs()


def _differs() -> EnvironmentFault:
    return EnvironmentFault(
        "digest-key-differs",
        "another process of this fleet compares secrets with another key",
        hint=f"give all of them the same CATWALK_DIGEST_KEY, or the same {FILE_NAME} in their state directories",
    )
