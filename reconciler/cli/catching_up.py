"""Finds what no webhook told: asked for when this process begins to lead, and looked for now and then.

It is the safety net under webhooks. Nothing depends on it but the moment, so that its failures are logged and waited
out.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import structlog

from reconciler.errors import CatwalkError
from reconciler.loop.leadership import Lead
from reconciler.loop.store.store import Store
from reconciler.report.missed import FailedDeliveries, OpenPulls

LOOK_S: Final = 600.0
"""How often open pull requests are listed: one call."""
UNTIL_LED_S: Final = 1.0

Work = Callable[[], Awaitable[int]]

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.webhooks")


class CatchUp:
    """Runs beside the passes until it is cancelled."""

    def __init__(
        self, store: Store, lead: Lead, *, branch: Callable[[], str], pulls: OpenPulls, failed: FailedDeliveries | None
    ) -> None:
        """`branch` gives the followed branch, or nothing while it is not known; `failed` is for an App."""
        self._store, self._lead, self._branch = store, lead, branch
        self._pulls, self._failed = pulls, failed

    async def run(self) -> None:
        asked = False
        while True:
            if not self._lead.may_act() or not self._branch():
                await anyio.sleep(UNTIL_LED_S)
                continue
            if self._failed is not None and not asked:
                asked = await self._guarded("deliveries-asked-for", self._failed.ask_again)
            await self._guarded("proposals-found", self.find_proposals)
            await anyio.sleep(LOOK_S)

    async def find_proposals(self) -> int:
        """Makes heads of open pull requests wait that nobody told of; how many there were.

        Raises:
            CatwalkError: GitHub or the store does not answer.
        """
        known = await self._store.known_proposals()
        found = [one for one in await self._pulls.proposals(self._branch()) if (one.number, one.commit) not in known]
        for proposal in reversed(found):
            await self._store.ask(proposal)
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
