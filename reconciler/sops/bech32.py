"""Bech32 (BIP 173) without its limit of 90 characters, as age writes keys: lower or upper case, never mixed."""

from collections.abc import Iterable, Iterator
from typing import Final

_ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
_GENERATORS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_LENGTH: Final = 6
_MAXIMUM_CHARACTERS: Final = 5_000


class NotBech32Error(ValueError):
    """The text is not Bech32, or has another prefix. The message never quotes it."""


def decode(text: str, prefix: str) -> bytes:
    """The bytes behind `prefix` and the `1` that ends it.

    Raises:
        NotBech32Error: wrong prefix, case, alphabet, checksum or padding.
    """
    if len(text) > _MAXIMUM_CHARACTERS or text not in {text.lower(), text.upper()}:
        raise NotBech32Error("not Bech32")
    start, _, data = text.lower().rpartition("1")
    values = [_VALUES.get(character, -1) for character in data]
    if start != prefix.lower() or len(values) < _CHECKSUM_LENGTH or -1 in values:
        raise NotBech32Error("not Bech32 with this prefix")
    if _polynomial([*_expanded(start), *values]) != 1:
        raise NotBech32Error("the checksum is wrong")
    return bytes(_regrouped(values[:-_CHECKSUM_LENGTH], 5, 8, pad=False))


def encode(prefix: str, data: bytes) -> str:
    """`data` with its prefix and checksum, in lower case."""
    values = list(_regrouped(data, 8, 5, pad=True))
    rest = _polynomial([*_expanded(prefix), *values, *[0] * _CHECKSUM_LENGTH]) ^ 1
    checksum = [rest >> 5 * (_CHECKSUM_LENGTH - 1 - index) & 31 for index in range(_CHECKSUM_LENGTH)]
    return f"{prefix}1" + "".join(_ALPHABET[value] for value in [*values, *checksum])


def _expanded(prefix: str) -> list[int]:
    return [ord(each) >> 5 for each in prefix] + [0] + [ord(each) & 31 for each in prefix]


def _polynomial(values: Iterable[int]) -> int:
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for index, generator in enumerate(_GENERATORS):
            state ^= generator if top >> index & 1 else 0
    return state


def _regrouped(values: Iterable[int], size: int, wanted: int, *, pad: bool) -> Iterator[int]:
    """Groups of `size` bits as groups of `wanted` bits."""
    pending = bits = 0
    for value in values:
        pending, bits = pending << size | value, bits + size
        while bits >= wanted:
            bits -= wanted
            yield pending >> bits
            pending &= (1 << bits) - 1
    if pad and bits:
        yield pending << (wanted - bits)
    elif not pad and (bits >= size or pending):
        raise NotBech32Error("the padding is wrong")
