"""What changed in the organization, asked once a second for all who wait for something to change.

A wait of its own is the fastest way to learn that a machine has started, and costs a connection for as long as that
takes. Where a thousand machines start at once, one list of what changed lately (`updated_after`) tells it of all of
them, at the one call a second that Fly allows for it. Lists lag and hold little, so that what they say is no proof of
anything: it is the reason to look at that machine now. What they miss is found by looking now and then, as before.

There is no task that looks. One of those who wait does it for all, and another goes on when it is done.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import anyio

from reconciler.errors import CatwalkError
from reconciler.fly import machines
from reconciler.fly.client import MachinesAPI

INTERVAL_S: Final = 1.0
OVERLAP: Final = timedelta(seconds=3)
"""Each list begins this long before the newest change of the one before, for changes that were listed late."""
PAGES: Final = 20
"""Of a thousand changes each; what comes after them is told by the next list."""
_ON_ITS_WAY: Final = frozenset(
    {"creating", "created", "starting", "restarting", "updating", "replacing", "stopping", "suspending", "destroying"}
)
"""States that will become another one, so that a look would come too early."""


@dataclass(slots=True)
class _Round:
    """One list, and those who wait for it."""

    over: anyio.Event = field(default_factory=anyio.Event)
    changed: frozenset[str] = frozenset()


class News:
    """Changes of the machines of one organization."""

    def __init__(self, api: MachinesAPI, organization: str) -> None:
        self._api = api
        self._organization = organization
        self._round = _Round()
        self._looking = False
        self._looked_s = 0.0
        self._after: datetime | None = None

    async def until_heard_of(self, machine_id: str, *, until_s: float) -> None:
        """Returns when the machine has come to rest in some state, or when it is `until_s` (monotonic seconds)."""
        while self._api.timing.monotonic() < until_s:
            if machine_id in await self._next():
                return

    async def _next(self) -> frozenset[str]:
        """What the next list tells; this caller asks for it unless another one does."""
        this = self._round
        if self._looking:
            await this.over.wait()
            return this.changed
        self._looking = True
        try:
            await self._rest()
            this.changed = await self._list()
        finally:
            # Also where this caller is cancelled: the others must not wait for it.
            self._looking, self._round = False, _Round()
            this.over.set()
        return this.changed

    async def _rest(self) -> None:
        """Until a second after the last list; before the first one, for a second in which something can change."""
        now_s = self._api.timing.monotonic()
        due_s = self._looked_s + INTERVAL_S
        await self._api.timing.sleep(due_s - now_s if now_s < due_s <= now_s + INTERVAL_S else INTERVAL_S)
        self._looked_s = self._api.timing.monotonic()

    async def _list(self) -> frozenset[str]:
        """The machines that changed. A list that fails is no news."""
        changed: set[str] = set()
        after, cursor = self._since(), ""
        try:
            for _ in range(PAGES):
                page = await machines.changes_of_organization(self._api, self._organization, after=after, cursor=cursor)
                changed |= {entry.id for entry in page.machines if entry.state not in _ON_ITS_WAY}
                self._after = _later(self._after, page.last_updated_at)
                if page.next_cursor in {"", cursor}:
                    break
                cursor = page.next_cursor
        except CatwalkError:
            return frozenset(changed)
        return frozenset(changed)

    def _since(self) -> str:
        """The moment after which changes are news; none where nobody has told the time of the platform yet."""
        after = self._after or self._api.platform_now()
        return (after - OVERLAP).isoformat() if after else ""


def _later(known: datetime | None, text: str) -> datetime | None:
    """The later of a moment and one as it is written."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return known
    if found.tzinfo is None:
        return known
    return max(known, found) if known else found
