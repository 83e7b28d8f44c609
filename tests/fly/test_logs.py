from contextlib import aclosing

import pytest

from reconciler.core.secret import SecretValue
from reconciler.errors import Unavailable
from reconciler.fly import errors
from reconciler.fly.client import MachinesAPI
from reconciler.fly.logs import FlyLogs

LOG = "/api/v1/apps/acme-time/logs"


def entry(number, message="line"):
    attributes = {
        "timestamp": f"2026-11-24T12:00:{number:02d}.123456789Z",
        "message": f"{message} {number}",
        "level": "info",
        "instance": "m1",
        "region": "iad",
    }
    return {"id": f"{number}", "type": "log", "attributes": attributes}


def page(*numbers: int, token):
    return {"data": [entry(number) for number in numbers], "meta": {"next_token": token}}


@pytest.fixture
async def logs(server, clock):
    async with MachinesAPI(base_url=server.url, token=SecretValue("fm2_x"), timing=clock.timing) as api:
        yield FlyLogs(api, machines_api=api, redact=lambda text: text.replace("canary", "********"))


async def test_the_newest_lines_come_oldest_first_over_all_pages(server, logs):
    pages = {
        "": page(1, 2, token="1000000002"),
        "1000000002": page(2, 3, 4, token=1000000004),
        "1000000004": page(token="1000000004"),
    }
    server.on("GET", LOG, lambda seen: pages[seen.query.get("next_token", "")])
    lines = await logs.recent("acme-time", limit=3)
    assert [line.message for line in lines] == ["line 2", "line 3", "line 4"]
    assert (lines[0].machine_id, lines[0].level, lines[0].at.isoformat()) == (
        "m1",
        "info",
        "2026-11-24T12:00:02.123456+00:00",
    )


async def test_a_cursor_that_stands_still_ends_the_reading(server, logs):
    server.on("GET", LOG, page(1, 2, token="5"))
    assert len(await logs.recent("acme-time", limit=100)) == 2
    assert len(server.seen) == 2


async def test_known_secrets_are_taken_out_and_long_lines_are_cut(server, logs):
    server.on("GET", LOG, {"data": [entry(1, "a canary"), entry(2, "x" * 99_999)], "meta": {}})
    first, second = await logs.recent("acme-time", limit=10)
    assert first.message == "a ******** 1"
    assert len(second.message) == 8192


async def test_an_app_that_does_not_exist_wrote_nothing(server, logs):
    server.on("GET", LOG, (401, {"error": "unauthorized"}))
    server.on("GET", "/v1/apps/acme-time", (404, {"message": "app not found"}))
    assert await logs.recent("acme-time", limit=10) == ()


async def test_a_token_that_may_not_read_logs_is_told_apart_from_a_missing_app(server, logs):
    server.on("GET", LOG, (401, {"error": "unauthorized"}))
    server.on("GET", "/v1/apps/acme-time", {"name": "acme-time"})
    with pytest.raises(errors.Forbidden) as refusal:
        await logs.recent("acme-time", limit=10)
    assert "deploy tokens" in refusal.value.problem.hint


async def test_a_log_service_that_is_down_is_unavailable(server, logs):
    server.on("GET", LOG, (503, {}))
    with pytest.raises(Unavailable):
        await logs.recent("acme-time", limit=10)


async def test_a_follower_sees_each_line_once_and_slows_down_when_nothing_comes(server, logs, clock):
    nothing = [page(token="2")] * 9
    server.on("GET", LOG, page(1, 2, token="2"), *nothing, page(2, 3, token="3"))
    found = []
    async with aclosing(logs.follow("acme-time")) as lines:
        async for line in lines:
            found.append(line.message)
            if len(found) == 3:
                break
    assert found == ["line 1", "line 2", "line 3"]
    assert clock.slept[0] == 0.064
    assert max(clock.slept) == 4.0


async def test_a_follower_waits_for_an_app_that_is_not_there_yet(server, logs):
    server.on("GET", LOG, (401, {}), page(1, token="1"))
    server.on("GET", "/v1/apps/acme-time", (404, {"message": "app not found"}))
    async with aclosing(logs.follow("acme-time")) as lines:
        assert (await anext(lines)).message == "line 1"


async def test_a_follower_survives_an_outage_and_gives_up_on_a_long_one(server, logs):
    server.on("GET", LOG, (503, {}), page(1, token="1"), (503, {}))
    async with aclosing(logs.follow("acme-time")) as lines:
        assert (await anext(lines)).message == "line 1"
        with pytest.raises(Unavailable):
            await anext(lines)
