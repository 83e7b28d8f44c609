"""Keys that this machine makes for itself."""

import hashlib
import hmac
from pathlib import Path

from reconciler.loop.store.digest_key import digest_key


def session_key(state_dir: Path) -> bytes:
    """Authenticates the gateway's session capsules; the same after a restart, so that clients keep their sessions.

    Derived from the one random key of the state directory, so that there is one file to guard.
    """
    return hmac.new(digest_key(state_dir), b"catwalk gateway sessions v1", hashlib.sha256).digest()
