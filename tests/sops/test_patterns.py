"""Rule patterns: Go's meaning, Go's refusals, linear time."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.sops.patterns import Pattern, UnsupportedPatternError

FOUND = [
    ("^(data|stringData)$", "data", True),
    ("^(data|stringData)$", "stringData", True),
    ("^(data|stringData)$", "data2", False),
    ("^secrets$", "secrets\n", False),  # `$` is the end of the text, not the place before a last line break.
    ("secret", "my_secret_key", True),
    ("^encrypted", "unencrypted", False),
    ("", "", True),
    ("a*", "", True),
    ("^a{2,3}$", "aaa", True),
    ("^a{2,3}$", "aaaa", False),
    ("^a{2}$", "aa", True),
    ("^a{2,}$", "aaaaa", True),
    ("^a{,2}$", "a{,2}", True),
    ("a{b", "a{b", True),
    ("^(?i)SECRET$", "secret", True),
    ("(?i:T)oken", "token", True),
    ("(?i:T)Oken", "token", False),
    ("^(?:a|b)+?$", "abab", True),
    ("(?P<name>x)y", "xy", True),
    (r"^\d+$", "٣", False),
    (r"^\w+$", "Ab_9", True),
    (r"^\W$", "é", True),
    (r"^\s$", "\v", False),
    (r"\bkey\b", "my-key", True),
    (r"\bkey\b", "mykey", False),
    (r"\Bkey", "mykey", True),
    (r"\Akey\z", "key", True),
    (r"^\x41\x{1F600}\t\.$", "A\U0001f600\t.", True),
    ("^[a-cx]+$", "abcx", True),
    ("^[^a-c]$", "b", False),
    ("^[]a]+$", "]a", True),
    ("^[a-]$", "-", True),
    (r"^[\d\-]+$", "1-2", True),
    (r"^[\D]$", "x", True),
    ("^.$", "\n", False),
    ("^(?s).$", "\n", True),
    ("(?m)^b$", "a\nb\nc", True),
    ("(?U)a+", "a", True),
    ("(a|b|)c", "c", True),
    ("((((a))))", "a", True),
    ("^(env|secrets )$", "secrets", False),
    (r"^\pL$", "é", True),
    (r"^\Qa.b\E$", "a.b", True),
    ("^[[:alpha:]]$", "a", True),
    (r"\\C", r"\C", True),
]


@pytest.mark.parametrize(("pattern", "text", "found"), FOUND)
def test_a_pattern_means_what_it_means_in_go(pattern, text, found):
    assert Pattern(pattern).found_in(text) is found


REFUSED = [
    "^(?!name).*",
    "(?=a)",
    "(?<=a)b",
    "(?<!a)b",
    r"(a)\1",
    "(?P=name)",
    "(?>a)",
    "(?(1)a|b)",
    "a**",
    "a*+",
    "a++",
    "a{2}{3}",
    "*a",
    "{2}",
    "a{1001}",
    "a{3,2}",
    "(a",
    "a)",
    "[a",
    "[b-a]",
    r"[a-\d]",
    r"\Z",
    r"\G",
    r"\u0041",
    r"\C",
    "\ud800",
    "\\",
    r"\x{110000}",
    "(?#comment)",
    "(?x)a",
    "a" * 1_001,
    "((a{1000}){1000}){1000}",
    "(((){1000}){1000}){1000}",
]


@pytest.mark.parametrize("pattern", REFUSED, ids=[ascii(pattern[:20]) for pattern in REFUSED])
def test_what_re2_refuses_or_cannot_be_matched_safely_is_refused(pattern):
    with pytest.raises(UnsupportedPatternError):
        Pattern(pattern)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(a*)*$", "^(a|b|ab)*c$", "a*a*a*a*a*a*a*a*b"])
def test_a_pattern_that_blows_up_elsewhere_is_matched_in_linear_time(pattern):
    assert Pattern(pattern).found_in("a" * 1_000 + "!") is False


ATOMS = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", "^", "$", r"\d", r"\w", "1"])
TREES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: "(" + "|".join(parts) + ")"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=400)
@given(TREES, st.text(alphabet="abc1", max_size=8))
def test_the_matcher_agrees_with_python_where_both_mean_the_same(pattern, text):
    theirs = re.search(pattern.replace("$", r"\Z"), text, re.ASCII) is not None
    assert Pattern(pattern).found_in(text) is theirs
