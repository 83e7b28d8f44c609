"""Opens the door through which readers outside hear of a pass.

Statuses are written when it is known where and as whom: `CATWALK_REPO_URL` names a repository on GitHub and
`GITHUB_TOKEN` may write there. Otherwise nobody outside is told, which is right on a person's own machine.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import anyio

from reconciler.cli.place import Place
from reconciler.cli.repository import github_repository
from reconciler.loop.clock import SystemClock
from reconciler.loop.ports import Reporter
from reconciler.report.github import GitHub, PersonalToken, RepositoryStatuses
from reconciler.report.outbox import Outbox
from reconciler.report.reporter import GitHubReporter, NullReporter
from reconciler.report.repository import api_url
from reconciler.report.stores import FileOutboxStore
from reconciler.settings import Settings

OUTBOX_FILE: Final = "outbox.json"
LAST_POSTS_S: Final = 20.0
"""How long a command that ends waits for GitHub. What is left is sent by the next one."""
FAREWELL_S: Final = 5.0
"""How long a service that ends waits for GitHub: service managers are less patient than people."""


@asynccontextmanager
async def open_reporter(place: Place, settings: Settings) -> AsyncGenerator[Reporter]:
    """A reporter for one command; what it has to say is sent before the block ends."""
    async with _github_reporter(place, settings) as reporter:
        yield reporter or NullReporter()
        if reporter is not None:
            await reporter.drain(timeout_s=LAST_POSTS_S)


@asynccontextmanager
async def running_reporter(place: Place, settings: Settings) -> AsyncGenerator[Reporter]:
    """A reporter for a service: it sends all the time, and at the end what can be sent in a few seconds."""
    async with _github_reporter(place, settings) as reporter:
        if reporter is None:
            yield NullReporter()
            return
        async with anyio.create_task_group() as group:
            group.start_soon(reporter.run)
            yield reporter
            group.cancel_scope.cancel()
        await reporter.drain(timeout_s=FAREWELL_S)


@asynccontextmanager
async def _github_reporter(place: Place, settings: Settings) -> AsyncGenerator[GitHubReporter | None]:
    repository = github_repository(settings)
    if settings.github_token is None or repository is None:
        yield None
        return
    clock = SystemClock()
    base_url = settings.github_api_url or api_url(repository)
    async with GitHub(base_url, PersonalToken(settings.github_token), clock) as github:
        store = FileOutboxStore(place.state_dir / OUTBOX_FILE)
        outbox = Outbox(RepositoryStatuses(github, repository), store, clock)
        yield GitHubReporter(outbox, public_url=settings.public_url)
