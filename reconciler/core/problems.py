"""What went wrong, as a value that a person can act on.

A `Problem` is what every error, status and page shows: what happened, where, why, and the next thing to do. It is a
plain value so that decisions can carry it without raising, and so that it can be stored and rendered anywhere. It
refuses to be a free-text dump: whoever makes one names a code that the documentation lists.
"""

from dataclasses import dataclass
from enum import StrEnum


class Remedy(StrEnum):
    """Who or what can clear a problem; the one question that decides what happens next."""

    FIX_SOURCE = "fix-source"
    """The manifest, a secret file or the package must change: nothing is retried until the source does."""
    FIX_ENVIRONMENT = "fix-environment"
    """A token, a key, a port or a program is missing where Catwalk runs."""
    WAIT = "wait"
    """Something outside does not answer now: the next pass tries again."""
    REPORT = "report"
    """Catwalk itself is wrong: the text is worth an issue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place in a file of the source repository. Lines and columns count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, with its cause and its fix. None of the texts may contain a secret."""

    code: str
    """Stable, lower case with dashes: `package-not-found`."""
    message: str
    """What happened and why, in one sentence without a full stop at the end of a fragment."""
    remedy: Remedy = Remedy.FIX_SOURCE
    hint: str = ""
    """The next thing to do, in one sentence; empty when the message says it."""
    location: Location | None = None
    server: str = ""
    """The server concerned; empty when it is the whole fleet."""

    def __str__(self) -> str:
        place = f"{self.location}: " if self.location else ""
        subject = f"{self.server}: " if self.server and not self.location else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{subject}{self.message}{hint}"
