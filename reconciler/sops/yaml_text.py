"""Values as YAML text, in the style of the SOPS tool: plain where that reads back as the same, quoted otherwise.

Texts of several lines become literal blocks where there is room for one. Strings that other YAML parsers take for
something else (`yes`, `12:30:45`, `=`) are quoted, although go-yaml would read them right.
"""

import base64
import json
import re
from typing import Final

from reconciler.sops.nodes import ValueType
from reconciler.sops.scalars import UnreadableScalarError, resolve

_OLD_BOOLEANS: Final = frozenset({"y", "n", "yes", "no", "on", "off"})
_SEXAGESIMAL: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_PLAIN_START: Final = re.compile(r"[A-Za-z0-9_./(+$^~\\;\u00a1-\ud7ff]|-(?=[^\s-])")
_NOT_PLAIN: Final = re.compile(r":(?:\s|$)|\s#|\s$|^(?:---|\.\.\.)")
_FLOW: Final = re.compile(r"[,\[\]{}]")
_FLOATS: Final = {"+Inf": ".inf", "-Inf": "-.inf", "NaN": ".nan"}
_SMALLEST_WRITTEN_OUT: Final = 1e-6
_FIRST_WITH_EXPONENT: Final = 1e21
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def yaml_value(value_type: ValueType, content: bytes, *, in_flow: bool, block_indent: int) -> str:
    """One value; `block_indent` is how far the lines of a literal block are to be indented, 0 where none may stand."""
    match value_type:
        case ValueType.STR:
            return _string(content, in_flow=in_flow, block_indent=block_indent)
        case ValueType.BOOL:
            return content.decode("ascii").lower()
        case ValueType.FLOAT:
            return _float(content.decode("ascii"))
        case ValueType.BYTES:
            return _string(content, in_flow=in_flow, block_indent=0)
        case _:
            return content.decode("ascii")


def _float(text: str) -> str:
    """Ends in `.0` where it would read back as an integer."""
    return _FLOATS.get(text) or (text if "." in text else f"{text}.0")


def _string(content: bytes, *, in_flow: bool, block_indent: int) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return f"!!binary {_base64(content)}"
    if _is_plain(text, in_flow=in_flow):
        return text
    if block_indent and not in_flow and _fits_a_block(text):
        return _block(text, block_indent)
    if all(character.isprintable() for character in text) and text:
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _is_plain(text: str, *, in_flow: bool) -> bool:
    if not _PLAIN_START.match(text) or _NOT_PLAIN.search(text) or not text.isprintable():
        return False
    if (in_flow and _FLOW.search(text)) or text.lower() in _OLD_BOOLEANS or _SEXAGESIMAL.fullmatch(text):
        return False
    try:
        return resolve(text, quoted=False, tag=None)[0] is ValueType.STR
    except UnreadableScalarError:
        return False


def _fits_a_block(text: str) -> bool:
    printable = all(character.isprintable() or character in "\n\t" for character in text)
    # A text that begins with white space needs an indicator of its indentation, which counts from the parent.
    return "\n" in text and printable and text[0] not in " \n\t" and text.strip("\n") != ""


def _block(text: str, indent: int) -> str:
    bare = text.rstrip("\n")
    breaks = len(text) - len(bare)
    chomping = "-" if breaks == 0 else "" if breaks == 1 else "+"
    lines = [" " * indent + line if line else "" for line in text.split("\n")]
    if breaks:
        lines.pop()
    return "\n".join([f"|{chomping}", *lines])


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable() and character != "\ufeff":
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_float(text: str) -> str:
    """With an exponent where Go's encoder writes one."""
    size = abs(float(text))
    return repr(float(text)) if size and not _SMALLEST_WRITTEN_OUT <= size < _FIRST_WITH_EXPONENT else text


def json_value(value_type: ValueType, content: bytes) -> str:
    """One value as JSON; a time becomes a string, as in the SOPS tool, and a float that JSON has no word for too."""
    text = content.decode("utf-8", "replace")
    match value_type:
        case ValueType.BOOL:
            return text.lower()
        case ValueType.INT:
            return text
        case ValueType.FLOAT if text not in _FLOATS:
            return _json_float(text)
        case _:
            return json.dumps(text, ensure_ascii=False)
