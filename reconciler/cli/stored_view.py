"""The fleet as the store remembers it, for when no process runs that could be asked."""

from collections.abc import AsyncIterator, Sequence

from reconciler.core.actions import Pass
from reconciler.core.types import ServerStatus
from reconciler.errors import Unavailable
from reconciler.loop.ports import LogLine
from reconciler.loop.store.store import Store
from reconciler.web.view import FleetEvent


class StoredView:
    """Implements `reconciler.web.view.FleetView` over a store that nobody writes to now."""

    def __init__(self, newest: Pass | None, statuses: Sequence[ServerStatus]) -> None:
        self._newest = newest
        self._statuses = statuses

    @property
    def fleet(self) -> str:
        return self._newest.fleet if self._newest else ""

    def newest_pass(self) -> Pass | None:
        return self._newest

    def statuses(self) -> Sequence[ServerStatus]:
        return self._statuses

    async def passes(self, *, limit: int, revision: str = "") -> Sequence[Pass]:  # noqa: ARG002 - The view's shape.
        return (self._newest,) if self._newest else ()

    async def log_lines(self, server: str, *, limit: int) -> Sequence[LogLine]:  # noqa: ARG002 - The view's shape.
        raise Unavailable("not-running", f"the log of {server} can be read while `catwalk up` runs")

    def mcp_url(self, server: str) -> str:  # noqa: ARG002 - The view's shape.
        """Nothing serves it now."""
        return ""

    async def events(self) -> AsyncIterator[FleetEvent]:
        """Nothing happens while nothing runs."""
        return
        yield


async def stored_view(store: Store) -> StoredView:
    return StoredView(await store.latest_pass(), await store.statuses())
