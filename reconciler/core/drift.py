"""Field by field: what differs between two machine configs, for people to read.

Decisions compare digests and whole canonical texts. The list of changed fields is made after the decision and only
shown.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import cast

from reconciler.core.actions import FieldChange
from reconciler.core.digests import JSON, canonical_json

_PACKED = ".raw_value"
"""The content of a file, which nobody reads in Base64: its digest says that it changed."""
ABSENT = ""
"""How a field that one side lacks is written; JSON has no empty text, so it cannot be confused with a value."""


@lru_cache(maxsize=1024)
def field_changes(before: str, after: str) -> tuple[FieldChange, ...]:
    """The leaves that differ between two configs in canonical JSON, in path order; lists are compared as a whole.

    The machines of one server mostly change alike, and a plan is made again for every stage: results are kept.
    An empty `before` (a machine whose host hides its config) gives no changes: nothing can be said about it.
    """
    if not before or before == after:
        return ()
    left = dict(_leaves(cast("JSON", json.loads(before)), ""))
    right = dict(_leaves(cast("JSON", json.loads(after)), ""))
    return tuple(
        FieldChange(path=path, before=left.get(path, ABSENT), after=right.get(path, ABSENT))
        for path in sorted(left.keys() | right.keys())
        if left.get(path, ABSENT) != right.get(path, ABSENT)
    )


def _leaves(value: JSON, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key in sorted(value):
            yield from _leaves(value[key], f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for position, item in enumerate(value):
            yield from _leaves(item, f"{path}[{position}]")
    elif path.endswith(_PACKED):
        yield path, canonical_json(f"sha256:{hashlib.sha256(canonical_json(value).encode()).hexdigest()[:12]}")
    else:
        yield path, canonical_json(value)
