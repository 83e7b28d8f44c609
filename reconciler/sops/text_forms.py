"""The text of a decrypted value, as Go parses and prints it again before it enters the MAC.

SOPS hashes values, not the text that was encrypted: an `int` of `007` enters as `7`. The forms are those of
aes/cipher.go and `ToBytes` in sops.go of getsops/sops 3.8 to 3.13.
"""

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from reconciler.sops.nodes import ValueType
from reconciler.sops.timestamps import rfc_3339

INT64_MINIMUM: Final = -(2**63)
INT64_MAXIMUM: Final = 2**63 - 1

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[+-]?inf(?:inity)?|nan", re.IGNORECASE)
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
# An int64 has 19 digits; a longer text is refused before Python spends time on it.
_MAXIMUM_INTEGER_CHARACTERS: Final = 64


def canonical_text(value_type: ValueType, plaintext: bytes) -> bytes:
    """The bytes that a decrypted value of `value_type` puts into the MAC.

    Raises:
        ValueError: the plaintext is no value of that type. The message never quotes it.
    """
    printer = _PRINTERS.get(value_type)
    if printer is None:
        return plaintext
    try:
        return printer(plaintext.decode("ascii")).encode("ascii")
    except UnicodeDecodeError:
        raise ValueError("not a value of its type") from None


def float_text(value: float) -> str:
    """Go's `FormatFloat(value, 'f', -1, 64)`: shortest digits, no exponent, no trailing `.0`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def bool_text(*, value: bool) -> str:
    """`True` or `False`, as SOPS has written booleans since its Python days."""
    return "True" if value else "False"


def _integer(text: str) -> str:
    if len(text) > _MAXIMUM_INTEGER_CHARACTERS or not _INTEGER.fullmatch(text):
        raise ValueError("not an integer")
    value = int(text)
    if not INT64_MINIMUM <= value <= INT64_MAXIMUM:
        raise ValueError("not a 64 bit integer")
    return str(value)


def _float(text: str) -> str:
    if _DECIMAL.fullmatch(text):
        value = float(text)
        if math.isinf(value):
            raise ValueError("not a 64 bit float")
        return float_text(value)
    if _NOT_FINITE.fullmatch(text):
        return float_text(float(text))
    raise ValueError("not a float")


def _bool(text: str) -> str:
    if text in _TRUE or text in _FALSE:
        return bool_text(value=text in _TRUE)
    raise ValueError("not a boolean")


def _time(text: str) -> str:
    return rfc_3339(text, keep_fraction=True)


_PRINTERS: Final[Mapping[ValueType, Callable[[str], str]]] = {
    ValueType.INT: _integer,
    ValueType.FLOAT: _float,
    ValueType.BOOL: _bool,
    ValueType.TIME: _time,
}
