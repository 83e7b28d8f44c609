"""Shamir's secret sharing over GF(2^8) as SOPS uses it for key groups: joining shares, nothing else.

Polynomial x^8 + x^4 + x^3 + x + 1; a share is one byte per byte of the secret and then its x coordinate. A wrong share
gives a wrong data key, which the first authenticated value then shows.
"""

from collections.abc import Sequence
from typing import Final

_REDUCTION: Final = 0x1B


class UnfitSharesError(ValueError):
    """The shares do not belong together."""


def combine(shares: Sequence[bytes]) -> bytes:
    """The secret of at least two shares with distinct x coordinates.

    Raises:
        UnfitSharesError: different lengths, or the same or a zero x coordinate twice.
    """
    coordinates = [share[-1] for share in shares if share]
    lengths = {len(share) for share in shares}
    if len(lengths) != 1 or len(set(coordinates)) != len(shares) or 0 in coordinates or len(shares) < 2:
        raise UnfitSharesError("the shares of the data key do not belong together")
    weights = [_weight(coordinate, coordinates) for coordinate in coordinates]
    return bytes(_join([share[index] for share in shares], weights) for index in range(lengths.pop() - 1))


def _weight(coordinate: int, coordinates: Sequence[int]) -> int:
    """The Lagrange basis polynomial of one share at x = 0; subtraction is exclusive or."""
    weight = 1
    for other in coordinates:
        if other != coordinate:
            weight = multiply(weight, multiply(other, _inverse(other ^ coordinate)))
    return weight


def _join(values: Sequence[int], weights: Sequence[int]) -> int:
    joined = 0
    for value, weight in zip(values, weights, strict=True):
        joined ^= multiply(value, weight)
    return joined


def multiply(left: int, right: int) -> int:
    """The product of two bytes in the field."""
    product = 0
    while right:
        if right & 1:
            product ^= left
        left = (left << 1) ^ (0x100 | _REDUCTION if left & 0x80 else 0)
        right >>= 1
    return product


def _inverse(value: int) -> int:
    """value^254, the inverse in a field of 256 elements."""
    result = 1
    for _ in range(254):
        result = multiply(result, value)
    return result
