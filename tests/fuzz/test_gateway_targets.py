"""Every reader of what others send, with what Hypothesis makes of good inputs, and with what fuzzing has found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.gateway_targets import TARGETS, seeds

SEEDS = seeds()
FOUND = {
    "events": [b"retry: " + b"9" * 5_000 + b"\n\n", b"data: x\r", b"\r\n\r\n\n\n"],
    "message": [b'{"jsonrpc":"2.0","id":' + b"9" * 5_000 + b',"method":"x"}', b"[" * 100_000, b'{"a":' * 100_000],
    "answer": [b'{"jsonrpc":"2.0","id":' + b"9" * 5_000 + b',"result":{}}'],
    "call": [b'{"method":' * 100_000, b'{"a":' + b"9" * 5_000 + b"}"],
    "batch": [b"[" * 100_000, b"[" + b"9" * 5_000 + b"]"],
}
"""Inputs that were a fault once, or that other readers fail on: huge numbers, deep nesting, half line ends."""


@st.composite
def mutated(draw: st.DrawFn, name: str) -> bytes:
    """Pieces of good inputs and of anything else, in any order."""
    source = b"".join(SEEDS[name])
    piece = st.tuples(st.integers(0, len(source)), st.integers(0, 40)).map(lambda cut: source[cut[0] : cut[0] + cut[1]])
    whole = st.sampled_from(SEEDS[name])
    return b"".join(draw(st.lists(piece | whole | st.binary(max_size=6), max_size=8)))


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_a_reader_stands_what_is_made_of_good_inputs(name: str, data: st.DataObject):
    TARGETS[name](data.draw(mutated(name)))


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_stands_good_inputs_and_known_bad_ones(name: str):
    for content in [b"", *SEEDS[name], *FOUND.get(name, [])]:
        TARGETS[name](content)


def test_every_target_has_something_to_start_from():
    assert SEEDS.keys() == TARGETS.keys()
    assert FOUND.keys() <= TARGETS.keys()
