"""What a monitoring system may want to know of the loop, as Prometheus metrics in a registry that the wiring hands in.

Labels come from closed sets (triggers, results, kinds of action, states, HTTP statuses), never from names that people
choose: a thousand servers make no more time series than one. The list is in README.md beside this file, and a test
holds the two together.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from reconciler.core.action_words import KINDS
from reconciler.core.actions import Pass
from reconciler.core.types import OutcomeKind, ServerState, Trigger
from reconciler.loop.faults import crashed
from reconciler.loop.progress import ActionFinished, PassFinished, ProgressEvent, ServerChanged, ServerRemoved

PASS_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
CALL_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
RESULTS: Final = ("settled", "unsettled", "crashed")
NO_ANSWER: Final = "none"
"""In place of an HTTP status: no answer came."""


class LoopMetrics:
    """Listens to passes and to the calls of the Machines API, and counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._passes = Counter(
            "catwalk_passes", "Passes that ended, by why they ran and how.", ("trigger", "result"), registry=registry
        )
        self._pass_duration = Histogram(
            "catwalk_pass_duration_seconds",
            "From the start of a pass to its report.",
            ("trigger",),
            registry=registry,
            buckets=PASS_BUCKETS_S,
        )
        self._last_success = Gauge(
            "catwalk_last_successful_pass_timestamp_seconds",
            "When the newest pass ended that met no problem and left nothing undone; 0 before the first.",
            registry=registry,
        )
        self._actions = Counter(
            "catwalk_actions", "Actions that were due, by what came of them.", ("kind", "outcome"), registry=registry
        )
        self._servers = Gauge("catwalk_servers", "Servers by the last verdict on them.", ("state",), registry=registry)
        self._calls = Counter(
            "catwalk_machines_api_calls",
            f"Requests to the Machines API, by HTTP status; `{NO_ANSWER}` where none came.",
            ("action", "status"),
            registry=registry,
        )
        self._call_duration = Histogram(
            "catwalk_machines_api_call_duration_seconds",
            "From the request to the end of the answer, without the wait for the rate limit.",
            ("action",),
            registry=registry,
            buckets=CALL_BUCKETS_S,
        )
        self._waiting = Gauge(
            "catwalk_queue_depth", "Passes that were asked for and have not begun.", registry=registry
        )
        self._leads = Gauge("catwalk_leader", "1 while this process leads the fleet, else 0.", registry=registry)
        build = Gauge("catwalk_build_info", "Always 1; the label tells the version.", ("version",), registry=registry)
        build.labels(version=version("catwalk-live")).set(1)
        self._states: dict[str, ServerState] = {}
        self._begin_at_zero()

    def watch_loop(self, *, waiting: Callable[[], int], leads: Callable[[], bool]) -> None:
        """What is asked for at each scrape: how many passes wait, and whether this process leads."""
        self._waiting.set_function(waiting)
        self._leads.set_function(leads)

    def on_event(self, event: ProgressEvent) -> None:
        match event:
            case ActionFinished():
                outcome = event.outcome
                self._actions.labels(kind=KINDS[type(outcome.action)], outcome=outcome.kind.value).inc()
            case ServerChanged():
                self._states[event.status.server] = event.status.state
                self._show_states()
            case ServerRemoved():
                self._states.pop(event.server, None)
                self._show_states()
            case PassFinished():
                self._finish(event.finished)
            case _:
                return

    def on_call(self, action: str, status: int, duration_s: float) -> None:
        """One request of the Machines API; a status of 0 says that no answer came."""
        self._calls.labels(action=action, status=str(status) if status else NO_ANSWER).inc()
        self._call_duration.labels(action=action).observe(duration_s)

    def _finish(self, finished: Pass) -> None:
        trigger = finished.trigger.value
        result = "crashed" if crashed(finished.problems) else "settled" if finished.settled else "unsettled"
        self._passes.labels(trigger=trigger, result=result).inc()
        self._pass_duration.labels(trigger=trigger).observe(
            (finished.finished_at - finished.started_at).total_seconds()
        )
        if finished.settled:
            self._last_success.set(finished.finished_at.timestamp())
        self._states = {status.server: status.state for status in finished.statuses}
        self._show_states()

    def _show_states(self) -> None:
        states = list(self._states.values())
        for state in ServerState:
            self._servers.labels(state=state.value).set(states.count(state))

    def _begin_at_zero(self) -> None:
        """A series that appears with its first event hides that event from a rate."""
        self._show_states()
        for trigger in Trigger:
            self._pass_duration.labels(trigger=trigger.value)
            for result in RESULTS:
                self._passes.labels(trigger=trigger.value, result=result)
        for kind in KINDS.values():
            for outcome in OutcomeKind:
                self._actions.labels(kind=kind, outcome=outcome.value)
