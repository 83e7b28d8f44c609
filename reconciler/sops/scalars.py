"""What a YAML scalar is worth to go-yaml v3, the parser of the SOPS tool: type and canonical text.

SOPS hashes typed values, so a reader that types one scalar differently fails the MAC of a good file. The rules are
neither YAML 1.1 nor 1.2: `yes` is a string, `0777` is 511, `08` is the float 8, `2024-1-2` is a time, `1e400` is a
string. They are those of resolve.go in go-yaml v3; ruamel's own resolver is not used.
"""

import base64
import binascii
import math
import re
from typing import Final

from reconciler.sops.nodes import ValueType
from reconciler.sops.text_forms import INT64_MAXIMUM, INT64_MINIMUM, bool_text, float_text
from reconciler.sops.timestamps import yaml_timestamp

Resolved = tuple[ValueType, bytes]

_TAG_PREFIX: Final = "tag:yaml.org,2002:"
_CORE_TAGS: Final = {
    "bool": ValueType.BOOL,
    "int": ValueType.INT,
    "float": ValueType.FLOAT,
    "null": ValueType.NULL,
    "timestamp": ValueType.TIME,
}
_CONSTANTS: Final[dict[str, Resolved]] = {
    **dict.fromkeys(("true", "True", "TRUE"), (ValueType.BOOL, bool_text(value=True).encode())),
    **dict.fromkeys(("false", "False", "FALSE"), (ValueType.BOOL, bool_text(value=False).encode())),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), (ValueType.NULL, b"")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), (ValueType.FLOAT, b"NaN")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), (ValueType.FLOAT, b"+Inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), (ValueType.FLOAT, b"-Inf")),
}
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
# A scalar that starts with a point is given to Go's ParseFloat as it is, with underscores only between digits.
_POINT_FLOAT: Final = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")
_PREFIXED_INTEGER: Final = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[oO](?P<octal>[0-7]+)|0[bB](?P<binary>[01]+)"
    r"|0(?P<old_octal>[0-7]+)|(?P<decimal>0|[1-9][0-9]*))"
)
_BASES: Final = {"hex": 16, "octal": 8, "binary": 2, "old_octal": 8, "decimal": 10}
# go-yaml strips the prefix and lets ParseInt read a sign after it.
_SIGN_AFTER_PREFIX: Final = re.compile(r"0(?P<base>[bo])(?P<digits>[-+][0-7]+)")
_UINT64_MAXIMUM: Final = 2**64 - 1
_MAXIMUM_INTEGER_CHARACTERS: Final = 1_000


class UnreadableScalarError(ValueError):
    """A scalar that SOPS cannot hold, or whose tag does not fit its text. The message never quotes it."""


def resolve(text: str, *, quoted: bool, tag: str | None) -> Resolved:
    """Type and canonical bytes of one scalar.

    `tag` is the full tag of the document (`tag:yaml.org,2002:int`), `None` where there is none; `quoted` is true for
    every style but plain.

    Raises:
        UnreadableScalarError: an integer beyond 64 bits signed, a broken `!!binary`, a tag that the text contradicts.
    """
    given = tag if tag not in {None, "!"} else None
    if given is None:
        return _string(text) if quoted else _plain(text, timestamps=True)
    name = given.removeprefix(_TAG_PREFIX)
    if name == "binary" and given != name:
        return ValueType.STR, _binary(text)
    wanted = _CORE_TAGS.get(name) if given != name else None
    return _string(text) if wanted is None else _tagged(text, wanted)


def _string(text: str) -> Resolved:
    try:
        return ValueType.STR, text.encode("utf-8")
    except UnicodeEncodeError:
        raise UnreadableScalarError("an escape names half of a surrogate pair, which is no character") from None


def _binary(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableScalarError("a !!binary value is not base64") from None


def _tagged(text: str, wanted: ValueType) -> Resolved:
    found, content = _plain(text, timestamps=wanted is ValueType.TIME)
    if found is ValueType.INT and wanted is ValueType.FLOAT:
        return wanted, float_text(float(int(content))).encode()
    if found is not wanted:
        raise UnreadableScalarError(f"the value does not fit its tag, which says {wanted}")
    return found, content


def _plain(text: str, *, timestamps: bool) -> Resolved:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] == ".":
        return _point_float(text)
    if text[0] not in "+-0123456789":
        return _string(text)
    if timestamps and (time := _timestamp(text)) is not None:
        return ValueType.TIME, time.encode()
    return _number(text, text.replace("_", ""))


def _timestamp(text: str) -> str | None:
    try:
        return yaml_timestamp(text)
    except ValueError as error:
        raise UnreadableScalarError(str(error)) from error


def _point_float(text: str) -> Resolved:
    value = float(text) if _POINT_FLOAT.fullmatch(text) else math.inf
    return _string(text) if math.isinf(value) else (ValueType.FLOAT, float_text(value).encode())


def _number(text: str, bare: str) -> Resolved:
    integer = _integer(bare)
    if integer is not None:
        return ValueType.INT, str(integer).encode()
    if _FLOAT.fullmatch(bare) and math.isfinite(value := float(bare)):
        return ValueType.FLOAT, float_text(value).encode()
    late = _SIGN_AFTER_PREFIX.fullmatch(bare)
    if late is not None:
        return _late_sign(text, late)
    return _string(text)


def _integer(bare: str) -> int | None:
    match = _PREFIXED_INTEGER.fullmatch(bare) if len(bare) <= _MAXIMUM_INTEGER_CHARACTERS else None
    if match is None or match.lastgroup is None:
        return None
    value = int(match[match.lastgroup], _BASES[match.lastgroup])
    return _within_64_bits(-value if match["sign"] == "-" else value, signed=bool(match["sign"]))


def _within_64_bits(value: int, *, signed: bool) -> int | None:
    if INT64_MINIMUM <= value <= INT64_MAXIMUM:
        return value
    if not signed and value <= _UINT64_MAXIMUM:
        raise UnreadableScalarError("the integer is larger than 9223372036854775807, which SOPS cannot hold")
    return None


def _late_sign(text: str, match: re.Match[str]) -> Resolved:
    base = {"b": 2, "o": 8}[match["base"]]
    try:
        value = _within_64_bits(int(match["digits"], base), signed=True)
    except ValueError:
        value = None  # A digit that the base does not have, as in 0b+7.
    return _string(text) if value is None else (ValueType.INT, str(value).encode())
