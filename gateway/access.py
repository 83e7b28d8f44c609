"""Who is calling, and what that caller may use: the decision that every request meets, and its simplest source.

`Access.admit` looks at the `Authorization` header and the server's name, so its answer can be remembered with the head
of a request, as long as neither the rules (`generation`) nor the credential (`Grant.expires_at_s`) have run out. A
server that a caller may not use is answered like one that does not exist, and a tool likewise, and lists leave out what
a call would not reach: nobody learns of what is not theirs.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Protocol

ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class ToolPolicy:
    """Which tools of one server may be used, by shell patterns: `read_*`."""

    patterns: tuple[str, ...]

    def allows(self, tool: str) -> bool:
        """Whether that tool may be listed and called."""
        return _allows(self.patterns, tool)


@lru_cache(maxsize=4096)
def _allows(patterns: tuple[str, ...], tool: str) -> bool:
    """Remembered, because every call asks."""
    return any(fnmatchcase(tool, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one caller may ask for. None sets no limit."""

    requests_per_minute: int | None = None
    """On average; every request to a server's address counts."""
    burst: int | None = None
    """How many of them may come at once; None means as many as in a minute."""
    concurrent: int | None = None
    """How many calls (POST) may be under way at a time. Open event streams do not count."""
    calls_per_day: int | None = None
    """Calls (POST) from midnight to midnight, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a caller got for one server."""

    principal: str
    """Who it is, for the audit line and for binding sessions. Never a credential."""
    tools: ToolPolicy | None = None
    """None allows all of them."""
    expires_at_s: float | None = None
    """The Unix time after which the credential is no longer good; None where it does not run out."""
    limits: Limits | None = None
    """None sets none."""


class Undecided(Exception):
    """It cannot be said yet who calls: await `fetch`, and ask again. Fetching never fails; asking again then may."""

    def __init__(self, fetch: Callable[[], Awaitable[None]]) -> None:
        super().__init__("something has to be fetched first")
        self.fetch = fetch


class Access(Protocol):
    """The rules of one gateway."""

    @property
    def generation(self) -> int:
        """Grows with every change of the rules."""
        ...

    def admit(self, authorization: bytes | None, server: str, *, aggregate: bool = False) -> Grant | None:
        """What the caller may do with that server; None where it is not to know of it.

        `aggregate` asks about a server behind the common address `/mcp`: the credential is then checked as one for that
        address, and a server for which alone it does not suffice is none that the caller is to know of.

        Raises:
            Refused: the credential is missing or not good (401), not good enough (403), or nobody can say (503).
            Undecided: something has to be fetched first.
        """
        ...


class OpenAccess:
    """Everybody may use everything: for a gateway that only this machine reaches."""

    generation = 0

    def admit(self, authorization: bytes | None, server: str, *, aggregate: bool = False) -> Grant:  # noqa: ARG002 - the names are the protocol's
        """Everything, to anybody."""
        return _EVERYTHING


_EVERYTHING = Grant(principal=ANONYMOUS)
