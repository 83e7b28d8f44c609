"""Who did what: one line for calls of one kind, for a tool tried from a page, a removal agreed to, a sign-in refused.

Pure values. A line never holds arguments, results or credentials: names, a result and how long it took.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AuditKind(StrEnum):
    """What a line tells of."""

    CALL = "call"
    """An MCP client called the gateway."""
    TRY = "try"
    """Somebody tried a tool from its page."""
    PRUNE = "prune"
    """Somebody agreed to a removal above the budget."""
    SIGN_IN = "sign-in"
    """A credential was not accepted."""


class AuditResult(StrEnum):
    """How it ended."""

    OK = "ok"
    REFUSED = "refused"
    """By the gateway's rules, or by the server as a request that is wrong."""
    FAILED = "failed"
    LEFT = "left"
    """The caller closed the connection before an answer began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDeed:
    """What was done, without when: deeds that are equal and close in time share a line."""

    kind: AuditKind
    who: str
    """The name of a token, or a person as the identity provider calls them; empty where nobody is known."""
    result: AuditResult
    server: str = ""
    method: str = ""
    """The MCP method; for what is no call, the place: `pages`, `gateway`, `catwalk apply`."""
    tool: str = ""
    detail: str = ""
    """A code or a digest that says more. Never what a caller sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """Equal deeds within a few seconds."""

    at: datetime
    """Of the last of them."""
    deed: AuditDeed
    times: int = 1
    slowest_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLine:
    """A line with its number, which grows with time and is never given twice."""

    number: int
    line: AuditLine


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which lines are wanted, newest first. What is empty leaves open."""

    kind: AuditKind | None = None
    result: AuditResult | None = None
    server: str = ""
    who: str = ""
    before: int = 0
    """Lines older than the one of this number; 0 begins with the newest."""
    limit: int = 50

    def parts(self) -> Mapping[str, str]:
        """What is asked for besides the place, by the names of the columns."""
        named = {"kind": self.kind or "", "result": self.result or "", "server": self.server, "who": self.who}
        return {name: str(value) for name, value in named.items() if value}
