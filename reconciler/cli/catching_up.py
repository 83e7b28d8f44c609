"""Finds what no webhook told: asked for when this process begins to lead, and looked for now and then.

It is the safety net under webhooks, and looks sooner when the base of the pull requests has moved, because then their
plans say what is no longer so. Nothing depends on it but the moment, so that its failures are logged and waited
out.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import anyio
import structlog

from reconciler.errors import CatwalkError
from reconciler.loop.leadership import Lead
from reconciler.loop.ports import Proposal
from reconciler.loop.store.store import Store
from reconciler.report.missed import FailedDeliveries, OpenPulls

LOOK_S: Final = 600.0
"""How often open pull requests are listed: one call."""
UNTIL_LED_S: Final = 1.0

REST_S: Final = 5.0
"""Commits that follow each other closer than this are one move of the base."""

Work = Callable[[], Awaitable[int]]
Reconsider = Callable[[Sequence[Proposal]], None]

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.webhooks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What the fleet follows, as it is then."""

    branch: Callable[[], str]
    """Empty while it is not known."""
    base: Callable[[], str]
    """The commit in force, which plans are compared with; empty before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What GitHub is asked through."""

    pulls: OpenPulls
    failed: FailedDeliveries | None
    """For an App alone."""


class CatchUp:
    """Runs beside the passes until it is cancelled."""

    def __init__(self, store: Store, lead: Lead, followed: Followed, doors: Doors, reconsider: Reconsider) -> None:
        """`reconsider` is told which pull requests are open, after each look."""
        self._store, self._lead, self._followed = store, lead, followed
        self._pulls, self._failed, self._reconsider = doors.pulls, doors.failed, reconsider

    async def run(self) -> None:
        asked = False
        while True:
            if not self._lead.may_act() or not self._followed.branch():
                await anyio.sleep(UNTIL_LED_S)
                continue
            if self._failed is not None and not asked:
                asked = await self._guarded("deliveries-asked-for", self._failed.ask_again)
            await self._guarded("proposals-found", self.find_proposals)
            await self._until_due()

    async def _until_due(self) -> None:
        """Until it is time for the next look, or the base of the pull requests has moved and rests again."""
        base = self._followed.base()
        for _ in range(int(LOOK_S / UNTIL_LED_S)):
            await anyio.sleep(UNTIL_LED_S)
            if self._followed.base() != base:
                await anyio.sleep(REST_S)
                return

    async def find_proposals(self) -> int:
        """Makes heads of open pull requests wait that nobody told of, and the others be compared with the base of now.

        Returns:
            How many nobody told of.

        Raises:
            CatwalkError: GitHub or the store does not answer.
        """
        known = await self._store.known_proposals()
        open_now = await self._pulls.proposals(self._followed.branch())
        found = [one for one in open_now if (one.number, one.commit) not in known]
        for proposal in reversed(found):
            await self._store.ask(proposal)
        self._reconsider(open_now)
        return len(found)

    async def _guarded(self, event: str, work: Work) -> bool:
        """Whether it worked."""
        try:
            number = await work()
        except CatwalkError as fault:
            log.warning("catching-up-failed", problem=str(fault))
            return False
        if number:
            log.info(event, number=number)
        return True
