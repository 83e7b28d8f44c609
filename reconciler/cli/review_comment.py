"""The sticky comment of a workflow: one on each pull request, found by its mark and by who wrote it.

The token of a workflow writes as `github-actions[bot]` and may not ask who it is. In runs for forks it may only read;
then there is no comment, and the summary of the run says the same.
"""

from collections.abc import Mapping
from typing import Final

from reconciler.cli.review_event import Proposed
from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault
from reconciler.loop.clock import SystemClock
from reconciler.report.comments import StickyComment
from reconciler.report.credentials import PersonalToken
from reconciler.report.github import GitHub
from reconciler.report.pace import Pace
from reconciler.report.repository import Repository

MARK: Final = "action"
_BOT: Final = "github-actions[bot]"


class WorkflowBot:
    """Who a workflow's token writes as."""

    async def login(self) -> str:
        """As `Author.login`; the same for all workflows (GitHub docs, "Automatic token authentication")."""
        return _BOT


async def say(markdown: str, event: Proposed, environment: Mapping[str, str]) -> None:
    """Makes `markdown` the comment of the pull request; does nothing where the run is for none.

    Raises:
        CatwalkError: there is no token, it may not write, or GitHub does not answer.
    """
    if not event.pull_request or not event.repository:
        return
    token = environment.get("GITHUB_TOKEN")
    if not token:
        raise EnvironmentFault(
            "no-github-token", "there is no GITHUB_TOKEN to comment with", hint="pass it, or set `comment: false`"
        )
    clock = SystemClock()
    base_url = environment.get("GITHUB_API_URL") or "https://api.github.com"
    owner, _, name = event.repository.partition("/")
    repository = Repository(host="github.com", owner=owner, name=name)
    async with GitHub(base_url, PersonalToken(SecretValue(token)), clock) as github:
        comment = StickyComment(github, repository, WorkflowBot(), Pace(clock), fleet=MARK)
        await comment.say(event.pull_request, markdown)
