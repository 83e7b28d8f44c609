"""The data path's Prometheus metrics, in a registry that the wiring hands in: `GatewayMetrics(registry)`.

Names of servers come from the route table. Names of methods and tools come from callers, so both are bounded: a method
that MCP does not have, and every tool beyond the first hundred of a server, counts as `other`. Counting is a few
additions to plain numbers, because it happens in every call; the metrics are made when somebody collects them.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.observation import EndedCall, Event

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TOOLS_PER_SERVER: Final = 100
OTHER: Final = "other"
_METHODS = frozenset(
    {
        "",
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "tools/call",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "completion/complete",
        "logging/setLevel",
        "subscriptions/listen",
        "tasks/get",
        "tasks/update",
        "tasks/cancel",
        "notifications/initialized",
        "notifications/cancelled",
    }
)


@dataclass(slots=True)
class _Durations:
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total_s: float = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self.total_s += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        counts: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self.buckets, strict=True):
            total += count
            counts.append((bound, float(total)))
        return counts


class GatewayMetrics(Collector):
    """An observer that counts. Registers itself; use one for each gateway and registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls: Counter[tuple[str, str, str, str]] = Counter()
        self._durations: defaultdict[tuple[str, str], _Durations] = defaultdict(_Durations)
        self._events: Counter[tuple[str, str]] = Counter()
        self._refusals: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._tools: defaultdict[str, set[str]] = defaultdict(set)
        registry.register(self)

    def call_ended(self, call: EndedCall) -> None:
        """As `Observer.call_ended`."""
        method = call.method if call.method in _METHODS else OTHER
        tool = self._tool(call) if method == "tools/call" else ""
        self._calls[call.server, method, tool, call.result.value] += 1
        if call.http_method == "POST":
            self._durations[call.server, tool].add(call.seconds)

    def stream_changed(self, server: str, change: int) -> None:
        """As `Observer.stream_changed`."""
        self._streams[server] += change

    def happened(self, event: Event, server: str) -> None:
        """As `Observer.happened`."""
        self._events[server, event.value] += 1

    def refused(self, code: str) -> None:
        """As `Observer.refused`."""
        self._refusals[code] += 1

    def _tool(self, call: EndedCall) -> str:
        known = self._tools[call.server]
        if call.name in known:
            return call.name
        if len(known) >= TOOLS_PER_SERVER or not call.name or len(call.name) > 128:
            return OTHER
        known.add(call.name)
        return call.name

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        calls = CounterMetricFamily(
            "catwalk_gateway_calls", "Calls, by how they ended.", labels=("server", "method", "tool", "result")
        )
        for labels, count in list(self._calls.items()):
            calls.add_metric(labels, count)
        yield calls
        yield self._collect_durations()
        yield from self._collect_rest()

    def _collect_durations(self) -> Metric:
        durations = HistogramMetricFamily(
            "catwalk_gateway_call_duration_seconds",
            "From the request's head to the end of the answer; `tool` is empty for everything but tools/call.",
            labels=("server", "tool"),
        )
        for labels, each in list(self._durations.items()):
            durations.add_metric(labels, buckets=each.cumulative(), sum_value=each.total_s)
        return durations

    def _collect_rest(self) -> Iterator[Metric]:
        events = CounterMetricFamily(
            "catwalk_gateway_events", "Sessions, held calls, reads from memory.", labels=("server", "event")
        )
        for labels, count in list(self._events.items()):
            events.add_metric(labels, count)
        yield events
        refusals = CounterMetricFamily(
            "catwalk_gateway_refusals", "Requests refused from their head.", labels=("code",)
        )
        for code, count in list(self._refusals.items()):
            refusals.add_metric((code,), count)
        yield refusals
        streams = GaugeMetricFamily("catwalk_gateway_streams", "Open event streams.", labels=("server",))
        for server, count in list(self._streams.items()):
            streams.add_metric((server,), count)
        yield streams
