"""What sleeping saves and waking costs, from changes of state alone."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.cost import guest_price
from reconciler.core.savings import PRICED_MONTH, StateChange, Usage, server_price, usage
from reconciler.core.types import Guest, PackageReference, Registry, Scale, ServerSpec, ServerState

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOW = SINCE + timedelta(hours=10)
PRICE = 720.0
"""A dollar an hour."""


def told(*changes: tuple[float, ServerState], price: float | None = PRICE) -> Usage:
    """Hours since the beginning, and the state from then on."""
    found = [StateChange(at=SINCE + timedelta(hours=hours), state=state) for hours, state in changes]
    return usage(found, since=SINCE, now=NOW, price=price)


def test_a_server_that_never_sleeps_costs_all_the_time_and_saves_nothing() -> None:
    found = told((-5, ServerState.READY))
    assert (found.cost, found.saved, found.wakes) == (pytest.approx(10), 0, 0)


def test_a_server_that_sleeps_all_month_costs_nothing() -> None:
    found = told((-5, ServerState.IDLE))
    assert (found.cost, found.saved) == (0, pytest.approx(10))


def test_waking_costs_until_it_sleeps_again() -> None:
    found = told((-1, ServerState.IDLE), (4, ServerState.READY), (5, ServerState.IDLE))
    assert (found.cost, found.saved, found.wakes) == (pytest.approx(1), pytest.approx(9), 1)


def test_the_last_wake_is_told_where_somebody_saw_it_begin_and_end() -> None:
    seen = told((0, ServerState.IDLE), (1, ServerState.STARTING), (1 + 2 / 3600, ServerState.READY))
    assert seen.last_wake_s == pytest.approx(2)
    unseen = told((0, ServerState.IDLE), (1, ServerState.READY))
    assert (unseen.wakes, unseen.last_wake_s) == (1, None)


@pytest.mark.parametrize("end", [ServerState.FAILED, ServerState.DEGRADED, ServerState.IDLE])
def test_a_wake_that_did_not_arrive_has_no_duration(end: ServerState) -> None:
    assert told((0, ServerState.IDLE), (1, ServerState.STARTING), (2, end)).last_wake_s is None


@pytest.mark.parametrize("after", [ServerState.PENDING, ServerState.INSTALLING, ServerState.FAILED])
def test_an_update_of_a_sleeping_server_is_no_wake(after: ServerState) -> None:
    assert told((0, ServerState.IDLE), (1, after), (2, ServerState.READY)).wakes == 0


def test_a_wake_before_the_month_counts_for_the_month_before() -> None:
    assert told((-2, ServerState.IDLE), (-1, ServerState.READY)).wakes == 0


def test_a_pending_server_has_no_machine_and_so_no_cost() -> None:
    found = told((0, ServerState.PENDING), (9, ServerState.READY))
    assert (found.cost, found.saved) == (pytest.approx(1), 0)


def test_a_size_without_a_price_has_times_and_no_dollars() -> None:
    found = told((0, ServerState.READY), (4, ServerState.IDLE), price=None)
    assert (found.awake_s, found.asleep_s, found.cost, found.saved) == (4 * 3600, 6 * 3600, None, None)


def test_a_server_is_counted_from_when_it_is_known() -> None:
    assert told((3, ServerState.READY)).since == SINCE + timedelta(hours=3)
    assert told().since == NOW


def test_a_server_costs_what_its_minimum_costs() -> None:
    guest = Guest(memory_mb=1024)
    package = PackageReference(registry=Registry.PYPI, name="x")
    spec = ServerSpec(fleet="f", name="s", package=package, guest=guest, scale=Scale(minimum=3, maximum=5))
    price = guest_price(guest)
    assert price is not None
    assert server_price(spec) == pytest.approx(3 * price)
    assert server_price(ServerSpec(fleet="f", name="s", package=package, guest=Guest(cpu_kind="performance"))) is None


moments = st.lists(st.floats(min_value=-20, max_value=10, allow_nan=False), max_size=12).map(sorted)


@given(moments, st.data())
def test_no_second_is_lost_or_counted_twice(hours: list[float], data: st.DataObject) -> None:
    changes = [(moment, data.draw(st.sampled_from(ServerState))) for moment in hours]
    found = told(*changes)
    pending = told(
        *((moment, ServerState.IDLE if state is ServerState.PENDING else state) for moment, state in changes)
    )
    assert 0 <= found.awake_s + found.asleep_s <= pending.awake_s + pending.asleep_s + 1e-3
    known_s = (NOW - pending.since).total_seconds()
    assert pending.awake_s + pending.asleep_s == pytest.approx(known_s, abs=1e-3)
    assert found.cost is not None
    assert found.saved is not None
    total = PRICE * (found.awake_s + found.asleep_s) / PRICED_MONTH.total_seconds()
    assert found.cost + found.saved == pytest.approx(total)
