"""Joining shares, against a splitter with arithmetic of its own."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.sops.shamir import UnfitSharesError, combine


@given(secret=st.binary(min_size=1, max_size=40), count=st.integers(min_value=2, max_value=8), seed=st.integers())
def test_all_shares_in_any_order_give_the_secret(writer, secret, count, seed):
    shares = writer.split(secret, count)
    random.Random(seed).shuffle(shares)
    assert combine(shares) == secret


def test_too_few_shares_give_something_else(writer):
    secret = bytes(range(32))
    assert combine(writer.split(secret, 3)[:2]) != secret


@pytest.mark.parametrize(
    "shares", [[], [b"a\x01"], [b"a\x01", b"b\x01"], [b"a\x00", b"b\x01"], [b"a\x01", b"bb\x02"], [b"", b""]]
)
def test_shares_that_do_not_belong_together_are_refused(shares):
    with pytest.raises(UnfitSharesError):
        combine(shares)
