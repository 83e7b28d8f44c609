"""Which repository a fleet is read from: one on this machine for a person, one on a git host for `catwalk serve`.

A token is lent to the host that it was made for. `GITHUB_TOKEN` stands in many environments, so that it goes to GitHub
alone; for every other host there is `CATWALK_GIT_TOKEN`.
"""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault
from reconciler.loop.ports import Source
from reconciler.report.repository import GITHUB_HOST, Repository, parse_repository
from reconciler.settings import Settings
from reconciler.sources.git import HttpsToken, Lender, RemoteSource, SshKey, discover
from reconciler.sources.git.worktree import WorktreeSource

LARGEST_KEY_BYTES: Final = 64 * 1024


def open_source(directory: Path, settings: Settings, *, worktree: bool) -> Source:
    """The repository that holds the directory, at its branch; or the files as they lie there.

    Raises:
        EnvironmentFault: the directory is in no repository.
    """
    return WorktreeSource(directory=directory) if worktree else discover(directory, branch=settings.branch)


def remote_source(settings: Settings, state_dir: Path, *, directory: str, lender: Lender | None = None) -> RemoteSource:
    """The repository of `CATWALK_REPO_URL`; `directory` is the followed one inside it, empty for the root.

    `lender` gives credentials for each operation; without it those of the settings count.

    Raises:
        EnvironmentFault: the address or the credentials cannot work.
    """
    return RemoteSource(
        url=settings.repo_url,
        state_dir=state_dir,
        branch=settings.branch,
        directory=directory,
        credentials=_credentials(settings),
        lender=lender,
    )


def github_repository(settings: Settings) -> Repository | None:
    """The repository on GitHub; none where the source is somewhere else.

    GitHub Enterprise Server has names of its own: `GITHUB_API_URL` is what says that the host is one.
    """
    if not settings.repo_url:
        return None
    try:
        repository = parse_repository(settings.repo_url)
    except EnvironmentFault:
        return None
    return repository if _is_github(repository.host, settings) else None


def _is_github(host: str, settings: Settings) -> bool:
    own = urlsplit(settings.github_api_url).hostname
    return host in {GITHUB_HOST, own} or host.endswith(".ghe.com")


def _credentials(settings: Settings) -> HttpsToken | SshKey | None:
    """What opens the repository; none for one that is open to everybody."""
    if not settings.repo_url.startswith(("http://", "https://")):
        key = _ssh_key(settings)
        return SshKey(private_key=key) if key is not None else None
    if settings.git_token is not None:
        return HttpsToken(token=settings.git_token)
    if settings.github_token is not None and github_repository(settings) is not None:
        return HttpsToken(token=settings.github_token)
    return None


def _ssh_key(settings: Settings) -> SecretValue | None:
    """Raises: EnvironmentFault: the file of the key cannot be read."""
    if settings.ssh_key is not None or settings.ssh_key_file is None:
        return settings.ssh_key
    try:
        with settings.ssh_key_file.open(encoding="utf-8") as file:
            return SecretValue(file.read(LARGEST_KEY_BYTES))
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFault(
            "ssh-key-unreadable",
            f"the ssh key {settings.ssh_key_file} cannot be read",
            hint="set CATWALK_SSH_KEY_FILE to the file of an unencrypted private key",
        ) from error
