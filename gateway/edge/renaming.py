"""Another name or URI in a message, put in its place without writing the message anew.

What is looked for is the member as nearly every client writes it, `"name":"time__now"`, with or without a space. If it
stands in the text exactly once it is replaced, and whoever calls has to read the result: only if `params` then has the
new value was it the right place. Whatever is written otherwise is left to the ASGI path.
"""

import re
from functools import lru_cache

_PLAIN = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")
_NAMES = re.compile(rb'"name": ?"([\x20\x21\x23-\x5b\x5d-\x7e]+)"')


def names_in(body: bytes) -> set[str]:
    """All values of members called `name`, wherever they stand, that are plain ASCII."""
    return {name.decode("ascii") for name in _NAMES.findall(body)}


def renamed(body: bytes, key: str, old: str, new: str) -> bytes | None:
    """The body with `new` for `old` in a member called `key`; None where it does not stand there exactly once, or is
    not plain ASCII.
    """
    if old == new:
        return body
    for written, wanted in _members(key, old, new):
        if written in body:
            return body.replace(written, wanted) if body.count(written) == 1 else None
    return None


@lru_cache(maxsize=4096)
def _members(key: str, old: str, new: str) -> tuple[tuple[bytes, bytes], ...]:
    """How the member may be written, and how it is then. A plain value needs no escapes. Remembered, because every call
    of a tool asks.
    """
    if _PLAIN.fullmatch(old) is None or _PLAIN.fullmatch(new) is None:
        return ()
    gaps = ("", " ")
    return tuple((f'"{key}":{gap}"{old}"'.encode("ascii"), f'"{key}":{gap}"{new}"'.encode("ascii")) for gap in gaps)
