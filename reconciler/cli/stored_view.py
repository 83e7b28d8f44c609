"""The fleet as the store remembers it, for when no process runs that could be asked."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from reconciler.cli.facts import facts_of
from reconciler.cli.repository import open_source
from reconciler.core.actions import Pass
from reconciler.core.applied import AppliedState
from reconciler.core.savings import Usage
from reconciler.core.types import Revision, ServerSpec, ServerStatus
from reconciler.errors import CatwalkError, Unavailable
from reconciler.loop.clock import SystemClock
from reconciler.loop.ports import LogLine, PassSummary, StoredProposal, Transition
from reconciler.loop.store.store import Store
from reconciler.loop.usage import UsageBook
from reconciler.settings import Settings
from reconciler.sources.manifests import read_manifests
from reconciler.web.view import FleetEvent, ServerFacts

MOST_TRANSITIONS: Final = 10_000
"""All that the store keeps."""


class StoredView:
    """Implements `reconciler.web.view.FleetView` over a store that nobody writes to now."""

    def __init__(
        self,
        newest: Pass | None,
        statuses: Sequence[ServerStatus],
        usages: Mapping[str, Usage],
        specs: Mapping[str, ServerSpec],
    ) -> None:
        self._newest = newest
        self._statuses = statuses
        self._usages = usages
        self._specs = specs

    @property
    def fleet(self) -> str:
        return self._newest.fleet if self._newest else ""

    def newest_pass(self) -> Pass | None:
        return self._newest

    def statuses(self) -> Sequence[ServerStatus]:
        return self._statuses

    async def history(self, *, limit: int) -> Sequence[PassSummary]:  # noqa: ARG002 - The view's shape.
        """Nobody asks a program that is about to end."""
        return ()

    async def passes(self, revision: str, *, limit: int) -> Sequence[Pass]:  # noqa: ARG002 - The view's shape.
        return (self._newest,) if self._newest else ()

    async def transitions(self, server: str, *, limit: int) -> Sequence[Transition]:  # noqa: ARG002 - The view's shape.
        """Nobody asks a program that is about to end."""
        return ()

    def facts(self) -> Mapping[str, ServerFacts]:
        """As the manifests of the revision in force have them, where they can be read here."""
        return facts_of(self._specs)

    async def proposals(self, *, limit: int, number: int | None = None) -> Sequence[StoredProposal]:  # noqa: ARG002 - The view's shape.
        """Nobody proposes anything to a fleet that is not followed."""
        return ()

    async def applied(self) -> AppliedState | None:
        """Nobody asks a program that is about to end."""
        return None

    async def log_lines(self, server: str, *, limit: int) -> Sequence[LogLine]:  # noqa: ARG002 - The view's shape.
        raise Unavailable("not-running", f"the log of {server} can be read while `catwalk up` runs")

    async def log_tail(self, server: str) -> AsyncIterator[LogLine]:
        raise Unavailable("not-running", f"the log of {server} can be read while `catwalk up` runs")
        yield

    def usages(self) -> Mapping[str, Usage]:
        return self._usages

    def mcp_url(self, server: str) -> str:  # noqa: ARG002 - The view's shape.
        """Nothing serves it now."""
        return ""

    async def events(self) -> AsyncIterator[FleetEvent]:
        """Nothing happens while nothing runs."""
        return
        yield


async def stored_view(store: Store, directory: Path, settings: Settings) -> StoredView:
    """What the store knows, with prices by the manifests of the revision in force, where they can be read here."""
    newest = await store.latest_pass()
    specs = await _specs(newest.applied_revision if newest else None, directory, settings)
    book = UsageBook()
    book.remember(await store.transitions(limit=MOST_TRANSITIONS))
    return StoredView(newest, await store.statuses(), book.usages(specs, SystemClock().now()), specs)


async def _specs(revision: Revision | None, directory: Path, settings: Settings) -> Mapping[str, ServerSpec]:
    if revision is None:
        return {}
    try:
        source = open_source(directory, settings, worktree=not revision.committed)
        found = read_manifests(await source.files(revision), settings.environment)
    except CatwalkError:
        # A state without its repository is still worth showing; it has no prices.
        return {}
    return {spec.name: spec for spec in found.specs}
