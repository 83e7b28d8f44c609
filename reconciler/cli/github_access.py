"""As whom this process speaks to GitHub: an App, a token's owner, or nobody.

`CATWALK_REPO_URL` names a repository on GitHub, and a GitHub App (`CATWALK_GITHUB_APP_ID`, `CATWALK_GITHUB_APP_KEY`)
or else `GITHUB_TOKEN` may write there. The App writes check runs, a token commit statuses.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from reconciler.cli.repository import github_repository
from reconciler.errors import EnvironmentFault
from reconciler.loop.clock import SystemClock
from reconciler.report.app_key import AppKey
from reconciler.report.channel import AppChannel
from reconciler.report.checks import RepositoryChecks
from reconciler.report.comments import Author, TokenOwner
from reconciler.report.connection import Connection
from reconciler.report.credentials import AppInstallation
from reconciler.report.github import GitHub, PersonalToken, RepositoryStatuses
from reconciler.report.outbox import StatusService
from reconciler.report.pace import Pace
from reconciler.report.repository import Repository, api_url
from reconciler.report.verification import GitHubVerifier
from reconciler.settings import Settings
from reconciler.sources.git import HttpsToken, Lender


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubAccess:
    """Everything that speaks to GitHub with one credential."""

    repository: Repository
    door: GitHub
    statuses: StatusService
    author: Author
    """Who writes the comments."""
    pace: Pace
    """Shared by everything that writes."""
    installation: AppInstallation | None
    """None for a token."""

    @property
    def verifier(self) -> GitHubVerifier:
        """Asks whether GitHub believes a signature."""
        return GitHubVerifier(self.door, self.repository)


@asynccontextmanager
async def open_github(settings: Settings) -> AsyncGenerator[GitHubAccess | None]:
    """Access as the settings have it; none where the repository is elsewhere or there are no credentials.

    Raises:
        EnvironmentFault: half of the App's credentials is missing, or they cannot be used.
    """
    key, repository = _app_key(settings), github_repository(settings)
    if repository is None or (key is None and settings.github_token is None):
        yield None
        return
    async with AsyncExitStack() as opened:
        if key is not None:
            yield await _as_app(key, repository, settings, opened)
        else:
            yield await _as_person(repository, settings, opened)


async def _as_app(key: AppKey, repository: Repository, settings: Settings, opened: AsyncExitStack) -> GitHubAccess:
    clock, base_url = SystemClock(), _base_url(repository, settings)
    connection = await opened.enter_async_context(Connection(base_url, clock))
    installation = AppInstallation(key, repository, connection, clock)
    door = await opened.enter_async_context(GitHub(base_url, installation, clock))
    pace = Pace(clock)
    checks = RepositoryChecks(door, repository, pace, app_id=key.app_id)
    return GitHubAccess(
        repository=repository,
        door=door,
        statuses=AppChannel(installation, checks, RepositoryStatuses(door, repository)),
        author=installation,
        pace=pace,
        installation=installation,
    )


async def _as_person(repository: Repository, settings: Settings, opened: AsyncExitStack) -> GitHubAccess:
    assert settings.github_token is not None
    clock = SystemClock()
    credential = PersonalToken(settings.github_token)
    door = await opened.enter_async_context(GitHub(_base_url(repository, settings), credential, clock))
    return GitHubAccess(
        repository=repository,
        door=door,
        statuses=RepositoryStatuses(door, repository),
        author=TokenOwner(door),
        pace=Pace(clock),
        installation=None,
    )


def git_lender(settings: Settings, access: GitHubAccess | None) -> Lender | None:
    """Tokens of the App for reading its repository, each renewed before it ends; none where another way is set.

    `CATWALK_GIT_TOKEN` comes first, because somebody who sets it means it.
    """
    by_https = settings.repo_url.startswith(("http://", "https://"))
    if access is None or access.installation is None or settings.git_token is not None or not by_https:
        return None
    installation = access.installation

    async def lend() -> HttpsToken:
        return HttpsToken(token=await installation.token())

    return lend


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
