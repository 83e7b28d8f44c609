"""Session ids that carry their own route, so that no gateway remembers a session.

A legacy MCP session lives in the adapter of one machine. What the client gets as `Mcp-Session-Id` is a capsule: the
machine, the adapter's session id and the server's name, authenticated with a key that all replicas share. Any replica
opens any capsule, and a restart loses nobody. A capsule that was forged, changed, made for another server or written
in a version that this gateway does not know is "session not found", which makes the client start anew.

Format: `cw1.` and base64url (without padding) of fields and tag. A field is a number (one byte), a length (two bytes,
big endian) and the value; fields stand in the order of their numbers. The tag is HMAC-SHA256 over the prefix and the
fields. A number that the reader does not know makes it refuse the capsule: later fields will restrict what a capsule is
good for (4 is kept for an expiry, 5 for the principal), and a restriction must not be ignored by an older replica.

The capsule hides nothing. It names the machine and the adapter's id to the client whose session it is, and to nobody
else. It is no proof of who calls: a caller is authenticated on each request, whatever session it names.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import IntEnum

_PREFIX = "cw1."
_TAG_BYTES = hashlib.sha256().digest_size
_MIN_KEY_BYTES = 32
MAX_CAPSULE_CHARACTERS = 4096
MAX_SESSION_ID_BYTES = 2048
_VISIBLE_ASCII = re.compile(rb"[\x21-\x7e]+")
_MACHINE_ID = re.compile(r"[A-Za-z0-9_-]{0,64}")


class _Field(IntEnum):
    MACHINE = 1
    SESSION = 2
    SERVER = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedSession:
    """What a capsule says."""

    server: str
    machine: str
    """The id of the machine that holds the session; empty when the upstream did not say, and then nothing is pinned."""
    session_id: bytes
    """What the adapter calls the session; visible ASCII."""


class BadCapsule(ValueError):
    """Not a capsule of ours, or not one for this. Nothing about it is told to the caller."""


class BadSession(ValueError):
    """An upstream named a session or a machine that no header could carry back."""


class CapsuleSealer:
    """Makes and opens capsules with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) < _MIN_KEY_BYTES:
            raise ValueError(f"the session key has {len(key)} bytes and needs at least {_MIN_KEY_BYTES}")
        self._key = key

    def seal(self, session: PinnedSession) -> str:
        """The capsule of that session; the same session gives the same capsule.

        Raises:
            BadSession: the session id is empty, too long or not visible ASCII, or the machine id is no machine id.
        """
        _check(session)
        payload = b"".join(
            (
                _encode_field(_Field.MACHINE, session.machine.encode("ascii")),
                _encode_field(_Field.SESSION, session.session_id),
                _encode_field(_Field.SERVER, session.server.encode("ascii")),
            )
        )
        return _PREFIX + base64.urlsafe_b64encode(payload + self._tag(payload)).rstrip(b"=").decode("ascii")

    def open(self, capsule: bytes, *, server: str) -> PinnedSession:
        """What the capsule says, if this key made it, for this server.

        Raises:
            BadCapsule: anything else. The reason is the same for all, so that nobody learns how far they got.
        """
        payload = self._authentic_payload(capsule)
        session = _decode(payload)
        if session.server != server:
            raise BadCapsule
        return session

    def _authentic_payload(self, capsule: bytes) -> bytes:
        sealed = _decode_text(capsule)
        payload, tag = sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(payload)):
            raise BadCapsule
        return payload

    def _tag(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, _PREFIX.encode("ascii") + payload, "sha256")


def _check(session: PinnedSession) -> None:
    if len(session.session_id) > MAX_SESSION_ID_BYTES or not _VISIBLE_ASCII.fullmatch(session.session_id):
        raise BadSession("the session id is empty, too long or not visible ASCII")
    if not _MACHINE_ID.fullmatch(session.machine):
        raise BadSession("the machine id is not one")


def _encode_field(number: _Field, value: bytes) -> bytes:
    return bytes((number,)) + len(value).to_bytes(2, "big") + value


def _decode_text(capsule: bytes) -> bytes:
    """From text to bytes, in the one spelling that `seal` writes."""
    prefix, body = capsule[: len(_PREFIX)], capsule[len(_PREFIX) :]
    if len(capsule) > MAX_CAPSULE_CHARACTERS or prefix != _PREFIX.encode("ascii"):
        raise BadCapsule
    try:
        sealed = base64.b64decode(body + b"=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise BadCapsule from error
    if base64.urlsafe_b64encode(sealed).rstrip(b"=") != body:
        raise BadCapsule
    return sealed


def _decode(payload: bytes) -> PinnedSession:
    fields = _decode_fields(payload)
    if set(fields) != set(_Field):
        raise BadCapsule
    return PinnedSession(
        machine=fields[_Field.MACHINE].decode("ascii"),
        session_id=fields[_Field.SESSION],
        server=fields[_Field.SERVER].decode("ascii"),
    )


def _decode_fields(payload: bytes) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    position = 0
    while position < len(payload):
        start = position + 3
        length = int.from_bytes(payload[position + 1 : start], "big")
        number, position = payload[position], start + length
        if position > len(payload) or number in fields:
            raise BadCapsule
        fields[number] = payload[start:position]
    return fields
