"""Opens the door through which readers outside hear of a pass.

Results are written back when it is known where and as whom: `CATWALK_REPO_URL` names a repository on GitHub, and a
GitHub App (`CATWALK_GITHUB_APP_ID` with `CATWALK_GITHUB_APP_KEY`) or else `GITHUB_TOKEN` may write there. The App
writes check runs, a token commit statuses. Otherwise nobody outside is told, which is right on a person's own machine.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Final

import anyio

from reconciler.cli.place import Place
from reconciler.cli.repository import github_repository
from reconciler.errors import EnvironmentFault
from reconciler.loop.clock import SystemClock
from reconciler.loop.ports import LogLine, Logs, Reporter
from reconciler.report.app_key import AppKey
from reconciler.report.channel import AppChannel
from reconciler.report.checks import RepositoryChecks
from reconciler.report.connection import Connection
from reconciler.report.credentials import AppInstallation
from reconciler.report.github import GitHub, PersonalToken, RepositoryStatuses
from reconciler.report.outbox import Outbox, StatusService
from reconciler.report.pace import Pace
from reconciler.report.reporter import GitHubReporter, NullReporter, ReportSettings
from reconciler.report.repository import Repository, api_url
from reconciler.report.stores import FileOutboxStore
from reconciler.settings import Settings

OUTBOX_FILE: Final = "outbox.json"
LAST_POSTS_S: Final = 20.0
"""How long a command that ends waits for GitHub. What is left is sent by the next one."""
FAREWELL_S: Final = 5.0
"""How long a service that ends waits for GitHub: service managers are less patient than people."""


class LateLogs:
    """Logs for a reporter that is opened before the machines are: nothing until `source` is set."""

    __slots__ = ("source",)

    def __init__(self) -> None:
        self.source: Logs | None = None

    async def recent(self, app: str, *, limit: int) -> Sequence[LogLine]:
        """As `Logs.recent`.

        Raises:
            Unavailable: the log service does not answer.
        """
        return await self.source.recent(app, limit=limit) if self.source is not None else ()


@asynccontextmanager
async def open_reporter(
    place: Place, settings: Settings, *, manner: ReportSettings | None = None
) -> AsyncGenerator[Reporter]:
    """A reporter for one command; what it has to say is sent before the block ends.

    Raises:
        EnvironmentFault: half of the App's credentials is missing, or they cannot be used.
    """
    async with _github_reporter(place, settings, manner or ReportSettings()) as reporter:
        yield reporter or NullReporter()
        if reporter is not None:
            await reporter.drain(timeout_s=LAST_POSTS_S)


@asynccontextmanager
async def running_reporter(
    place: Place, settings: Settings, *, manner: ReportSettings | None = None
) -> AsyncGenerator[Reporter]:
    """A reporter for a service: it sends all the time, and at the end what can be sent in a few seconds.

    `manner` tells where the followed directory is in the repository and where logs come from, for check runs.

    Raises:
        EnvironmentFault: half of the App's credentials is missing, or they cannot be used.
    """
    manner = replace(manner or ReportSettings(), repeats=settings.github_app_key is not None)
    async with _github_reporter(place, settings, manner) as reporter:
        if reporter is None:
            yield NullReporter()
            return
        async with anyio.create_task_group() as group:
            group.start_soon(reporter.run)
            yield reporter
            group.cancel_scope.cancel()
        await reporter.drain(timeout_s=FAREWELL_S)


@asynccontextmanager
async def _github_reporter(
    place: Place, settings: Settings, manner: ReportSettings
) -> AsyncGenerator[GitHubReporter | None]:
    key, repository = _app_key(settings), github_repository(settings)
    if repository is None or (key is None and settings.github_token is None):
        yield None
        return
    async with AsyncExitStack() as opened:
        if key is not None:
            service = await _as_app(key, repository, settings, opened)
        else:
            service = await _as_person(repository, settings, opened)
        outbox = Outbox(service, FileOutboxStore(place.state_dir / OUTBOX_FILE), SystemClock())
        manner = replace(manner, public_url=settings.public_url, detailed=key is not None)
        yield GitHubReporter(outbox, settings=manner)


async def _as_app(key: AppKey, repository: Repository, settings: Settings, opened: AsyncExitStack) -> StatusService:
    clock, base_url = SystemClock(), _base_url(repository, settings)
    connection = await opened.enter_async_context(Connection(base_url, clock))
    installation = AppInstallation(key, repository, connection, clock)
    github = await opened.enter_async_context(GitHub(base_url, installation, clock))
    checks = RepositoryChecks(github, repository, Pace(clock), app_id=key.app_id)
    return AppChannel(installation, checks, RepositoryStatuses(github, repository))


async def _as_person(repository: Repository, settings: Settings, opened: AsyncExitStack) -> StatusService:
    assert settings.github_token is not None
    credential = PersonalToken(settings.github_token)
    door = GitHub(_base_url(repository, settings), credential, SystemClock())
    return RepositoryStatuses(await opened.enter_async_context(door), repository)


def _app_key(settings: Settings) -> AppKey | None:
    """The App to write as; none where there is none."""
    if not settings.github_app_id and settings.github_app_key is None:
        return None
    if not settings.github_app_id or settings.github_app_key is None:
        missing = "CATWALK_GITHUB_APP_KEY" if settings.github_app_id else "CATWALK_GITHUB_APP_ID"
        raise EnvironmentFault(
            "setting-missing",
            f"{missing} is not set: a GitHub App needs its id and its key",
            hint="set both, or neither to write with GITHUB_TOKEN",
        )
    return AppKey(settings.github_app_id, settings.github_app_key)


def _base_url(repository: Repository, settings: Settings) -> str:
    return settings.github_api_url or api_url(repository)
