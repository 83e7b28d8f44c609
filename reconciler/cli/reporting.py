"""Opens the door through which readers outside hear of a pass.

Statuses are written when it is known where and as whom: `CATWALK_REPO_URL` names a repository on GitHub and
`GITHUB_TOKEN` may write there. Otherwise nobody outside is told, which is right on a person's own machine.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from reconciler.cli.place import Place
from reconciler.errors import EnvironmentFault
from reconciler.loop.clock import SystemClock
from reconciler.loop.ports import Reporter
from reconciler.report.github import GitHub, PersonalToken, RepositoryStatuses
from reconciler.report.outbox import Outbox
from reconciler.report.reporter import GitHubReporter, NullReporter
from reconciler.report.repository import Repository, api_url, parse_repository
from reconciler.report.stores import FileOutboxStore
from reconciler.settings import Settings

OUTBOX_FILE: Final = "outbox.json"
LAST_POSTS_S: Final = 20.0
"""How long a command that ends waits for GitHub. What is left is sent by the next one."""


@asynccontextmanager
async def open_reporter(place: Place, settings: Settings) -> AsyncGenerator[Reporter]:
    """A reporter for one command; what it has to say is sent before the block ends."""
    repository = _repository(settings)
    if settings.github_token is None or repository is None:
        yield NullReporter()
        return
    clock = SystemClock()
    base_url = settings.github_api_url or api_url(repository)
    async with GitHub(base_url, PersonalToken(settings.github_token), clock) as github:
        store = FileOutboxStore(place.state_dir / OUTBOX_FILE)
        outbox = Outbox(RepositoryStatuses(github, repository), store, clock)
        reporter = GitHubReporter(outbox, public_url=settings.public_url)
        yield reporter
        await reporter.drain(timeout_s=LAST_POSTS_S)


def _repository(settings: Settings) -> Repository | None:
    """The repository on GitHub; none where the source is somewhere else."""
    if not settings.repo_url:
        return None
    try:
        return parse_repository(settings.repo_url)
    except EnvironmentFault:
        return None
