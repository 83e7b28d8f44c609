"""What the pages need to know, in the words of the pages.

The wiring implements `FleetView` over the loop, the store, the log door and the gateway's address. Everything in it
is a value of `core`, already redacted; the web room cannot reach behind it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from reconciler.core.actions import Pass
from reconciler.core.applied import AppliedState
from reconciler.core.savings import Usage
from reconciler.core.types import ServerState, ServerStatus
from reconciler.loop.ports import LogLine, PassSummary, StoredProposal, Transition


class FleetEventKind(StrEnum):
    """What can change under a page that is open."""

    SERVER_CHANGED = "server-changed"
    """A server entered another state."""
    RECONCILED = "pass-finished"
    """A pass ended, whatever came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetEvent:
    """Something changed: a hint to look again, not the change itself."""

    kind: FleetEventKind
    server: str = ""
    """Empty for a pass."""
    state: ServerState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What the manifest says about a server to people."""

    owner: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    """By key."""
    description: str = ""


class FleetView(Protocol):
    """One fleet as it can be seen now. Reading is cheap: every page calls most of these once."""

    @property
    def fleet(self) -> str:
        """The name of the fleet; empty until a manifest has been read."""
        ...

    def newest_pass(self) -> Pass | None:
        """The pass that finished last; none before the first one."""
        ...

    def statuses(self) -> Sequence[ServerStatus]:
        """The verdict on every server of the revision in force, in any order, `since` being when the state began."""
        ...

    async def history(self, *, limit: int) -> Sequence[PassSummary]:
        """Finished passes in a line each, newest first, at most `limit`.

        Raises:
            Unavailable: the history cannot be read now.
        """
        ...

    async def passes(self, revision: str, *, limit: int) -> Sequence[Pass]:
        """Passes over the newest commit that begins with this text: the newest one, and those with something to do.

        Newest first, at most `limit`.

        Raises:
            Unavailable: the history cannot be read now.
        """
        ...

    async def transitions(self, server: str, *, limit: int) -> Sequence[Transition]:
        """Changes of the verdict on a server, newest first, at most `limit`.

        Raises:
            Unavailable: the history cannot be read now.
        """
        ...

    def facts(self) -> Mapping[str, ServerFacts]:
        """What the manifests say about servers, by name; only those of which it is known."""
        ...

    async def proposals(self, *, limit: int, number: int | None = None) -> Sequence[StoredProposal]:
        """Proposed commits, newest first, at most `limit`; those of one pull request where it is named.

        Raises:
            Unavailable: the store cannot be read now.
        """
        ...

    async def applied(self) -> AppliedState | None:
        """What is in force, to plan against; none before a revision was accepted.

        Raises:
            Unavailable: the store cannot be read now.
        """
        ...

    async def log_lines(self, server: str, *, limit: int) -> Sequence[LogLine]:
        """The newest lines of one server, oldest first, redacted.

        Raises:
            Unavailable: the log service does not answer.
        """
        ...

    def log_tail(self, server: str) -> AsyncIterator[LogLine]:
        """Lines of one server as they are written, redacted, beginning with the newest that are kept.

        Ends when the process begins to stop, and when the log service does not answer any more.

        Raises:
            Unavailable: the log cannot be read now.
        """
        ...

    def usages(self) -> Mapping[str, Usage]:
        """What each server cost and saved since the first of the month, by name; only those of which it is known."""
        ...

    def mcp_url(self, server: str) -> str:
        """The public address at which the gateway serves one server."""
        ...

    def events(self) -> AsyncIterator[FleetEvent]:
        """What changes from now on, one iterator for each listener.

        It must end when the process begins to stop, so that open pages do not hold the shutdown up, and it may drop
        events for a listener that does not keep up: whoever listens reads the state anew anyway.
        """
        ...
