"""What the dashboard sees: the live state, the store, the log door and the gateway's address, as one view.

Implements `reconciler.web.view.FleetView`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self, TypeVar

import anyio

from reconciler.cli.facts import FactsBook
from reconciler.cli.wiring import Wired
from reconciler.core.actions import Pass
from reconciler.core.applied import AppliedState
from reconciler.core.savings import Usage
from reconciler.core.types import ServerStatus
from reconciler.errors import CatwalkError
from reconciler.loop.live import LiveState
from reconciler.loop.ports import LogLine, PassSummary, StoredProposal, Transition
from reconciler.loop.progress import PassFinished, ProgressEvent, ServerChanged
from reconciler.loop.store.writes import KEPT_PASSES
from reconciler.loop.usage import UsageBook
from reconciler.web.view import FleetEvent, FleetEventKind, ServerFacts

ItemT = TypeVar("ItemT")


PASSES_IN_MEMORY: Final = 12
USAGES_LAST: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is known of servers besides the verdicts on them."""

    book: UsageBook
    facts: FactsBook


class LiveFleetView:
    """One running fleet."""

    def __init__(self, wired: Wired, live: LiveState, told: Told, gateway_url: str) -> None:
        self._wired = wired
        self._live = live
        self._book = told.book
        self._gateway_url = gateway_url
        self._facts = told.facts
        self._read: dict[int, Pass] = {}
        self._usages: Mapping[str, Usage] = {}
        self._usages_at = datetime.min.replace(tzinfo=UTC)
        self._stopping = anyio.Event()

    def __deepcopy__(self, memo: object) -> Self:
        """Litestar copies the routers that it is given; there is one fleet behind all copies."""
        return self

    @property
    def fleet(self) -> str:
        return self._wired.fleet.name

    def newest_pass(self) -> Pass | None:
        return self._live.view().newest

    def statuses(self) -> Sequence[ServerStatus]:
        return self._live.view().statuses

    async def history(self, *, limit: int) -> Sequence[PassSummary]:
        return await self._wired.store.history(limit=limit)

    async def passes(self, revision: str, *, limit: int) -> Sequence[Pass]:
        """The newest pass over a revision and those that had actions, with all that they did."""
        lines = await self._wired.store.history(limit=KEPT_PASSES, commit=revision)
        same = [line for line in lines if line.commit == lines[0].commit]
        worth = [line for place, line in enumerate(same) if place == 0 or line.actions][:limit]
        found = [await self._pass(line.number) for line in worth]
        return [finished for finished in found if finished is not None]

    async def transitions(self, server: str, *, limit: int) -> Sequence[Transition]:
        return await self._wired.store.transitions(server, limit=limit)

    def facts(self) -> Mapping[str, ServerFacts]:
        return self._facts.known(self._wired.fleet.specs)

    async def proposals(self, *, limit: int, number: int | None = None) -> Sequence[StoredProposal]:
        return await self._wired.store.proposals(limit=limit, number=number)

    async def applied(self) -> AppliedState | None:
        return await self._wired.kept_state.read()

    async def _pass(self, number: int) -> Pass | None:
        """A pass never changes, and one that applied a whole fleet is long: the last ones are kept."""
        known = self._read.get(number) or await self._wired.store.pass_by_number(number)
        if known is not None:
            self._read[number] = known
            while len(self._read) > PASSES_IN_MEMORY:
                del self._read[next(iter(self._read))]
        return known

    async def log_lines(self, server: str, *, limit: int) -> Sequence[LogLine]:
        return await self._wired.doors.logs.recent(f"{self.fleet}-{server}", limit=limit)

    async def log_tail(self, server: str) -> AsyncIterator[LogLine]:
        """Ends with the process, so that nobody who reads along holds the shutdown up."""
        lines = self._wired.doors.logs.follow(f"{self.fleet}-{server}")
        try:
            while (line := await self._before_stop(lines)) is not None:
                yield line
        finally:
            await lines.aclose()

    def usages(self) -> Mapping[str, Usage]:
        """An estimate by the minute and more, so that pages which are opened together share it."""
        now = self._wired.ports.clock.now()
        if now - self._usages_at >= USAGES_LAST:
            self._usages, self._usages_at = self._book.usages(self._wired.fleet.specs, now), now
        return self._usages

    def mcp_url(self, server: str) -> str:
        return f"{self._gateway_url}/servers/{server}/mcp"

    async def events(self) -> AsyncIterator[FleetEvent]:
        """Changes from now on; ends when the process begins to stop."""
        with self._live.subscribe() as subscription:
            events = aiter(subscription)
            while (event := await self._before_stop(events)) is not None:
                hint = _hint(event)
                if hint is not None:
                    yield hint

    def stop(self) -> None:
        """Ends every open stream, so that pages do not hold the shutdown up."""
        self._stopping.set()

    async def _before_stop(self, items: AsyncIterator[ItemT]) -> ItemT | None:
        """The next item; none when there is no more, or when the process stops."""
        arrived: list[ItemT] = []
        async with anyio.create_task_group() as group:

            async def wait_for_item() -> None:
                with suppress(StopAsyncIteration, CatwalkError):
                    arrived.append(await anext(items))
                group.cancel_scope.cancel()

            group.start_soon(wait_for_item)
            await self._stopping.wait()
            group.cancel_scope.cancel()
        return arrived[0] if arrived else None


def _hint(event: ProgressEvent) -> FleetEvent | None:
    match event:
        case ServerChanged():
            return FleetEvent(kind=FleetEventKind.SERVER_CHANGED, server=event.status.server, state=event.status.state)
        case PassFinished():
            return FleetEvent(kind=FleetEventKind.RECONCILED)
        case _:
            return None
