"""Writes what became of a proposed commit to GitHub: its check, and the comment of its pull request.

Implements the loop's `ProposalReporter`. Both are made durable and sent by others, in their own time.
"""

from collections.abc import Callable
from typing import Final

from reconciler.core.problems import Remedy
from reconciler.core.proposals import ProposedPlan
from reconciler.errors import CatwalkError
from reconciler.loop.ports import Proposal
from reconciler.report.comments import Author, StickyComment
from reconciler.report.courier import Courier
from reconciler.report.github import GitHub
from reconciler.report.letters import key_of
from reconciler.report.messages import Message, Wish
from reconciler.report.outbox import Outbox
from reconciler.report.pace import Pace
from reconciler.report.plan_report import begun_status, failed_status, plan_comment, plan_status
from reconciler.report.repository import Repository

COMMENT: Final = "comment"
"""The channel of comments on pull requests."""
SUBJECT: Final = "pull/"


class CommentChannel:
    """Tells a pull request in its one comment. Implements `Channel`."""

    def __init__(
        self, github: GitHub, repository: Repository, author: Author, pace: Pace, *, fleet: Callable[[], str]
    ) -> None:
        """`fleet` gives the name that tells comments of several fleets of one repository apart, or nothing yet."""
        self._github, self._repository, self._author, self._pace = github, repository, author, pace
        self._fleet = fleet

    async def tell(self, message: Message) -> None:
        """As `Channel.tell`; a comment that says so already is left alone."""
        number = int(message.subject.removeprefix(SUBJECT))
        fleet = self._fleet() or "fleet"
        comment = StickyComment(self._github, self._repository, self._author, self._pace, fleet=fleet)
        await comment.say(number, message.text)


class ProposalReports:
    """The check and the comment of proposed commits of one repository."""

    def __init__(self, outbox: Outbox, courier: Courier, *, public_url: str = "", directory: str = "") -> None:
        self._outbox, self._courier = outbox, courier
        self._public_url, self._directory = public_url.rstrip("/"), directory

    async def begun(self, proposal: Proposal) -> None:
        """That it is being planned; where something is said of the commit already, that stays until there is news."""
        status = begun_status(proposal.commit, target_url=self._page(proposal))
        said = {letter.key for letter in await self._outbox.letters()}
        if key_of(status) not in said:
            await self._outbox.want([status])

    async def planned(self, proposal: Proposal, planned: ProposedPlan, *, again: bool) -> None:
        """The check, as a run of its own where somebody pressed "Re-run"; and the comment."""
        page = self._page(proposal)
        status = plan_status(planned, target_url=page, directory=self._directory)
        await self._outbox.want([status], again=again)
        if proposal.number:
            text = plan_comment(planned, target_url=page)
            await self._courier.want([Wish(channel=COMMENT, subject=f"{SUBJECT}{proposal.number}", text=text)])

    async def failed(self, proposal: Proposal, fault: CatwalkError) -> None:
        """Only what somebody must mend is told: the check stays pending while the repository is asked again."""
        if fault.remedy is not Remedy.WAIT:
            await self._outbox.want([failed_status(proposal.commit, fault.problem, target_url=self._page(proposal))])

    def _page(self, proposal: Proposal) -> str:
        """The page of the pull request; a commit of a merge queue has none, because nobody looks for it there."""
        return f"{self._public_url}/pulls/{proposal.number}" if self._public_url and proposal.number else ""
