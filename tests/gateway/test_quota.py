"""How much a caller may ask for: rates with bursts, calls at a time, calls a day; refused with the time to wait."""

import asyncio
import hashlib

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import Grant, Limits
from gateway.oauth.access import AccessRules, BearerAccess
from gateway.oauth.resource import Resources
from gateway.problems import ProblemKind
from gateway.quotas import MAX_PRINCIPALS, Quotas
from tests.gateway.conftest import gateway_to, read_body, reply, serve, upstream_at

DAY_S = 24 * 3600
META = b'{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}'


class Clock:
    def __init__(self) -> None:
        self.now_s = 20_000 * DAY_S + 12 * 3600.0

    def __call__(self) -> float:
        return self.now_s


def grant(principal: str = "ci", **limits: int) -> Grant:
    return Grant(principal=principal, limits=Limits(**limits))


def quotas() -> tuple[Quotas, Clock]:
    clock = Clock()
    return Quotas(clock, clock), clock


def wait_of(refused) -> int:
    assert refused is not None
    assert refused.problem.kind is ProblemKind.RATE_LIMITED
    return int(dict(refused.problem.headers)[b"retry-after"])


def test_a_burst_passes_and_then_the_rate_counts():
    counting, clock = quotas()
    caller = grant(requests_per_minute=30, burst=5)
    assert [counting.enter(caller, is_call=True) for _ in range(5)] == [None] * 5
    assert wait_of(counting.enter(caller, is_call=True)) == 2
    clock.now_s += 2
    assert counting.enter(caller, is_call=True) is None
    assert wait_of(counting.enter(caller, is_call=True)) == 2
    clock.now_s += 3600
    assert [counting.enter(caller, is_call=False) is None for _ in range(6)] == [True] * 5 + [False]


def test_calls_under_way_are_counted_and_streams_are_not():
    counting, _ = quotas()
    caller = grant(concurrent=2)
    assert counting.enter(caller, is_call=False) is None
    assert [counting.enter(caller, is_call=True) is None for _ in range(3)] == [True, True, False]
    counting.leave(caller, is_call=False)
    assert wait_of(counting.enter(caller, is_call=True)) == 1
    counting.leave(caller, is_call=True)
    assert counting.enter(caller, is_call=True) is None


def test_a_day_ends_at_midnight():
    counting, clock = quotas()
    caller = grant(calls_per_day=2)
    assert [counting.enter(caller, is_call=True) is None for _ in range(3)] == [True, True, False]
    assert wait_of(counting.enter(caller, is_call=True)) == 12 * 3600
    clock.now_s += 12 * 3600
    assert counting.enter(caller, is_call=True) is None


def test_callers_do_not_share_and_who_has_no_limits_is_not_counted():
    counting, _ = quotas()
    assert counting.enter(grant("a", calls_per_day=1), is_call=True) is None
    assert counting.enter(grant("b", calls_per_day=1), is_call=True) is None
    assert counting.enter(grant("a", calls_per_day=1), is_call=True) is not None
    assert all(counting.enter(Grant(principal="c"), is_call=True) is None for _ in range(100))
    assert len(counting) == 2


def test_what_is_given_back_was_never_used():
    counting, _ = quotas()
    caller = grant(requests_per_minute=2, concurrent=1, calls_per_day=2)
    for _ in range(50):
        assert counting.enter(caller, is_call=True) is None
        counting.give_back(caller, is_call=True)
    assert counting.enter(caller, is_call=True) is None


def test_memory_is_bounded_and_callers_with_calls_under_way_are_kept():
    counting, _ = quotas()
    busy = grant("busy", concurrent=1)
    assert counting.enter(busy, is_call=True) is None
    for number in range(MAX_PRINCIPALS + 50):
        assert counting.enter(grant(f"caller-{number}", requests_per_minute=1), is_call=False) is None
    assert len(counting) == MAX_PRINCIPALS
    assert counting.enter(busy, is_call=True) is not None


@given(
    st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=80),
    st.integers(1, 120),
    st.integers(1, 20),
)
def test_no_more_than_burst_and_rate_ever_passes(steps, per_minute, burst):
    counting, clock = quotas()
    caller = grant(requests_per_minute=per_minute, burst=burst)
    began_s, passed = clock.now_s, 0
    for pause_s, is_call in steps:
        clock.now_s += pause_s
        passed += counting.enter(caller, is_call=is_call) is None
        assert passed <= burst + (clock.now_s - began_s) * per_minute / 60 + 1e-6


