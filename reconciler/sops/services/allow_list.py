"""Which addresses and keys a file may name: patterns with `*`, comma separated, from the environment.

The metadata of a file is written by whoever can push; without a list a file could have a credential sent to a server of
its author's.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from reconciler.sops.services.port import KeyServiceNotAllowed

_SHOWN_CHARACTERS: Final = 200


def patterns(environment: Mapping[str, str], variable: str, default: str) -> tuple[str, ...]:
    """The patterns of `variable`, or of `default` where it is not set."""
    return tuple(each.strip() for each in environment.get(variable, default).split(",") if each.strip())


def check(name: str, allowed: tuple[str, ...], variable: str) -> None:
    """Passes what a pattern matches.

    Raises:
        KeyServiceNotAllowed: none matches `name`.
    """
    if not any(fnmatchcase(name, pattern) for pattern in allowed):
        raise refused(name, f"it is not on the allow-list; add it to {variable} if it is yours")


def refused(name: str, reason: str) -> KeyServiceNotAllowed:
    """The error about a `name` that a file must not make us use."""
    shown = re.sub(r"[^ -~]", "?", name)[:_SHOWN_CHARACTERS]
    message = f"the file names the key {shown or '(none)'}, which is not asked"
    return KeyServiceNotAllowed("sops-key-service-not-allowed", message, hint=reason)
