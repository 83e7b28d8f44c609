"""Texts for check runs stay within GitHub's limit and are never broken Markdown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.report.details import MOST_BYTES, code_block, code_span, cut_markdown, table_row


def test_what_fits_stays_as_it_is():
    assert cut_markdown("a\n```\nb\n```") == "a\n```\nb\n```"


def test_a_cut_falls_between_lines_and_tells_what_is_missing():
    cut = cut_markdown("\n".join(f"- line {number}" for number in range(100)), most_bytes=300)
    assert cut.splitlines()[-1] == "_… 79 more lines_"
    assert all(line.startswith("- line ") for line in cut.splitlines()[:-2])


@pytest.mark.parametrize("fence", ["```", "````", "`````"])
def test_a_cut_closes_the_code_block_that_it_opens(fence):
    text = f"{fence}text\n" + "x\n```\n" * 100 + fence
    cut = cut_markdown(text.replace("```\n", "y\n") if fence == "```" else text, most_bytes=300)
    assert cut.splitlines()[-3] == fence


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1), st.integers(200, 400))
def test_a_cut_never_exceeds_its_limit_and_begins_as_the_text(text, limit):
    cut = cut_markdown(text * 40, most_bytes=limit)
    assert len(cut.encode("utf-8")) <= limit
    if len((text * 40).encode("utf-8")) > limit:
        kept = cut.rpartition("\n\n_…")[0]
        assert kept.splitlines()[0] == (text * 40).splitlines()[0][: len(kept.splitlines()[0])]


def test_a_character_of_four_bytes_is_not_cut_in_two():
    cut = cut_markdown("😀" * 30_000)
    assert len(cut.encode("utf-8")) <= MOST_BYTES
    assert "\ufffd" not in cut


@given(st.text(alphabet="`a |\n@"))
def test_code_ends_where_it_should(text):
    span, block = code_span(text), code_block(text)
    fence = span[: len(span) - len(span.lstrip("`"))]
    assert fence not in " ".join(text.split())
    assert "\n" not in span
    assert block.splitlines()[0].removesuffix("text") not in text.split("\n")


def test_a_bar_does_not_end_a_cell():
    assert table_row("`a|b`", "c") == "| `a\\|b` | c |"
