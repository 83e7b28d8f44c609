"""Under which name failures are counted, and how long they make the same wait."""

from datetime import timedelta

import pytest

from reconciler.core.actions import Action, Cordon, Create, CreateApp, Destroy, DestroyApp, Start, Stop
from reconciler.core.attempts import THE_APP, Attempt, attempt_of, setback_of, wait_for
from reconciler.core.setbacks import Setback
from reconciler.core.types import DesiredMachine
from tests.core.conftest import World

WANTED = DesiredMachine(app="a", server="s", name="s-1", region="iad", config="{}", digest="d1")


@pytest.mark.parametrize(
    ("action", "attempt"),
    [
        pytest.param(
            Create(server="s", app="a", machine=WANTED, reason=""), Attempt(machine="s-1", digest="d1"), id="create"
        ),
        pytest.param(
            Cordon(server="s", app="a", machine_id="m", machine_name="s-1", reason=""),
            Attempt(machine="s-1"),
            id="cordon",
        ),
        pytest.param(
            Destroy(server="s", app="a", machine_id="m", machine_name="s-1", reason=""),
            Attempt(machine="s-1"),
            id="destroy",
        ),
        pytest.param(Start(server="s", app="a", machine_id="m", reason=""), Attempt(machine="m"), id="start"),
        pytest.param(Stop(server="s", app="a", machine_id="m", reason=""), Attempt(machine="m"), id="stop"),
        pytest.param(CreateApp(server="s", app="a", network="a", reason=""), THE_APP, id="create app"),
        pytest.param(DestroyApp(server="s", app="a", reason=""), THE_APP, id="destroy app"),
    ],
)
def test_failures_are_counted_for_what_would_fail_again(action: Action, attempt: Attempt) -> None:
    assert attempt_of(action) == attempt


def test_an_attempt_waits_until_its_time_and_says_why(world: World) -> None:
    later = world.now + timedelta(seconds=30)
    found = Setback(server="s", machine="s-1", digest="d1", code="host-full", attempts=1, not_before=later)
    attempt = Attempt(machine="s-1", digest="d1")
    waiting = wait_for(attempt, (found,), world.now)
    assert waiting is not None
    assert (waiting.until, waiting.not_before) == (
        "12:00:30 UTC, because it failed once, last with host-full",
        later,
    )
    assert wait_for(attempt, (found,), later) is None
    assert wait_for(attempt, (found,), None) is None
    assert setback_of(Attempt(machine="s-1", digest="d2"), (found,)) is None
