"""From a log to its cause: which line wins, what the adapter's verdict changes, and that no text can break it."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.log_causes import LONGEST_LINE, explain
from reconciler.core.log_causes_rules import FIXES, RULES, LogCause
from reconciler.core.types import Cause

TRACEBACK = ["Traceback (most recent call last):", "ZeroDivisionError: division by zero"]
MISSING = "Error: BRAVE_API_KEY environment variable is required"
NOISE = '{"catwalk": "stdout-noise", "line": "Hello from my server", "why": "an object is expected"}'


def verdict(cause: str) -> str:
    return json.dumps({"catwalk": "failed", "cause": cause, "detail": "the server ended"})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.example[:40])
def test_every_rule_finds_its_example(rule):
    found = explain(["starting", rule.example, ""])
    assert found is not None
    assert (found.cause, found.line) == (rule.cause, rule.example.strip())


def test_every_cause_says_what_to_do():
    assert set(FIXES) == set(LogCause)


def test_the_words_are_those_of_verdicts_except_for_what_only_a_log_shows():
    assert {str(cause) for cause in LogCause} - {str(cause) for cause in Cause} == {
        "bad-token",
        "service-unreachable",
        "permission-denied",
        "disk-full",
    }


@pytest.mark.parametrize(
    ("log", "cause", "line"),
    [
        pytest.param([*TRACEBACK, MISSING], "missing-variable", MISSING, id="what can be mended wins over what broke"),
        pytest.param([MISSING, verdict("crash-loop")], "missing-variable", MISSING, id="a vague verdict is refined"),
        pytest.param(
            [*TRACEBACK, verdict("out-of-memory")], "out-of-memory", verdict("out-of-memory"),
            id="a specific verdict is believed",
        ),
        pytest.param(
            [MISSING, verdict("missing-variable")], "missing-variable", MISSING,
            id="the line is shown, not the verdict on it",
        ),
        pytest.param([verdict("timeout")], "timeout", verdict("timeout"), id="a verdict alone is enough"),
        pytest.param(
            [*TRACEBACK, verdict("not-an-mcp-server")], "not-an-mcp-server", TRACEBACK[1],
            id="a vague verdict is better than none",
        ),
        pytest.param([NOISE, verdict("timeout")], "not-an-mcp-server", NOISE, id="junk while it is waited for"),
        pytest.param(
            [MISSING, verdict("missing-variable"), *TRACEBACK, verdict("crash-loop")], "crash-loop", TRACEBACK[1],
            id="the newest start counts",
        ),
        pytest.param(
            [MISSING, verdict("missing-variable"), '{"catwalk": "stopped"}'], "missing-variable", MISSING,
            id="what the adapter says afterwards is no new start",
        ),
        pytest.param(
            [MISSING, verdict("missing-variable"), *TRACEBACK], "crash-loop", TRACEBACK[1],
            id="a start that has no verdict yet",
        ),
        pytest.param(
            ["ValueError: first", "KeyError: second"], "crash-loop", "KeyError: second", id="the end of a traceback"
        ),
        pytest.param([verdict("from-a-newer-release"), ""], None, None, id="an unknown verdict"),
        pytest.param(
            ["\x1b[31mError: WIKI_TOKEN is required\x1b[0m"], "missing-variable", "Error: WIKI_TOKEN is required",
            id="colours are taken off",
        ),
        pytest.param(
            ["warning: WIKI_TOKEN is not set", *TRACEBACK], "crash-loop", TRACEBACK[1], id="a remark is no cause",
        ),
        pytest.param(["warning: WIKI_TOKEN is not set"], "missing-variable", "warning: WIKI_TOKEN is not set",
                     id="a remark where there is nothing else"),
        pytest.param(['{"catwalk": "installer", "command": "git -c http.lowSpeedTime=30 ETIMEDOUT"}'], None, None,
                     id="what the adapter does is no cause"),
        pytest.param(
            ["npm error code E404", verdict("install-failed")], "install-failed", "npm error code E404",
            id="a dependency that is not there",
        ),
        pytest.param([], None, None, id="nothing"),
        pytest.param(["listening on port 8080", "request took 401 ms"], None, None, id="nothing wrong"),
    ],
)  # fmt: skip
def test_which_line_shows_the_cause(log, cause, line):
    found = explain(log)
    assert (found and found.cause, found and found.line) == (cause, line)


def test_only_the_newest_lines_are_read():
    assert explain([MISSING, *["ok"] * 1000]) is None


COLOURS = re.compile(r"\x1b\[[0-9;?]{0,16}[A-Za-z]")
LINES = st.one_of(
    st.text(),
    st.sampled_from([rule.example for rule in RULES]),
    st.sampled_from([verdict(str(cause)) for cause in LogCause]),
    st.sampled_from(['{"catwalk": "failed"', '{"catwalk": "failed", "cause": [1]}', '{"catwalk": "failed"}' * 200]),
)


@given(st.lists(st.one_of(LINES, st.builds(lambda left, right: left + right, LINES, LINES)), max_size=30))
def test_no_log_breaks_it_and_nothing_is_told_that_is_not_in_the_log(log):
    found = explain(log)
    if found is not None:
        assert any(found.line in COLOURS.sub("", line) for line in log)
        assert len(found.line) <= LONGEST_LINE
        assert found.fix == FIXES[found.cause]


HOSTILE = [
    pytest.param("A_" * 50_000, id="a name without end"),
    pytest.param("(" * 100_000, id="brackets"),
    pytest.param("\ud800" * 10_000, id="half characters"),
    pytest.param("API key " * 10_000, id="half a match"),
    pytest.param('{"catwalk": "failed", "cause": ' + "[" * 100_000, id="deep JSON"),
]


@pytest.mark.parametrize("line", HOSTILE)
@pytest.mark.timeout(10)
def test_hostile_lines_cost_no_more_than_their_length(line):
    assert explain([line] * 1000) is None
