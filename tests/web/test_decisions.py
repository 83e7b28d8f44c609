"""Pure parts: ages, history, words for actions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from reconciler.core.action_words import KINDS, summary
from reconciler.core.actions import Action, Deferred, Outcome, Pass, Plan, Start, Stop
from reconciler.core.types import OutcomeKind, Revision, ServerState, Trigger
from reconciler.web.appearance import OUTCOMES, STATES, age
from reconciler.web.plans import pass_document

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172_800, "2 d"), (-5, "0 s")],
)
def test_ages_are_told_in_one_unit(seconds, expected):
    assert age(NOW - timedelta(seconds=seconds), NOW) == expected


def test_an_unknown_moment_has_no_age():
    assert age(None, NOW) == ""


def test_every_state_and_outcome_has_looks_of_its_own_words():
    assert set(STATES) == set(ServerState)
    assert set(OUTCOMES) == set(OutcomeKind)


def test_states_that_share_a_colour_and_a_shape_share_a_meaning():
    looks = {(item.tone, item.shape) for item in STATES.values()}
    assert len(looks) >= len(STATES) - 1, "only installing and starting look alike"


def test_every_action_has_a_word():
    assert set(KINDS) == set(get_args(Action))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Start(server="a", app="x-a", machine_id="m1", reason=""), "start machine m1"),
        (Stop(server="a", app="x-a", machine_id="m1", reason=""), "stop machine m1"),
    ],
)
def test_actions_are_told_in_words(action, words):
    assert summary(action) == words


def test_a_pass_of_several_stages_tells_what_followed_and_no_longer_what_waited():
    stop = Stop(server="time", app="acme-time", machine_id="1", reason="idle")
    start = Start(server="time", app="acme-time", machine_id="2", reason="called")
    planned = Plan(
        fleet="acme",
        revision=Revision(commit="a" * 40, branch="main", source="/r"),
        actions=(stop,),
        deferred=(Deferred(action=start, until="the first one rests"),),
    )
    outcomes = tuple(Outcome(action=action, kind=OutcomeKind.APPLIED) for action in (stop, start))
    finished = Pass(number=1, trigger=Trigger.COMMIT, started_at=NOW, finished_at=NOW, plan=planned, outcomes=outcomes)
    document = pass_document(finished)
    assert [action.outcome for action in document.actions] == ["applied", "applied"]
    assert document.deferred == []
    assert pass_document(replace(finished, outcomes=outcomes[:1])).deferred[0].until == "the first one rests"
