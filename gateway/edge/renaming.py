"""Another name or URI in a message, put in its place without writing the message anew.

What is looked for is the member as nearly every client writes it, `"name":"time__now"`, with or without white space. If
it stands in the text exactly once it is replaced, and whoever calls has to read the result: only if `params` then has
the new value was it the right place. Whatever is written otherwise is left to the ASGI path.
"""

import re
from functools import lru_cache

_PLAIN = re.compile(rb"[\x20\x21\x23-\x5b\x5d-\x7e]+")
_GAP = rb"[ \t\n\r]*"
_NAMES = re.compile(rb'"name"' + _GAP + rb":" + _GAP + rb'"([\x20\x21\x23-\x5b\x5d-\x7e]+)"')


def names_in(body: bytes) -> set[str]:
    """All values of members called `name`, wherever they stand, that are plain ASCII."""
    return {name.decode("ascii") for name in _NAMES.findall(body)}


def renamed(body: bytes, key: str, old: str, new: str) -> bytes | None:
    """The body with `new` for `old` in a member called `key`; None where it does not stand there exactly once, or is
    not plain ASCII.
    """
    if old == new:
        return body
    pattern = _member(key, old)
    if pattern is None or _PLAIN.fullmatch(new.encode("utf-8")) is None:
        return None
    changed, count = pattern.subn(b'\\g<1>"%b"' % new.encode("ascii"), body)
    return changed if count == 1 else None


@lru_cache(maxsize=4096)
def _member(key: str, value: str) -> re.Pattern[bytes] | None:
    """Remembered, because every call of a tool asks. A plain value needs no escapes, neither here nor in JSON."""
    raw = value.encode("utf-8")
    if _PLAIN.fullmatch(raw) is None:
        return None
    return re.compile(b'("%b"%b:%b)"%b"' % (key.encode("ascii"), _GAP, _GAP, re.escape(raw)))
