"""What the data path tells about itself: metrics, one line for every call, and traces that reach the server."""

import io
import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from gateway.audit import AuditLog
from gateway.metrics import TOOLS_PER_SERVER, GatewayMetrics
from gateway.observation import EndedCall, Event
from gateway.tracing import trace_of, with_trace
from tests.gateway.conftest import gateway_to, read_body, reply, serve

pytestmark = pytest.mark.usefixtures("data_path")
SECRET = "hunter2-argument"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def call(tool: str) -> bytes:
    params = {"name": tool, "arguments": {"key": SECRET}}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


async def upstream(scope, receive, send):
    body = await read_body(receive)
    if b"fail" in body:
        await reply(send, 500)
    elif b"stream" in body:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": False})
    else:
        await reply(send, 200, body)


@pytest.fixture
async def client():
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


async def test_calls_are_counted_and_timed_by_server_and_tool(client):
    registry = CollectorRegistry()
    async with serve(upstream) as port, gateway_to(port, observers=(GatewayMetrics(registry),)) as gateway:
        for tool in ("echo", "echo", "echo", "fail", "stream", "stream"):
            await client.post(gateway.mcp, content=call(tool))
        await client.post(gateway.mcp, content=b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}')
        await client.post(gateway.mcp, content=b'{"jsonrpc":"2.0","id":1,"method":"made/up"}')
        await client.post(f"{gateway.url}/servers/nosuch/mcp", content=b"{}")

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"catwalk_gateway_{name}", labels)

    same = {"server": "time", "method": "tools/call"}
    assert value("calls_total", **same, tool="echo", result="ok") == 3
    assert value("calls_total", **same, tool="fail", result="failed") == 1
    assert value("calls_total", server="time", method="tools/list", tool="", result="ok") == 1
    assert value("calls_total", server="time", method="other", tool="", result="ok") == 1
    assert value("call_duration_seconds_count", server="time", tool="echo") == 3
    assert value("call_duration_seconds_bucket", server="time", tool="echo", le="60") == 3
    assert value("refusals_total", code="unknown-server") == 1
    assert value("streams", server="time") in {0, None}
    assert SECRET.encode() not in generate_latest(registry)


def ended(name: str = "echo", status: int = 200, method: str = "tools/call") -> EndedCall:
    return EndedCall(
        principal="alice",
        server="time",
        http_method="POST",
        method=method,
        name=name,
        status=status,
        seconds=0.0123,
    )


def test_callers_cannot_make_time_series_without_end():
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    for number in range(10 * TOOLS_PER_SERVER):
        metrics.call_ended(ended(f"tool-{number}"))
        metrics.call_ended(ended("", method=f"method-{number}"))
    metrics.call_ended(ended("x" * 1000))
    metrics.happened(Event.SESSION_STARTED, "time")
    series = [
        sample for metric in registry.collect() for sample in metric.samples if sample.name.endswith("calls_total")
    ]
    assert len(series) == TOOLS_PER_SERVER + 2


async def test_every_call_is_one_line_without_arguments(client):
    written = io.BytesIO()
    audit = AuditLog(written, now=lambda: 1_800_000_000.5)
    async with serve(upstream) as port, gateway_to(port, observers=(audit,)) as gateway:
        for tool in ("echo", "echo", "fail", 'quote"\n'):
            await client.post(gateway.mcp, content=call(tool))
    audit.close()
    lines = [json.loads(line) for line in written.getvalue().decode().splitlines()]
    assert [(line["tool"], line["result"], line["status"]) for line in lines] == [
        ("echo", "ok", 200),
        ("echo", "ok", 200),
        ("fail", "failed", 500),
        ('quote"\n', "ok", 200),
    ]
    assert all(line["who"] == "anonymous" and line["server"] == "time" and line["ms"] >= 0 for line in lines)
    assert lines[0]["time"] == "2027-01-15T08:00:00.500Z"
    assert SECRET not in written.getvalue().decode()


def test_a_log_that_cannot_keep_up_says_how_much_is_missing(monkeypatch):
    monkeypatch.setattr("gateway.audit.MAX_PENDING", 3)
    monkeypatch.setattr("gateway.audit._PAUSE_S", 3600)
    written = io.BytesIO()
    audit = AuditLog(written)
    for _ in range(10):
        audit.call_ended(ended())
    audit.close()
    lines = [json.loads(line) for line in written.getvalue().decode().splitlines()]
    assert [line["event"] for line in lines] == ["call"] * 3 + ["calls-not-logged"]
    assert lines[-1]["count"] == 7


async def test_a_trace_reaches_the_server_inside_the_message(client):
    async with serve(upstream) as port, gateway_to(port) as gateway:
        for _ in range(3):
            headers = {"traceparent": TRACE, "tracestate": "a=b"}
            answer = await client.post(gateway.mcp, content=call("echo"), headers=headers)
            params = answer.json()["params"]
            assert params["_meta"] == {"traceparent": TRACE, "tracestate": "a=b"}
            assert params["arguments"] == {"key": SECRET}
        assert "_meta" not in (await client.post(gateway.mcp, content=call("echo"))).json()["params"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"jsonrpc":"2.0","id":1,"method":"ping"}', '{"traceparent":"t"}'),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}', '{"traceparent":"t"}'),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"a":1.10}}}', '{"a":1.10,"traceparent":"t"}'),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"traceparent":"own"}}}', '{"traceparent":"own"}'),
    ],
)
def test_the_message_keeps_what_it_has(body, expected):
    assert f'"_meta":{expected}' in with_trace(body.encode(), {"traceparent": "t"}).decode()


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"jsonrpc":"2.0","id":1,"result":{}}', b"\xff"])
def test_what_is_no_request_stays_as_it_is(body):
    assert with_trace(body, {"traceparent": "t"}) == body


@pytest.mark.parametrize("value", [b"x", b"00-0-0-0", TRACE.upper().encode(), TRACE.encode() + b"\n"])
def test_a_header_that_is_no_trace_is_none(value):
    assert trace_of([(b"traceparent", value), (b"tracestate", b"a=b")]) == {}


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=5))
def test_a_trace_changes_nothing_but_the_meta(value):
    message = {"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"value": value, "_meta": {"k": value}}}
    changed = json.loads(with_trace(json.dumps(message).encode(), {"traceparent": TRACE}))
    assert changed["params"].pop("_meta") == {"k": value, "traceparent": TRACE}
    message["params"].pop("_meta")
    assert changed == message
