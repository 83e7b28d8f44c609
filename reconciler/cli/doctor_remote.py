"""What `catwalk doctor` asks outside: Fly, GitHub, the repository, the database, all at once and each within its time.

Nothing is changed anywhere, except that a database gets the tables that the first start would make.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio
import anyio.to_thread

from reconciler.cli.doctor_report import Checked, Health, absent, failed, good
from reconciler.cli.github_access import git_lender, open_github
from reconciler.cli.repository import remote_source
from reconciler.errors import CatwalkError
from reconciler.fly.client import MachinesAPI
from reconciler.fly.tokens import organizations
from reconciler.loop.clock import SystemClock
from reconciler.loop.store.database import open_database
from reconciler.settings import Settings

TIMEOUT_S: Final = 30.0
MOST_SKEW_S: Final = 30.0
"""Between this clock and Fly's. More makes times in logs and statuses hard to read."""
_APP_NEEDS: Final = {"checks": "write", "contents": "read", "pull_requests": "write", "statuses": "write"}

Remote = Callable[[], Awaitable[list[Checked]]]


async def check_remote(settings: Settings, organization: str) -> list[Checked]:
    """Everything outside, asked at the same time.

    Args:
        settings: what the environment says.
        organization: the Fly organization of the manifest; empty where there is no manifest to tell.
    """
    checks: tuple[tuple[str, Remote], ...] = (
        ("Fly", lambda: _fly(settings, organization)),
        ("GitHub", lambda: _github(settings)),
        ("repository", lambda: _repository(settings)),
        ("database", lambda: _database(settings)),
    )
    found: dict[str, list[Checked]] = {}

    async def run(subject: str, check: Remote) -> None:
        found[subject] = await _answered(subject, check)

    async with anyio.create_task_group() as tasks:
        for subject, check in checks:
            tasks.start_soon(run, subject, check)
    return [each for subject, _ in checks for each in found[subject]]


async def _answered(subject: str, check: Remote) -> list[Checked]:
    try:
        with anyio.fail_after(TIMEOUT_S):
            return await check()
    except CatwalkError as error:
        return [failed(subject, error.problem)]
    except TimeoutError:
        return [Checked(subject=subject, health=Health.BAD, found=f"no answer within {TIMEOUT_S:.0f} s")]


async def _fly(settings: Settings, organization: str) -> list[Checked]:
    if settings.fly_api_token is None:
        fix = "for machines on Fly, set FLY_API_TOKEN to what `fly tokens create org` prints"
        return [absent("Fly", "FLY_API_TOKEN is not set; `catwalk up` needs none", fix)]
    async with MachinesAPI(base_url=settings.fly_api_url, token=settings.fly_api_token) as api:
        granted = await organizations(api)
        return [_grant(granted, organization), *_skew(api)]


def _grant(granted: frozenset[str], organization: str) -> Checked:
    names = ", ".join(sorted(granted)) or "organizations that Fly does not name"
    if organization and granted and organization not in granted:
        fix = f"make a token for {organization}: fly tokens create org -o {organization}; or correct fly.organization"
        return Checked(
            subject="Fly",
            health=Health.BAD,
            found=f"the token is for {names}, the manifest for {organization}",
            fix=fix,
        )
    return good("Fly", f"the token is good for {names}")


def _skew(api: MachinesAPI) -> list[Checked]:
    theirs = api.platform_now()
    if theirs is None:
        return []
    skew_s = abs((SystemClock().now() - theirs).total_seconds())
    if skew_s <= MOST_SKEW_S:
        return [good("clock", f"within {max(1, round(skew_s))} s of Fly's")]
    found = f"{skew_s:.0f} s away from Fly's"
    return [Checked(subject="clock", health=Health.WARNING, found=found, fix="let the machine set its clock by NTP")]


async def _github(settings: Settings) -> list[Checked]:
    async with open_github(settings) as access:
        if access is None:
            fix = "for statuses on commits, set CATWALK_REPO_URL and GITHUB_TOKEN or a GitHub App"
            return [absent("GitHub", "no repository on GitHub with credentials is set", fix)]
        if access.installation is not None:
            return [_permissions(dict(await access.installation.permissions()))]
        allowed = await access.door.access(access.repository)
        if allowed.can_push:
            return [good("GitHub", f"the token may write to {allowed.full_name}")]
        fix = "give the token write access to commit statuses, or use a GitHub App"
        found = f"the token may read {allowed.full_name} and not write"
        return [Checked(subject="GitHub", health=Health.WARNING, found=found, fix=fix)]


def _permissions(granted: dict[str, str]) -> Checked:
    missing = [
        f"{name}: {level}" for name, level in _APP_NEEDS.items() if granted.get(name) not in {level, "write", "admin"}
    ]
    if missing:
        fix = "change the App's permissions on GitHub, and accept them for the installation"
        found = f"the App lacks {', '.join(missing)}"
        return Checked(subject="GitHub", health=Health.WARNING, found=found, fix=fix)
    return good("GitHub", "the App may read the repository and write checks, statuses and comments")


async def _repository(settings: Settings) -> list[Checked]:
    if not settings.repo_url:
        return [absent("repository", "CATWALK_REPO_URL is not set; only `catwalk serve` needs it")]
    async with open_github(settings) as access:
        lender = git_lender(settings, access)
        with TemporaryDirectory(prefix="catwalk-doctor-") as folder:
            revision = await remote_source(settings, Path(folder), directory="", lender=lender).head()
    return [good("repository", f"{revision.branch} {revision.commit[:7]} {revision.subject}".rstrip())]


async def _database(settings: Settings) -> list[Checked]:
    if not settings.database_url:
        return [absent("database", "SQLite in the state directory")]
    database = await anyio.to_thread.run_sync(open_database, settings.database_url)
    await anyio.to_thread.run_sync(database.close)
    return [good("database", "it answers and has the tables")]
