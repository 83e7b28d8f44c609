"""From the environment to check runs at GitHub: as the App where its credentials are set, else as the token's owner."""

from datetime import UTC, datetime

import pytest

from reconciler.cli.github_access import open_github
from reconciler.cli.reporting import Backstage, Outside
from reconciler.core.actions import Pass
from reconciler.core.types import Revision, ServerState, ServerStatus, Trigger
from reconciler.errors import EnvironmentFault
from reconciler.loop.clock import SystemClock
from reconciler.loop.store import open_store
from reconciler.report.reporter import NullReporter
from reconciler.settings import read_settings

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SHA = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
TOKEN = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
REVISION = Revision(commit=SHA, branch="main", source="https://github.com/acme/fleet")
PASS = Pass(
    number=1, trigger=Trigger.START, started_at=NOW, finished_at=NOW, revision=REVISION, applied_revision=REVISION,
    statuses=(ServerStatus(server="time", state=ServerState.READY),),
)  # fmt: skip


class NoLogs:
    async def recent(self, _app, *, limit):
        del limit
        return ()


@pytest.fixture
def told(loopback, tmp_path, desk):
    """Reports one pass with what an environment holds, in the time of this machine."""
    desk.clock = SystemClock()

    async def tell(environment):
        where = {"CATWALK_REPO_URL": "https://github.com/acme/fleet", "GITHUB_API_URL": loopback[1]}
        settings = read_settings({**where, **environment})
        store = await open_store(tmp_path, SystemClock())
        async with open_github(settings) as access:
            backstage = Backstage(store=store, lead=None, logs=NoLogs(), fleet_name=lambda: "acme")
            reporting = Outside(settings=settings, access=access).report(backstage)
            await reporting.reporter.report(PASS)
            await reporting.drain(timeout_s=20)
        store.close()
        return reporting.reporter

    return tell


async def test_an_app_writes_check_runs_also_where_there_is_a_token(told, desk, github, pem):
    await told({"CATWALK_GITHUB_APP_ID": "4711", "CATWALK_GITHUB_APP_KEY": pem, "GITHUB_TOKEN": TOKEN})
    assert desk.states("catwalk/sync") == desk.states("catwalk/health") == ["success"]
    assert github.posted == []


async def test_a_token_writes_statuses(told, desk, github):
    await told({"GITHUB_TOKEN": TOKEN})
    assert github.states("catwalk/sync") == ["success"]
    assert desk.runs == []


async def test_without_credentials_nobody_is_told(told):
    assert isinstance(await told({}), NullReporter)


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({"CATWALK_GITHUB_APP_ID": "4711", "GITHUB_TOKEN": TOKEN}, "CATWALK_GITHUB_APP_KEY is not set"),
        ({"CATWALK_GITHUB_APP_KEY": "x"}, "CATWALK_GITHUB_APP_ID is not set"),
    ],
)
async def test_half_of_the_credentials_is_a_mistake(told, environment, missing):
    with pytest.raises(EnvironmentFault, match=missing):
        await told(environment)
