"""Descriptions: one line, 140 characters, cut on a word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.report.text import DESCRIPTION_LIMIT, counted, one_line, with_tail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("short", "short", id="short"),
        pytest.param("two\nlines\tand  spaces ", "two lines and spaces", id="one line"),
        pytest.param("a\x00b\u202ec", "a b c", id="control characters"),
        pytest.param("e\u0301", "\u00e9", id="composed"),
        pytest.param("word " * 40, "word " * 27 + "word…", id="cut on a word"),
        pytest.param("x" * 200, "x" * 139 + "…", id="an endless word is cut inside"),
        pytest.param("y" * 140, "y" * 140, id="exactly full"),
        pytest.param("word, " * 30, ("word, " * 23).rstrip(", ") + "…", id="no comma before the ellipsis"),
    ],
)
def test_text_becomes_a_description(text, expected):
    found = one_line(text)
    assert len(found) <= DESCRIPTION_LIMIT
    assert found == expected


@given(st.text(max_size=600), st.integers(min_value=20, max_value=140))
def test_any_text_fits(text, limit):
    found = one_line(text, limit=limit)
    assert len(found) <= limit
    assert "\n" not in found


@given(st.text(max_size=600))
def test_a_tail_survives_the_cut(text):
    found = with_tail(text, " (3/4 healthy)")
    assert found.endswith(" (3/4 healthy)")
    assert len(found) <= DESCRIPTION_LIMIT


@given(st.text(max_size=300))
def test_making_a_description_twice_changes_nothing(text):
    assert one_line(one_line(text)) == one_line(text)


def test_counts_agree_with_their_noun():
    assert (counted(1, "server"), counted(2, "server"), counted(0, "server")) == ("1 server", "2 servers", "0 servers")
