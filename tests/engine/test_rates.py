"""Rate limits: the bucket as a decision, and the calls that it counts together."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine import Rate, RateLimits
from reconciler.engine.api.rates import drawn

SECOND_NS = 1_000_000_000


@given(
    gaps_ns=st.lists(st.integers(0, 3 * SECOND_NS), min_size=1, max_size=80),
    burst=st.integers(1, 10),
    per_second=st.sampled_from([0.5, 1.0, 5.0]),
)
def test_no_span_of_time_lets_more_calls_pass_than_the_burst_and_the_rate(gaps_ns, burst, per_second):
    rate, bucket, now_ns, passed = Rate(per_second=per_second, burst=burst), None, 0, []
    for gap_ns in gaps_ns:
        now_ns += gap_ns
        allowed, bucket = drawn(bucket, rate, now_ns)
        if allowed:
            passed.append(now_ns)
    for index, first_ns in enumerate(passed):
        for count, last_ns in enumerate(passed[index:], start=1):
            assert count <= burst + (last_ns - first_ns) / SECOND_NS * per_second + 1e-6


def test_a_call_is_allowed_again_when_its_token_has_grown():
    rate, bucket, answers = Rate(per_second=1, burst=3), None, []
    for now_ns in (0, 0, 0, 0, SECOND_NS - 1, SECOND_NS, SECOND_NS):
        allowed, bucket = drawn(bucket, rate, now_ns)
        answers.append(allowed)
    assert answers == [True, True, True, False, False, True, False]


@pytest.fixture
async def limited(open_bench, settings, stepped_clock):
    async with open_bench(replace(settings, rate_limits=RateLimits()), clock=stepped_clock) as bench:
        await bench.make_app()
        yield bench


async def test_a_fourth_call_at_once_is_refused_without_a_retry_after(limited, stepped_clock):
    path = "/apps/acme-time/machines"
    answers = [await limited.api.get(path) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].json() == {"error": "rate limit exceeded"}
    assert "retry-after" not in answers[-1].headers
    stepped_clock.advance(1)
    assert [(await limited.api.get(path)).status_code for _ in range(2)] == [200, 429]


async def test_each_action_and_each_machine_has_its_own_bucket(limited):
    first = await limited.make_machine(skip_launch=True)
    second = await limited.make_machine(skip_launch=True)
    for machine in (first, second):
        for part in ("events", "versions"):
            codes = [(await limited.api.get(f"{limited.path(machine)}/{part}")).status_code for _ in range(4)]
            assert codes == [200, 200, 200, 429]
    codes = [(await limited.api.get(limited.path(first))).status_code for _ in range(11)]
    assert codes == [200] * 10 + [429]


async def test_what_names_no_machine_and_no_app_is_not_limited(limited):
    for path in ("/orgs/personal/machines", "/platform/regions", "/tokens/current"):
        assert {(await limited.api.get(path)).status_code for _ in range(12)} == {200}


async def test_a_call_without_a_valid_token_uses_nothing_up(limited):
    stranger = {"authorization": "FlyV1 fm2_other"}
    assert {(await limited.api.get("/apps/acme-time", headers=stranger)).status_code for _ in range(5)} == {401}
    assert (await limited.api.get("/apps/acme-time")).status_code == 200
