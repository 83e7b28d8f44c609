"""The client against an engine whose reads lag behind its writes, with and without the cookie that lifts the lag."""

from dataclasses import replace

import pytest

from reconciler.core.types import OutcomeKind
from tests.contract.evidence import source


@pytest.fixture
def engine_settings(engine_settings):
    timings = replace(engine_settings.timings, replication_lag_s=1.5, list_lag_s=2)
    return replace(engine_settings, timings=timings)


def lose_cookies(exchange):
    """A fault that takes the affinity away from every request."""
    exchange.headers.pop("cookie", None)


@source("fly.md 7.3", "fly.md 13.2", "fly.md 15.A.4")
@pytest.mark.parametrize("cookies", ["kept", "lost"])
async def test_lagging_reads_make_no_second_machine(stage, cookies):
    server = stage.server(secrets="digest")
    if cookies == "lost":
        stage.wire.fault = lose_cookies
    actions = await stage.actions(server)
    made = [await stage.apply(action) for action in actions]
    # A process that was killed right after begins again, with nothing remembered and nothing to be seen yet.
    again = await stage.apply(actions[-1], stage.another_fleet())
    assert [outcome.problem for outcome in (*made, again) if outcome.problem] == []
    assert (again.kind, again.machine_id) == (OutcomeKind.ADOPTED, made[-1].machine_id)
    assert any(exchange.status == 404 for exchange in stage.wire.exchanges) == (cookies == "lost")
    assert await stage.actions(server) == ()
    assert [machine["id"] for machine in await stage.eventually(stage.machines)] == [made[-1].machine_id]


@source("fly.md 7.3", "fly.md 15.A.4")
async def test_the_cookie_of_an_app_comes_back_with_its_calls_alone(stage):
    await stage.converge(stage.server())
    cookies = {exchange.path: exchange.headers.get("cookie", "") for exchange in stage.wire.exchanges}
    of_app = {cookie for path, cookie in cookies.items() if path.startswith("/v1/apps/acme-time/")}
    assert of_app
    assert all(cookie.startswith("fly_flaps_affinity=") for cookie in of_app)
    assert {cookie for path, cookie in cookies.items() if path.startswith("/v1/orgs/")} == {""}