class Server:
    def __init__(self) -> None:
        self.calls = 0
        self.go_on = asyncio.Event()
        self.begun = asyncio.Event()

    async def __call__(self, _, receive, send) -> None:
        body = await read_body(receive)
        self.calls += 1
        if b"slow" in body:
            self.begun.set()
            await self.go_on.wait()
        await reply(send, 200, b"{}")


def access_with(**limits: int) -> BearerAccess:
    rules = AccessRules(
        tokens={"ci": hashlib.sha256(b"token").hexdigest(), "other": hashlib.sha256(b"free").hexdigest()},
        access={"ci": {"*": ["*"]}, "other": {"*": ["*"]}},
        limits={"ci": Limits(**limits)},
    )
    return BearerAccess(rules, Resources("http://gateway.example.com", []), [])


CI, FREE = {"authorization": "Bearer token"}, {"authorization": "Bearer free"}


@pytest.mark.usefixtures("data_path")
async def test_a_caller_over_its_rate_is_told_when_to_come_again():
    server = Server()
    async with (
        serve(server) as port,
        gateway_to(port, access=access_with(requests_per_minute=1, burst=4)) as gateway,
        httpx.AsyncClient() as client,
    ):
        answers = [await client.post(gateway.mcp, content=b"{}", headers=CI) for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 3
        assert server.calls == 4
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        error = answers[-1].json()["error"]
        assert "1 requests a minute" in error["message"]
        assert error["data"]["code"] == "rate-limited"
        assert (await client.post(gateway.mcp, content=b"{}", headers=FREE)).status_code == 200


@pytest.mark.usefixtures("data_path")
async def test_calls_at_a_time_are_counted_until_they_are_over():
    server = Server()
    async with (
        serve(server) as port,
        gateway_to(port, access=access_with(concurrent=1)) as gateway,
        httpx.AsyncClient(timeout=20) as client,
    ):
        for _ in range(5):
            assert (await client.post(gateway.mcp, content=b"{}", headers=CI)).status_code == 200
        with anyio.fail_after(20):
            async with asyncio.TaskGroup() as group:
                slow = group.create_task(client.post(gateway.mcp, content=b'{"slow":1}', headers=CI))
                await server.begun.wait()
                assert (await client.post(gateway.mcp, content=b"{}", headers=CI)).status_code == 429
                server.go_on.set()
        assert slow.result().status_code == 200
        assert (await client.post(gateway.mcp, content=b"{}", headers=CI)).status_code == 200


@pytest.mark.usefixtures("data_path")
async def test_a_caller_that_leaves_frees_its_place():
    server = Server()
    async with serve(server) as port, gateway_to(port, access=access_with(concurrent=1)) as gateway:
        async with httpx.AsyncClient(timeout=20) as client:
            assert (await client.post(gateway.mcp, content=b"{}", headers=CI)).status_code == 200
            task = asyncio.create_task(client.post(gateway.mcp, content=b'{"slow":1}', headers=CI))
            await server.begun.wait()
            task.cancel()
        async with httpx.AsyncClient(timeout=20) as client:
            with anyio.fail_after(10):
                while (await client.post(gateway.mcp, content=b"{}", headers=CI)).status_code == 429:  # noqa: ASYNC110 - a place that becomes free sets no event.
                    await asyncio.sleep(0.01)
        server.go_on.set()


async def test_a_request_to_all_servers_counts_once_and_together_with_those_to_each():
    server = Server()
    call = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":%b}}' % META
    modern = {
        **CI,
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/list",
        "content-type": "application/json",
    }
    headers = modern | {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    async with (
        serve(server) as port,
        gateway_to(port, access=access_with(requests_per_minute=1, burst=3)) as gateway,
        httpx.AsyncClient(timeout=20) as client,
    ):
        gateway.routes.replace([upstream_at(port, name) for name in ("time", "wiki", "notes")])
        first = await client.post(f"{gateway.url}/mcp", content=call, headers=headers)
        assert first.status_code != 429
        assert server.calls >= 3
        assert (await client.post(gateway.mcp, content=b"{}", headers=CI)).status_code == 200
        assert (await client.post(f"{gateway.url}/mcp", content=call, headers=headers)).status_code != 429
        over = await client.post(f"{gateway.url}/mcp", content=call, headers=headers)
    assert over.status_code == 429
    assert over.json()["error"]["data"]["code"] == "rate-limited"
