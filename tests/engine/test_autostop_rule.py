"""Which machine is put to sleep: the rule, as a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.proxy.idleness import Autostop, Started, spare


def one(name, *, idle=True, over=False, ready=True, autostop=Autostop.STOP, least=0):
    return Started(
        machine_id=name, is_over_soft=over, is_idle=idle, is_ready=ready, autostop=autostop, least_running=least
    )


def busy(name, **facts: object):
    return one(name, idle=False, **facts)


@pytest.mark.parametrize(
    ("started", "expected"),
    [
        ([], None),
        ([one("a")], "a"),
        ([busy("a")], None),
        ([one("a", autostop=Autostop.OFF)], None),
        ([one("a", least=1)], None),
        ([one("a"), one("b")], "a"),
        ([one("a", least=1), one("b", least=1)], "a"),
        ([one("a", least=2), one("b", least=2)], None),
        ([busy("a"), one("b")], "b"),
        ([busy("a"), busy("b")], None),
        ([busy("a", over=True), one("b")], None),
        ([busy("a", over=True), one("b"), one("c")], "b"),
        ([busy("a", over=True), busy("b", over=True), one("c")], None),
        ([one("a"), one("b", ready=False)], "b"),
        ([one("a", autostop=Autostop.OFF), one("b")], "b"),
        ([one("a", autostop=Autostop.SUSPEND)], "a"),
    ],
    ids=[
        "none",
        "single-idle",
        "single-busy",
        "autostop-off",
        "minimum-of-one",
        "two-idle-one-goes",
        "two-idle-with-minimum-of-one",
        "minimum-of-two",
        "the-idle-one-goes",
        "both-busy",
        "one-at-its-limit-keeps-one-more",
        "one-at-its-limit-and-two-idle",
        "two-at-their-limit-keep-one-more",
        "the-one-that-is-not-ready-first",
        "off-is-kept-beside-another",
        "suspend",
    ],
)
def test_the_platform_puts_one_machine_of_a_region_to_sleep(started, expected):
    chosen = spare(started)
    assert (chosen.machine_id if chosen else None) == expected


machines = st.builds(
    Started,
    machine_id=st.uuids().map(str),
    is_over_soft=st.booleans(),
    is_idle=st.booleans(),
    is_ready=st.booleans(),
    autostop=st.sampled_from(Autostop),
    least_running=st.integers(0, 4),
)


@given(st.lists(machines, max_size=6))
def test_no_busy_machine_and_none_below_the_minimum_is_ever_put_to_sleep(started):
    chosen = spare(started)
    if chosen is not None:
        assert chosen.is_idle
        assert chosen.autostop is not Autostop.OFF
        assert len(started) - 1 >= max(machine.least_running for machine in started)
        if len(started) > 1:
            assert len(started) - 1 >= sum(machine.is_over_soft for machine in started) + 1
