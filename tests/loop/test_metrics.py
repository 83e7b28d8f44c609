"""Metrics of the loop: what is counted, that labels stay few, and that the list in the documentation is complete."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from reconciler.core.actions import Pass
from reconciler.core.problems import Problem
from reconciler.core.types import ServerState, ServerStatus, Trigger
from reconciler.errors import Unavailable
from reconciler.loop.faults import CRASH_CODE
from reconciler.loop.metrics import LoopMetrics
from reconciler.loop.progress import Chorus, PassFinished, ServerChanged, ServerRemoved

EPOCH = datetime(2026, 11, 24, 12, tzinfo=UTC)
README = Path(__file__).resolve().parents[2] / "reconciler" / "loop" / "README.md"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> LoopMetrics:
    return LoopMetrics(registry)


def finished(trigger: Trigger = Trigger.POLL, problems: tuple[Problem, ...] = ()) -> PassFinished:
    end = EPOCH + timedelta(seconds=3)
    return PassFinished(finished=Pass(number=1, trigger=trigger, started_at=EPOCH, finished_at=end, problems=problems))


@pytest.mark.parametrize(
    ("problems", "result"),
    [
        ((), "settled"),
        ((Unavailable("fly-unreachable", "no answer").problem,), "unsettled"),
        ((Problem(code=CRASH_CODE, message="oops"),), "crashed"),
    ],
)
def test_a_pass_is_counted_by_how_it_ended(metrics, registry, problems, result) -> None:
    metrics.on_event(finished(problems=problems))
    labels = {"trigger": "poll", "result": result}
    assert registry.get_sample_value("catwalk_passes_total", labels) == 1
    assert registry.get_sample_value("catwalk_pass_duration_seconds_sum", {"trigger": "poll"}) == 3
    last = registry.get_sample_value("catwalk_last_successful_pass_timestamp_seconds")
    assert last == (finished().finished.finished_at.timestamp() if result == "settled" else 0)


def test_what_has_not_happened_yet_is_zero_and_not_absent(registry, metrics) -> None:
    assert registry.get_sample_value("catwalk_passes_total", {"trigger": "webhook", "result": "crashed"}) == 0
    assert registry.get_sample_value("catwalk_actions_total", {"kind": "create", "outcome": "failed"}) == 0
    assert registry.get_sample_value("catwalk_servers", {"state": "failed"}) == 0


def test_servers_are_counted_by_their_last_state(metrics, registry) -> None:
    def change(server: str, state: ServerState) -> None:
        metrics.on_event(ServerChanged(status=ServerStatus(server=server, state=state), previous=None))

    change("time", ServerState.STARTING)
    change("wiki", ServerState.READY)
    change("time", ServerState.READY)
    assert registry.get_sample_value("catwalk_servers", {"state": "ready"}) == 2
    assert registry.get_sample_value("catwalk_servers", {"state": "starting"}) == 0
    metrics.on_event(ServerRemoved(server="wiki"))
    assert registry.get_sample_value("catwalk_servers", {"state": "ready"}) == 1


async def test_a_real_pass_counts_its_actions(world, registry, metrics) -> None:
    world.listen(Chorus(world.ear, metrics))
    world.commit("one", "time wiki")
    await world.run()
    assert registry.get_sample_value("catwalk_actions_total", {"kind": "create", "outcome": "applied"}) == 2
    assert registry.get_sample_value("catwalk_servers", {"state": "ready"}) == 2


def test_calls_are_counted_by_action_and_status(metrics, registry) -> None:
    metrics.on_call("create machine", 201, 0.4)
    metrics.on_call("create machine", 429, 0.1)
    metrics.on_call("wait", 0, 60.0)
    calls = "catwalk_machines_api_calls_total"
    assert registry.get_sample_value(calls, {"action": "create machine", "status": "429"}) == 1
    assert registry.get_sample_value(calls, {"action": "wait", "status": "none"}) == 1
    duration = "catwalk_machines_api_call_duration_seconds_sum"
    assert registry.get_sample_value(duration, {"action": "create machine"}) == 0.5


def test_queue_and_lead_are_asked_for_at_the_scrape(metrics, registry) -> None:
    state = {"waiting": 0, "leads": False}
    metrics.watch_loop(waiting=lambda: int(state["waiting"]), leads=lambda: bool(state["leads"]))
    assert registry.get_sample_value("catwalk_leader") == 0
    state.update(waiting=1, leads=True)
    assert registry.get_sample_value("catwalk_queue_depth") == 1
    assert registry.get_sample_value("catwalk_leader") == 1


def test_no_metric_carries_a_name_that_people_choose(metrics, registry) -> None:
    status = ServerStatus(server="canary-name", state=ServerState.READY)
    metrics.on_event(ServerChanged(status=status, previous=None))
    samples = [sample for family in registry.collect() for sample in family.samples]
    assert samples
    assert not [sample for sample in samples if "canary-name" in str(sample)]


def test_the_documented_list_is_complete(metrics, registry) -> None:
    table = README.read_text(encoding="utf-8").partition("## Metrics")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(catwalk_\w+)` \|([^|]*)\|", table, re.MULTILINE)
    told = {name: sorted(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    families = {
        family.name + ("_total" if family.type == "counter" else ""): sorted(
            {label for sample in family.samples for label in sample.labels if label != "le"}
        )
        for family in registry.collect()
    }
    labelled = {name: labels or told.get(name, []) for name, labels in families.items()}
    assert labelled == told
