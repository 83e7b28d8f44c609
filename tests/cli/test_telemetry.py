"""Traces: the spans of a pass, what they hold and what they never hold, and that they reach a collector."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from reconciler.cli.telemetry import OpenTelemetryTracer, traces
from reconciler.errors import EnvironmentFault, Unavailable
from reconciler.loop.tracing import traced_by
from tests.loop.conftest import CANARY, World

Received = list[tuple[str, dict[str, str], bytes]]


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> OpenTelemetryTracer:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return OpenTelemetryTracer(provider)


@pytest.fixture
def collector() -> Iterator[tuple[str, Received]]:
    """A loopback OTLP/HTTP receiver."""
    received: Received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, dict(self.headers.items()), body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", received
    server.shutdown()
    server.server_close()
    thread.join()


def parent_of(span: ReadableSpan, spans: tuple[ReadableSpan, ...]) -> str:
    found = [other for other in spans if span.parent and other.context.span_id == span.parent.span_id]
    return found[0].name if found else ""


def named(name: str, spans: tuple[ReadableSpan, ...]) -> list[ReadableSpan]:
    return [span for span in spans if span.name == name]


async def test_the_steps_of_a_pass_are_spans_of_one_trace(tracer, exporter) -> None:
    world = World()
    world.commit("one", "time wiki")
    with traced_by(tracer):
        await world.run()
    spans = exporter.get_finished_spans()
    assert len({span.context.trace_id for span in spans}) == 1
    parents = {(span.name, parent_of(span, spans)) for span in spans}
    assert {
        ("catwalk.pass", ""),
        ("catwalk.read", "catwalk.pass"),
        ("catwalk.observe", "catwalk.pass"),
        ("catwalk.plan", "catwalk.pass"),
        ("catwalk.apply", "catwalk.pass"),
        ("catwalk.watch", "catwalk.pass"),
        ("catwalk.report", "catwalk.pass"),
    } <= parents


async def test_every_action_has_a_span_with_its_outcome(tracer, exporter) -> None:
    world = World()
    world.commit("one", "time wiki")
    world.fleet.failing["Create wiki"] = Unavailable("fly-unreachable", "no answer")
    with traced_by(tracer):
        await world.run()
    applied = [span.attributes or {} for span in named("catwalk.apply", exporter.get_finished_spans())]
    outcomes = {(told["catwalk.server"], told["catwalk.action"]): told["catwalk.outcome"] for told in applied}
    assert outcomes["time", "create"] == "applied"
    assert outcomes["wiki", "create"] == "failed"


async def test_a_step_that_fails_is_marked_without_its_words(tracer, exporter) -> None:
    world = World()
    world.commit("one", "time")
    world.fleet.observe_error = ValueError(f"it saw {CANARY}")
    with traced_by(tracer):
        await world.run()
    [observe] = named("catwalk.observe", exporter.get_finished_spans())
    assert (observe.status.status_code, observe.status.description) == (StatusCode.ERROR, "ValueError")
    assert CANARY not in "".join(span.to_json() for span in exporter.get_finished_spans())


async def test_two_passes_are_two_traces(tracer, exporter) -> None:
    world = World()
    world.commit("one", "time")
    with traced_by(tracer):
        await world.run()
        await world.run()
    assert len(named("catwalk.pass", exporter.get_finished_spans())) == 2
    assert len({span.context.trace_id for span in exporter.get_finished_spans()}) == 2


async def test_spans_reach_a_collector_over_http(monkeypatch: pytest.MonkeyPatch, collector) -> None:
    url, received = collector
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-team=acme",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    world = World()
    world.commit("one", "time")
    async with traces(environment):
        await world.run()
    requests = []
    for path, headers, body in received:
        assert path == "/v1/traces"
        assert {name.lower(): value for name, value in headers.items()}["x-team"] == "acme"
        message = ExportTraceServiceRequest()
        message.ParseFromString(body)
        requests.append(message)
    resources = [resource for message in requests for resource in message.resource_spans]
    told = {pair.key: pair.value.string_value for resource in resources for pair in resource.resource.attributes}
    assert (told["service.name"], told["deployment.environment"]) == ("catwalk", "test")
    spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    assert {"catwalk.pass", "catwalk.plan", "catwalk.apply"} <= {span.name for span in spans}


async def test_a_protocol_that_is_not_spoken_is_refused() -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with pytest.raises(EnvironmentFault, match="http/protobuf"):
        async with traces(environment):
            pass


OFF = [
    {},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
]
PROGRAM = """
import asyncio, sys
import reconciler.cli.serving_fleet, reconciler.cli.running_fleet
from reconciler.cli.telemetry import traces
async def main():
    async with traces(%r):
        pass
asyncio.run(main())
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


@pytest.mark.parametrize("environment", OFF, ids=["unset", "disabled", "no-exporter"])
def test_nothing_of_it_is_imported_unless_it_is_asked_for(environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", PROGRAM % environment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"
