"""The client against an engine that counts calls as Fly does: steady work never earns a 429."""

from dataclasses import replace

import pytest

from reconciler.engine.settings import RateLimits
from reconciler.fly.client import Timing
from tests.contract.evidence import source


@pytest.fixture
def engine_settings(engine_settings):
    return replace(engine_settings, rate_limits=RateLimits())


@pytest.fixture
def timing():
    """As it is: this engine counts."""
    return Timing()


@source("fly.md 7.1", "fly.md 15.A.8")
async def test_the_life_of_two_servers_is_never_refused_for_haste(stage):
    for arguments in ((), ("--changed",), ("--changed-again",)):
        servers = stage.server("time", *arguments, secrets="digest"), stage.server("wiki", *arguments)
        assert [outcome.problem for outcome in await stage.converge(*servers) if outcome.problem] == []
    await stage.converge()
    assert len(stage.wire.exchanges) > 30
    assert [exchange.path for exchange in stage.wire.exchanges if exchange.status == 429] == []
