"""Metrics of several workers, asked of one of them."""

import anyio
from prometheus_client import Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from reconciler.cli.crew_metrics import Crewmate, CrewRegistry, forget, tell


def worker(folder, number: int) -> tuple[CrewRegistry, Crewmate]:
    mate = Crewmate(folder=folder, number=number)
    registry = CrewRegistry(mate)
    calls = Counter("catwalk_gateway_calls", "Calls.", ["server"], registry=registry)
    calls.labels("time").inc(number + 1)
    calls.labels(f"own-{number}").inc()
    Histogram("catwalk_gateway_seconds", "Seconds.", buckets=[1], registry=registry).observe(0.5)
    Gauge("catwalk_gateway_streams", "Streams.", registry=registry).set(3)
    Gauge("catwalk_servers", "Servers.", registry=registry).set(number * 7)
    return registry, mate


async def told(registry: CrewRegistry, mate: Crewmate) -> None:
    stop = anyio.Event()
    stop.set()
    await tell(registry, mate, stop)


async def test_whoever_is_asked_answers_for_all(tmp_path):
    crew = [worker(tmp_path, number) for number in range(3)]
    for registry, mate in crew:
        await told(registry, mate)
    for registry, _ in crew:
        families = text_string_to_metric_families(generate_latest(registry).decode())
        values = {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}
        assert values["catwalk_gateway_calls_total", ("time",)] == 6
        assert [values["catwalk_gateway_calls_total", (f"own-{number}",)] for number in range(3)] == [1, 1, 1]
        assert values["catwalk_gateway_seconds_bucket", ("1.0",)] == 3
        assert values["catwalk_gateway_streams", ()] == 9
        assert values["catwalk_servers", ()] == 14


async def test_what_cannot_be_read_or_is_of_an_earlier_crew_does_not_count(tmp_path):
    registry, mate = worker(tmp_path, 0)
    await told(registry, mate)
    (tmp_path / "1.metrics").write_bytes(b"\xff nonsense {")
    assert b'catwalk_gateway_calls_total{server="time"} 1.0' in generate_latest(registry)
    forget(tmp_path)
    assert list(tmp_path.iterdir()) == []
