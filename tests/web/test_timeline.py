"""The band of a server's health: pieces that join without gaps, and no failure that cannot be seen."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.types import ServerState
from reconciler.web.documents import TransitionDocument
from reconciler.web.timeline import NARROWEST, WIDTH, timeline

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def change(state: ServerState, hours_ago: float) -> TransitionDocument:
    at = NOW - timedelta(hours=hours_ago)
    return TransitionDocument(at=at, state=state, cause=None, detail="", revision=None, pass_number=1)


def test_a_server_that_nothing_is_known_of_has_no_band():
    assert timeline([], NOW) is None
    assert timeline([change(ServerState.READY, 0)], NOW) is None


def test_each_state_has_its_share_of_the_band():
    band = timeline([change(ServerState.READY, 1), change(ServerState.FAILED, 2), change(ServerState.READY, 4)], NOW)
    assert band is not None
    assert [(piece.state, piece.x, piece.width) for piece in band.pieces] == [
        ("ready", 0, 500),
        ("failed", 500, 250),
        ("ready", 750, 250),
    ]
    assert band.well == 0.75


def test_a_week_is_shown_at_most():
    band = timeline([change(ServerState.READY, 1000)], NOW)
    assert band is not None
    assert (band.ended_at - band.begun_at, band.pieces[0].width) == (timedelta(days=7), WIDTH)


def test_time_suspended_is_neither_well_nor_unwell():
    band = timeline([change(ServerState.SUSPENDED, 1), change(ServerState.READY, 2)], NOW)
    assert band is not None
    assert band.well == 1


STATES = st.sampled_from(list(ServerState))
CHANGES = st.lists(st.tuples(STATES, st.floats(0.0001, 400)), min_size=1, max_size=30)


@given(CHANGES)
def test_pieces_join_to_the_whole_band_and_each_can_be_seen(changes: list[tuple[ServerState, float]]):
    history = [change(state, hours) for state, hours in sorted(changes, key=lambda found: found[1])]
    band = timeline(history, NOW)
    assert band is not None
    assert all(piece.width >= NARROWEST - 0.02 for piece in band.pieces)
    assert band.pieces[-1].x + band.pieces[-1].width == pytest.approx(WIDTH, abs=0.1)
    for first, second in zip(band.pieces, band.pieces[1:], strict=False):
        assert first.x + first.width == pytest.approx(second.x, abs=NARROWEST + 0.1)
    assert 0 <= band.well <= 1


def test_a_failure_of_a_minute_in_a_week_is_drawn():
    history = [change(ServerState.READY, 50), change(ServerState.FAILED, 50.02), change(ServerState.READY, 168)]
    band = timeline(history, NOW)
    assert band is not None
    assert "failed" in [piece.state for piece in band.pieces]
