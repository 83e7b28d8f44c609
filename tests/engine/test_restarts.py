"""The restart policy, as a decision and in a machine that ends by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.config import Restart
from reconciler.engine.records import Exit
from reconciler.engine.restarts import WINDOW_S, Again, Stay, decide
from reconciler.engine.settings import Timings

TIMINGS = Timings(backoff_first_s=0.5, backoff_limit_s=8)
RECENT, OLD = 10.0, WINDOW_S + 1


@pytest.mark.parametrize(
    ("policy", "retries", "code", "ages", "expected"),
    [
        ("no", 10, 1, [], Stay()),
        ("on-failure", 10, 0, [], Stay()),
        ("on-failure", 10, 1, [], Again(pause_s=0.5)),
        ("on-failure", 10, 1, [RECENT] * 3, Again(pause_s=4)),
        ("on-failure", 10, 1, [RECENT] * 9, Again(pause_s=8)),
        ("on-failure", 10, 1, [RECENT] * 10, Stay(exhausted=True)),
        ("on-failure", 10, 1, [OLD] * 50, Again(pause_s=0.5)),
        ("on-failure", 0, 1, [], Stay(exhausted=True)),
        ("always", 0, 0, [RECENT] * 20, Again(pause_s=8)),
    ],
    ids=["no", "clean", "first", "fourth", "limit", "exhausted", "window", "none-allowed", "always"],
)
def test_the_policy_decides(policy, retries, code, ages, expected):
    assert decide(Restart(policy=policy, max_retries=retries), Exit(code=code), ages, TIMINGS) == expected


@given(
    retries=st.integers(0, 20),
    ages=st.lists(st.floats(0, 1000), max_size=40),
    code=st.integers(1, 255),
)
def test_a_failing_machine_is_never_tried_more_often_than_allowed_in_the_window(retries, ages, code):
    decision = decide(Restart(max_retries=retries), Exit(code=code), ages, TIMINGS)
    recent = sum(age < WINDOW_S for age in ages)
    assert isinstance(decision, Again) == (recent < retries)


@given(count=st.integers(0, 60))
def test_the_pause_never_exceeds_its_limit(count):
    decision = decide(Restart(policy="always"), Exit(code=1), [RECENT] * count, TIMINGS)
    assert isinstance(decision, Again)
    assert TIMINGS.backoff_first_s <= decision.pause_s <= TIMINGS.backoff_limit_s


async def test_a_machine_that_keeps_failing_is_stopped_after_its_retries(bench):
    restart = {"policy": "on-failure", "max_retries": 3}
    made = await bench.make_machine("--exit", "74", config={"restart": restart})
    found = await bench.wait(made, "stopped")
    exits = [event for event in found["events"] if event["type"] == "exit"]
    assert len(exits) == 4
    assert [event["request"]["exit_event"]["restarting"] for event in exits] == [False, True, True, True]
    last = exits[0]["request"]
    assert (last["exit_event"]["exit_code"], last["exit_event"]["requested_stop"]) == (74, False)
    assert last["restart_count"] == 4
    assert "max restart count (3)" in await bench.log_text()


async def test_a_crash_is_repaired_with_the_same_version(bench):
    made = await bench.started()
    first = await bench.environment()
    await bench.call("/exit?3")
    found = await bench.until(made, lambda machine: any(event["type"] == "exit" for event in machine["events"]))
    assert next(e for e in found["events"] if e["type"] == "exit")["request"]["exit_event"]["exit_code"] == 3
    second = await bench.environment()
    assert first["pid"] != second["pid"]
    assert second["env"]["FLY_MACHINE_VERSION"] == made["instance_id"]


async def test_an_end_by_signal_is_told_as_such(bench):
    made = await bench.started(config={"restart": {"policy": "no"}})
    await bench.call("/health")
    await bench.api.post(f"{bench.path(made)}/signal", json={"signal": "SIGKILL"})
    found = await bench.wait(made, "stopped")
    exit_event = next(e for e in found["events"] if e["type"] == "exit")["request"]["exit_event"]
    assert (exit_event["exit_code"], exit_event["guest_signal"], exit_event["requested_stop"]) == (137, 9, False)


async def test_auto_destroy_removes_a_machine_that_has_ended(bench):
    config = {"auto_destroy": True, "restart": {"policy": "no"}}
    made = await bench.make_machine("--exit", "0", config=config)
    assert (await bench.wait(made, "destroyed"))["state"] == "destroyed"


async def test_a_restart_keeps_the_version_and_makes_a_new_run(bench):
    made = await bench.started()
    before = await bench.environment()
    assert (await bench.api.post(f"{bench.path(made)}/restart", params={"timeout": "5s"})).json() == {"ok": True}
    await bench.wait(made)
    after = await bench.environment()
    assert before["pid"] != after["pid"]
    assert after["env"]["FLY_MACHINE_VERSION"] == made["instance_id"]
