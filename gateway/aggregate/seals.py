"""Tokens that a client carries for the aggregate: cursors, and the state of a call that waits for an answer. Pure.

A token says what the next request needs (which server, and what that server gave), authenticated with a key that all
replicas share and bound to what it is for and to its principal. A token that was forged, changed, taken from somebody
else or made for another list is refused; nobody learns how far they got. It hides nothing from its holder.
"""

import base64
import binascii
import hmac
import json
from enum import Enum
from typing import cast

_TAG_BYTES = 16
_MAX_CHARACTERS = 64 * 1024


class Purpose(Enum):
    """What a token is for; a token for one purpose is none for another."""

    CURSOR = "cursor"
    STATE = "state"


class BadToken(ValueError):
    """Not a token of ours, or not one for this."""


class Seals:
    """Makes and opens tokens with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"catwalk aggregate tokens", "sha256")

    def seal(self, purpose: Purpose, principal: str, values: tuple[str, ...]) -> str:
        """A token that says `values`; the same values give the same token."""
        payload = json.dumps(values, separators=(",", ":")).encode("ascii")
        sealed = self._tag(purpose, principal, payload) + payload
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def open(self, purpose: Purpose, principal: str, token: str) -> tuple[str, ...]:
        """What a token says. Raises BadToken."""
        sealed = _decoded(token)
        tag, payload = sealed[:_TAG_BYTES], sealed[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(purpose, principal, payload)):
            raise BadToken
        return tuple(cast("list[str]", json.loads(payload)))

    def _tag(self, purpose: Purpose, principal: str, payload: bytes) -> bytes:
        bound = json.dumps([purpose.value, principal]).encode("ascii")
        return hmac.digest(self._key, bound + b"\n" + payload, "sha256")[:_TAG_BYTES]


def _decoded(token: str) -> bytes:
    """From text to bytes, in the one spelling that `seal` writes."""
    if len(token) > _MAX_CHARACTERS or not token.isascii():
        raise BadToken
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadToken from error
    if base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii") != token:
        raise BadToken
    return sealed
