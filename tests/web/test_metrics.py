"""`/metrics` answers collectors in the format that they ask for, whatever host they call it by."""

import pytest
from litestar.testing import AsyncTestClient
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from gateway.app import Readiness, create_app
from gateway.routing import RouteTable
from gateway.settings import GatewaySettings
from reconciler.web.metrics import MetricsPage


@pytest.fixture
async def client():
    registry = CollectorRegistry()
    Counter("catwalk_things", "Things.", registry=registry).inc(3)
    settings = GatewaySettings(session_key=b"k" * 32, is_bound_to_loopback=False, allowed_hosts=("mcp.acme.example",))
    app = create_app(settings, RouteTable(), lambda: Readiness(is_ready=True), plugins=[MetricsPage(registry)])
    async with AsyncTestClient(app) as client:
        yield client


async def test_the_text_format_is_read_by_the_official_parser(client) -> None:
    answer = await client.get("/metrics", headers={"host": "172.19.0.2:8080"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    [family] = [found for found in text_string_to_metric_families(answer.text) if found.name == "catwalk_things"]
    assert [sample.value for sample in family.samples if sample.name.endswith("_total")] == [3]


async def test_openmetrics_is_given_where_it_is_asked_for(client) -> None:
    answer = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
