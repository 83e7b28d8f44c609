"""When a status is worth a post: pure rules, and what six posts of a flapping server add up to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.report.letters import LAST_TAIL, MOST_POSTS, Letter, corrected, delivered, to_post, wanting
from reconciler.report.statuses import CommitStatus, StatusState


def status(state="pending", description="x", context="catwalk/sync"):
    return CommitStatus(sha="a" * 40, context=context, state=StatusState(state), description=description)


CASES = [
    pytest.param(Letter(wanted=status()), "x", id="never posted"),
    pytest.param(Letter(wanted=status(), posted=status(), posts=1), None, id="stands already"),
    pytest.param(Letter(wanted=status(description="y"), posted=status(), posts=1), "y", id="other words"),
    pytest.param(Letter(wanted=status(description="y"), posted=status(), posts=4), None, id="words stop early"),
    pytest.param(Letter(wanted=status("success"), posted=status(), posts=4), "x", id="a state may"),
    pytest.param(Letter(wanted=status("success"), posted=status(), posts=5), f"x{LAST_TAIL}", id="the last"),
    pytest.param(Letter(wanted=status("success"), posted=status(), posts=6), None, id="no more than six"),
    pytest.param(Letter(wanted=status(), refusal="422"), None, id="refused"),
]


@pytest.mark.parametrize(("letter", "description"), CASES)
def test_a_post_is_made_only_where_it_is_worth_one(letter, description):
    found = to_post(letter)
    assert (found.description if found else None) == description


def test_wanting_the_same_again_changes_nothing():
    letter = Letter(wanted=status(), posted=status(), posts=1, refusal="422")
    assert wanting(letter, status()) is letter


def test_another_text_is_tried_after_a_refusal():
    assert wanting(Letter(wanted=status(), refusal="422"), status("success")).refusal == ""


def test_githubs_list_knows_of_posts_whose_answer_was_lost():
    listed = [status("success"), status(context="other"), status(context="Catwalk/Sync")]
    found = corrected(Letter(wanted=status("success")), listed)
    assert (found.posted, found.posts) == (status("success"), 2)
    assert to_post(found) is None


WISHES = st.lists(
    st.builds(status, state=st.sampled_from(["pending", "success", "failure"]), description=st.sampled_from("abc")),
    min_size=1,
    max_size=40,
)


@given(WISHES)
def test_no_series_of_wishes_makes_more_than_six_posts(wishes):
    letter = None
    posts = []
    for wish in wishes:
        letter = wanting(letter, wish)
        sent = to_post(letter)
        if sent is not None:
            posts.append(sent)
            letter = delivered(letter, sent)
    assert len(posts) <= MOST_POSTS
    assert letter is not None
    assert letter.posts == len(posts)


@given(WISHES)
def test_until_the_last_post_the_state_that_stands_is_the_one_that_is_wanted(wishes):
    letter = None
    for wish in wishes:
        letter = wanting(letter, wish)
        sent = to_post(letter)
        letter = delivered(letter, sent) if sent else letter
        assert letter.posted is not None
        assert letter.posts == MOST_POSTS or letter.posted.state is wish.state
