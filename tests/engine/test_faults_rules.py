"""When a rule acts: decisions over calls and machines, without an engine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.faults import Conflict, ConflictReason, Faults, InsufficientCapacity, Rule, ServerError
from reconciler.engine.faults.rules import Call, Subject, matches_call, on_route

CREATE = "/v1/apps/one/machines"
SUBJECT = Subject(app="one", machine_id="4d5e", machine_name="time-1", region="iad")


def call(method: str = "POST", path: str = CREATE, subject: Subject = SUBJECT) -> Call:
    return Call(method=method, path=path, subject=subject)


@pytest.mark.parametrize(
    ("route", "path", "fits"),
    [
        ("/v1/apps/{app}/machines", CREATE, True),
        ("/v1/apps/*/machines", CREATE, True),
        ("/v1/apps/two/machines", CREATE, False),
        ("/v1/apps/{app}/machines", f"{CREATE}/4d5e", False),
        ("/v1/apps/{app}/**", f"{CREATE}/4d5e/lease", True),
        ("/v1/apps/{app}/machines/**", "/v1/apps/one/secrets/A", False),
    ],
)
def test_a_route_matches_part_by_part(route, path, fits):
    assert on_route(route, path) is fits


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        ({}, True),
        ({"method": "post"}, True),
        ({"method": "GET"}, False),
        ({"app": "o*"}, True),
        ({"app": "two"}, False),
        ({"machine": "4d5e"}, True),
        ({"machine": "time-*"}, True),
        ({"machine": "other"}, False),
        ({"region": "iad"}, True),
        ({"region": "bom"}, False),
        ({"app": "one", "region": "bom"}, False),
    ],
)
def test_everything_that_a_rule_says_must_match(words, fits):
    assert matches_call(Rule(effect=ServerError(), **words), call()) is fits


def test_effects_that_cannot_happen_to_a_call_do_not():
    assert not matches_call(Rule(effect=InsufficientCapacity()), call(path=f"{CREATE}/4d5e/start"))
    assert not matches_call(Rule(effect=Conflict(reason=ConflictReason.EMPTY)), call(method="GET"))


@given(nth=st.integers(1, 10), times=st.none() | st.integers(1, 10), calls=st.integers(0, 30))
def test_a_rule_acts_from_its_nth_occasion_on_and_as_often_as_it_says(nth, times, calls):
    faults = Faults([Rule(effect=ServerError(), nth=nth, times=times)])
    acted = [bool(faults.on_call(call())) for _ in range(calls)]
    due = max(calls - nth + 1, 0) if times is None else min(max(calls - nth + 1, 0), times)
    assert acted == [False] * min(nth - 1, calls) + [True] * due + [False] * (calls - min(nth - 1, calls) - due)
    assert faults.fired() == len(faults.firings()) == due


@given(seed=st.integers(), probability=st.floats(0.1, 0.9))
def test_the_same_seed_makes_the_same_choices(seed, probability):
    def choices() -> list[bool]:
        faults = Faults([Rule(effect=ServerError(), probability=probability, seed=seed)])
        return [bool(faults.on_call(call())) for _ in range(50)]

    assert choices() == choices()


def test_a_probability_acts_about_that_often():
    faults = Faults([Rule(effect=ServerError(), probability=0.25, seed=7)])
    acted = sum(bool(faults.on_call(call())) for _ in range(2000))
    assert 400 < acted < 600


def test_firings_of_a_removed_rule_stay_on_record():
    faults = Faults()
    rule_id = faults.add(Rule(effect=ServerError()))
    faults.on_call(call())
    assert faults.remove(rule_id)
    assert not faults.remove(rule_id)
    assert [firing.rule_id for firing in faults.firings()] == [rule_id]
    assert faults.on_call(call()) == ()
