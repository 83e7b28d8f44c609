"""The key of the digests by which secrets are compared.

It stays in the state directory, readable by its owner alone. A lost key makes every secret look changed once: one
rolling update of the servers that have secrets, nothing else. So a damaged key file is refused rather than replaced:
the person decides when the update happens.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from reconciler.errors import EnvironmentFault

FILE_NAME: Final = "digest.key"
KEY_BYTES: Final = 32


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
