"""Every request to the Machines API is counted once, by what it does and how it was answered."""

import pytest

from reconciler.errors import CatwalkError
from reconciler.fly import machines
from reconciler.fly.client import MachinesAPI

PATH = "/v1/apps/acme-time/machines/m1/start"


async def start(url: str, timing) -> list[tuple[str, int, float]]:
    counted: list[tuple[str, int, float]] = []
    count = lambda action, status, duration_s: counted.append((action, status, duration_s))  # noqa: E731  # A spy.
    async with MachinesAPI(base_url=url, token=None, timing=timing, on_call=count) as api:
        try:
            await machines.start(api, "acme-time", "m1")
        except CatwalkError:
            counted.append(("failed", -1, 0.0))
    return counted


async def test_each_attempt_counts_with_its_status(server, clock) -> None:
    server.on("POST", PATH, (429, {"error": "too many requests"}), {})
    counted = await start(server.url, clock.timing)
    assert [(action, status) for action, status, _ in counted] == [("start", 429), ("start", 200)]
    assert all(duration_s >= 0 for _, _, duration_s in counted)


async def test_a_request_without_an_answer_counts_as_none(server, clock) -> None:
    server.on("POST", PATH, server.lost)
    counted = await start(server.url, clock.timing)
    assert {status for _, status, _ in counted} == {0, -1}


@pytest.mark.parametrize("status", [404, 500])
async def test_a_refusal_counts_with_its_status(server, clock, status: int) -> None:
    server.on("POST", PATH, (status, {"error": "no"}))
    counted = await start(server.url, clock.timing)
    assert ("start", status) in {(action, found) for action, found, _ in counted}
