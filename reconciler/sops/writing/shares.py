"""Splitting a data key among key groups, a number of which together open the file: Shamir's sharing over GF(2^8).

The counterpart of `reconciler.sops.shamir`, in the form that SOPS writes: one byte per byte of the key, then the x
coordinate, which counts from 1.
"""

import os
from typing import Final

from reconciler.sops.shamir import multiply

_MOST_SHARES: Final = 255


def split(secret: bytes, *, shares: int, threshold: int) -> tuple[bytes, ...]:
    """`shares` parts, any `threshold` of which give `secret` back; both at least 2, and at most 255.

    Raises:
        ValueError: the numbers do not fit together.
    """
    if not 2 <= threshold <= shares <= _MOST_SHARES:
        raise ValueError("a threshold is between 2 and the number of shares")
    rows = [(byte, *os.urandom(threshold - 1)) for byte in secret]
    return tuple(bytes(_at(row, x) for row in rows) + bytes([x]) for x in range(1, shares + 1))


def _at(coefficients: tuple[int, ...], x: int) -> int:
    """The polynomial at x, by Horner's rule; addition is exclusive or."""
    value = 0
    for coefficient in reversed(coefficients):
        value = multiply(value, x) ^ coefficient
    return value
