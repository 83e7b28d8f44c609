from hypothesis import given
from hypothesis import strategies as st

from reconciler.fly.rates import MACHINE_READS, ORDINARY, Rate, Schedule, reserve

RATES = st.sampled_from([ORDINARY, MACHINE_READS, Rate(per_second=3.0, burst=1)])


@given(rate=RATES, pauses=st.lists(st.floats(0, 3), max_size=60))
def test_no_window_holds_more_calls_than_the_rate_and_its_burst(rate, pauses):
    now_s = arrival_s = 0.0
    sent = []
    for pause_s in pauses:
        now_s += pause_s
        delay_s, arrival_s = reserve(arrival_s, now_s, rate)
        sent.append(now_s + delay_s)
    for first, start_s in enumerate(sent):
        for last in range(first, len(sent)):
            span_s = sent[last] - start_s
            assert last - first + 1 <= rate.burst + span_s * rate.per_second + 1e-6


@given(rate=RATES, pauses=st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_calls_of_one_key_leave_in_the_order_in_which_they_ask(rate, pauses):
    now_s = arrival_s = last_s = 0.0
    for pause_s in pauses:
        now_s += pause_s
        delay_s, arrival_s = reserve(arrival_s, now_s, rate)
        assert now_s + delay_s >= last_s - 1e-9
        last_s = now_s + delay_s


async def test_keys_do_not_slow_each_other_down(clock):
    schedule = Schedule(clock.monotonic, clock.sleep)
    for number in range(50):
        await schedule.admit(("update machine", f"m{number}"), ORDINARY)
    assert clock.slept == []


async def test_a_key_is_slowed_to_its_rate_after_the_burst(clock):
    schedule = Schedule(clock.monotonic, clock.sleep)
    for _ in range(5):
        await schedule.admit(("update machine", "m"), ORDINARY)
    assert clock.now_s == 1003.0
