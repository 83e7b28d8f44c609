"""Session ids that carry their own route, so that no gateway remembers a session.

A legacy MCP session lives in the adapter of one machine. What the client gets as `Mcp-Session-Id` is a capsule: the
machine, the adapter's session id and the server's name, authenticated with a key that all replicas share. Any replica
opens any capsule, and a restart loses nobody. A capsule that was forged, changed, made for another server or written
in a version that this gateway does not know is "session not found", which makes the client start anew.

Format: `cw1.` and base64url (without padding) of fields and tag. A field is a number (one byte), a length (two bytes,
big endian) and the value; fields stand in the order of their numbers. The tag is HMAC-SHA256 over the prefix and the
fields. A number that the reader does not know makes it refuse the capsule: fields restrict what a capsule is good for,
and a restriction must not be ignored by an older replica. After its expiry, or from another principal than the one that
started the session, it is not found. The last field, if there, is what the client said in `initialize`, for starting a
session again that was lost (`gateway.restoring`).

The capsule hides nothing. It names the machine and the adapter's id to the client whose session it is, and to nobody
else. It is no proof of who calls: a caller is authenticated on each request, whatever session it names.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from gateway.headers import PIN_HEADER, SESSION_HEADER

_PREFIX = "cw1."
_TAG_BYTES = hashlib.sha256().digest_size
_MIN_KEY_BYTES = 32
MAX_CAPSULE_CHARACTERS = 5120
MAX_SESSION_ID_BYTES = 2048
MAX_OPENING_BYTES = 1024
_MAX_PRINCIPAL_BYTES = 512
_VISIBLE_ASCII = re.compile(rb"[\x21-\x7e]+")
_MACHINE_ID = re.compile(r"[A-Za-z0-9_-]{0,64}")


class _Field(IntEnum):
    MACHINE = 1
    SESSION = 2
    SERVER = 3
    EXPIRY = 4
    PRINCIPAL = 5
    OPENING = 6


_REQUIRED = frozenset({_Field.MACHINE, _Field.SESSION, _Field.SERVER})


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedSession:
    """What a capsule says."""

    server: str
    machine: str
    """The id of the machine that holds the session; empty when the upstream did not say, and then nothing is pinned."""
    session_id: bytes
    """What the adapter calls the session; visible ASCII."""
    principal: str = ""
    """Who started it; empty in capsules of gateways that did not say."""
    expires_at_s: int | None = None
    """Unix time; None where it never does."""
    opening: bytes = field(default=b"", repr=False)
    """The params of the client's `initialize` as JSON, where the session may be started again without the client."""

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """What names the session to its adapter and steers the request to its machine."""
        own = (SESSION_HEADER, self.session_id)
        return (own, (PIN_HEADER, self.machine.encode("ascii"))) if self.machine else (own,)


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
        payload = b"".join(_encode_field(number, value) for number, value in _fields_of(session))
        return _PREFIX + base64.urlsafe_b64encode(payload + self._tag(payload)).rstrip(b"=").decode("ascii")

    def open(self, capsule: bytes, *, server: str, principal: str | None = None, now_s: float = 0) -> PinnedSession:
        """What the capsule says, if this key made it, for this server and this caller, and it is not over.

        Raises:
            BadCapsule: anything else. The reason is the same for all, so that nobody learns how far they got.
        """
        payload = self._authentic_payload(capsule)
        session = _decode(payload)
        is_anothers = principal is not None and session.principal and session.principal != principal
        is_over = session.expires_at_s is not None and session.expires_at_s <= now_s
        if session.server != server or is_anothers or is_over:
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
    if len(session.opening) > MAX_OPENING_BYTES or len(session.principal.encode("utf-8")) > _MAX_PRINCIPAL_BYTES:
        raise BadSession("the session says more than a capsule can hold")


def _fields_of(session: PinnedSession) -> Iterator[tuple[_Field, bytes]]:
    yield _Field.MACHINE, session.machine.encode("ascii")
    yield _Field.SESSION, session.session_id
    yield _Field.SERVER, session.server.encode("ascii")
    if session.expires_at_s is not None:
        yield _Field.EXPIRY, session.expires_at_s.to_bytes(8, "big")
    if session.principal:
        yield _Field.PRINCIPAL, session.principal.encode("utf-8")
    if session.opening:
        yield _Field.OPENING, session.opening


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
    if not fields.keys() >= _REQUIRED or not fields.keys() <= set(_Field):
        raise BadCapsule
    expiry = fields.get(_Field.EXPIRY)
    return PinnedSession(
        machine=fields[_Field.MACHINE].decode("ascii"),
        session_id=fields[_Field.SESSION],
        server=fields[_Field.SERVER].decode("ascii"),
        principal=fields.get(_Field.PRINCIPAL, b"").decode("utf-8"),
        expires_at_s=int.from_bytes(expiry, "big") if expiry is not None else None,
        opening=fields.get(_Field.OPENING, b""),
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
