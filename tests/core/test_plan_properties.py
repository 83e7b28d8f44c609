"""The promises of the planner, for any fleet and at every stage on the way to what is wanted.

`tests.core.cases` says what they are. The bench runs a hundred thousand cases of the same kind.
"""

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.plan import plan
from tests.core.cases import check_case, check_order, check_plan, make_case


@given(dice=st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_every_fleet_gets_where_it_should_without_breaking_a_promise(dice: Random) -> None:
    assert check_case(make_case(dice)) >= 0


@given(dice=st.randoms(use_true_random=False), complete=st.booleans())
@settings(max_examples=200, deadline=None)
def test_every_plan_keeps_its_promises_whatever_is_seen(dice: Random, *, complete: bool) -> None:
    case = make_case(dice)
    observation = case.world.observe(complete=complete)
    seen = replace(case.snapshot, observation=observation, mute_machines=case.world.mute_machines)
    made = plan(seen)
    check_plan(seen, made)
    check_order(seen, made)
    assert plan(seen) == made
