"""Another name or URI in a message, put in its place without writing the message anew.

The message has been read, so what `params` has is known; where it stands in the text is not. A value that is plain
ASCII and stands there once, in a text without escapes that could write it otherwise, stands nowhere else. Where it
stands more often, the one member that is written `"name":"time__now"` is tried, and the result read: whether `params`
has the new value now, as it had the old one before, shows whether that was the place. Everything else is left to the
ASGI path.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from gateway.calls import read_members

_PLAIN = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")
_ESCAPES = (b"\\u", b"\\/")
"""How else a plain value can be written."""


class _Written(NamedTuple):
    """A value and a member that has it, as JSON text."""

    value: bytes
    members: tuple[bytes, bytes]


def renamed(body: bytes, key: str, old: str, new: str) -> bytes | None:
    """The body with `new` for `old`, which `params` of that body has under `key`; None where its place is not clear."""
    if old == new:
        return body
    before, after = _written(key, old), _written(key, new)
    if before is None or after is None:
        return None
    if body.count(before.value) == 1 and not any(escape in body for escape in _ESCAPES):
        return body.replace(before.value, after.value)
    for member, wanted in zip(before.members, after.members, strict=True):
        if body.count(member) == 1:
            changed = body.replace(member, wanted)
            members = read_members(changed)
            return changed if members is not None and members.params.get(key) == new else None
    return None


@lru_cache(maxsize=8192)
def _written(key: str, value: str) -> _Written | None:
    """Remembered, because every call of a tool asks. A plain value needs no escapes."""
    if _PLAIN.fullmatch(value) is None:
        return None
    compact, spaced = (f'"{key}":{gap}"{value}"'.encode("ascii") for gap in ("", " "))
    return _Written(f'"{value}"'.encode("ascii"), (compact, spaced))
