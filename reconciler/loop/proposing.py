"""The task that plans what was proposed: one commit after the other, in the process that leads.

Asking is durable, so that nothing is lost by a restart or a change of the leader; planning twice changes nothing. A
repository that does not answer is asked again with growing patience, and holds nothing else up.
"""

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Protocol

import anyio
import structlog

from reconciler.core.proposals import ProposedPlan
from reconciler.errors import CatwalkError
from reconciler.loop.faults import stack_of
from reconciler.loop.leadership import Lead
from reconciler.loop.ports import Clock, Proposal, Proposals, WaitingProposal
from reconciler.loop.proposals import ProposalPlanner

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.proposals")

LOOK_S: Final = 3.0
"""How often a waiting commit is looked for that another process took in."""
FIRST_BACK_OFF_S: Final = 5.0
LONGEST_BACK_OFF_S: Final = 300.0
MOST_TRIES: Final = 30
"""With the longest back-off, more than two hours; then a newer commit or another leader must come."""

MOST_RECONSIDERED: Final = 50
"""Pull requests that are planned anew when the base moves: those that changed last. Others are at their next event."""
NOBODY_ASKED: Final = -1
"""The number of a plan that nobody asked for: who asks meanwhile still waits."""


class ProposalReporter(Protocol):
    """Tells whoever proposed a commit what it would do. Saying the same again changes nothing."""

    async def begun(self, proposal: Proposal) -> None:
        """It is being planned.

        Raises:
            CatwalkError: it could not be made durable.
        """
        ...

    async def planned(self, proposal: Proposal, planned: ProposedPlan, *, again: bool) -> None:
        """What came of it; `again` where it was told before and somebody asked anew. Raises as `begun` does."""
        ...

    async def failed(self, proposal: Proposal, fault: CatwalkError) -> None:
        """It cannot be planned now, and why. Raises as `begun` does."""
        ...


class ProposalWorker:
    """Plans until it is cancelled."""

    def __init__(
        self, planner: ProposalPlanner, memory: Proposals, reporter: ProposalReporter, lead: Lead, clock: Clock
    ) -> None:
        self._planner, self._memory, self._reporter = planner, memory, reporter
        self._lead, self._clock = lead, clock
        self._woken = anyio.Event()
        self._failures: dict[Proposal, tuple[int, datetime]] = {}
        self._open: deque[Proposal] = deque()

    def reconsider(self, proposals: Iterable[Proposal]) -> None:
        """Plans open pull requests anew whose plans were made against another base. Returns at once.

        Asked for again before all were looked at, only the new list counts: each is compared with the newest base.
        """
        self._open = deque(islice(proposals, MOST_RECONSIDERED))
        self._woken.set()

    @property
    def base_commit(self) -> str:
        """The commit that plans are compared with; empty where there is none."""
        return self._planner.base_commit

    def wake(self) -> None:
        """Something was proposed. Returns at once."""
        self._woken.set()

    async def run(self) -> None:
        while True:
            try:
                busy = await self.step()
            except Exception as error:  # noqa: BLE001  # The edge of a task: proposals must not end the fleet.
                log.error("proposing-crashed", fault=type(error).__name__, stack=stack_of(error))
                busy = False
            if not busy:
                with anyio.move_on_after(LOOK_S):
                    await self._woken.wait()
                self._woken = anyio.Event()

    async def step(self) -> bool:
        """Plans the oldest commit that is due; whether there was one."""
        if not self._lead.may_act() or not self._planner.ready:
            return False
        waiting = await self._memory.waiting()
        named = {one.proposal for one in waiting}
        self._failures = {proposal: past for proposal, past in self._failures.items() if proposal in named}
        due = next((one for one in waiting if self._is_due(one.proposal)), None)
        if due is None:
            return await self._reconsider_next()
        try:
            await self._plan(due)
        except CatwalkError as fault:
            await self._failed(due.proposal, fault)
        return True

    async def _plan(self, waiting: WaitingProposal) -> None:
        proposal = waiting.proposal
        if not waiting.told:
            await self._reporter.begun(proposal)
        planned = await self._planner.plan(proposal)
        await self._reporter.planned(proposal, planned, again=waiting.told)
        await self._memory.keep_proposed(proposal, planned, asked=waiting.asked)
        log.info("proposal", number=proposal.number, commit=proposal.commit, problems=len(planned.problems))

    async def _reconsider_next(self) -> bool:
        """Plans the next open pull request whose base has moved; whether there was one."""
        while self._open:
            proposal = self._open.popleft()
            try:
                if await self._reconsidered(proposal):
                    return True
            except CatwalkError as fault:
                log.warning("proposal-not-reconsidered", number=proposal.number, code=fault.problem.code)
        return False

    async def _reconsidered(self, proposal: Proposal) -> bool:
        """What is told of it changes only where the plan does: a base that moves elsewhere is no news.

        Raises:
            CatwalkError: as planning and telling do. The next move of the base, or the next look, tries again.
        """
        stored = await self._memory.stored(proposal)
        if stored is None or stored.waits or stored.planned is None:
            return False
        before = stored.planned
        if before.base is not None and before.base.commit == self._planner.base_commit:
            return False
        planned = await self._planner.plan(proposal)
        if not planned.says_as(before):
            await self._reporter.planned(proposal, planned, again=False)
        await self._memory.keep_proposed(proposal, planned, asked=NOBODY_ASKED)
        log.info("proposal-reconsidered", number=proposal.number, news=not planned.says_as(before))
        return True

    async def _failed(self, proposal: Proposal, fault: CatwalkError) -> None:
        tries = self._failures.get(proposal, (0, self._clock.now()))[0] + 1
        wait_s = min(FIRST_BACK_OFF_S * 2 ** (tries - 1), LONGEST_BACK_OFF_S)
        self._failures[proposal] = (tries, self._clock.now() + timedelta(seconds=wait_s))
        log.warning("proposal-failed", number=proposal.number, tries=tries, code=fault.problem.code)
        await self._reporter.failed(proposal, fault)

    def _is_due(self, proposal: Proposal) -> bool:
        tries, not_before = self._failures.get(proposal, (0, self._clock.now()))
        return tries < MOST_TRIES and self._clock.now() >= not_before
