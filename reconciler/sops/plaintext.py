"""A decrypted file as text in its own format: ciphertexts become values, the metadata goes, the rest stays.

Splicing keeps comments, order, quoting and indentation of everything that was in clear. What the format cannot hold as
it was (a comment in JSON) goes too.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from reconciler.sops.comments import EncryptedComment
from reconciler.sops.dotenv_reader import METADATA_PREFIX
from reconciler.sops.files import METADATA_KEY, ParsedFile
from reconciler.sops.formats import Format
from reconciler.sops.ini_reader import METADATA_SECTION
from reconciler.sops.leaves import Leaf
from reconciler.sops.nodes import MappingNode, ValueType
from reconciler.sops.splices import Splice, spliced
from reconciler.sops.yaml_text import json_value, yaml_value

_PROPERTIES: Final = re.compile(r"(?:[&!]\S*\s+)*")
_BLOCK_STEP: Final = 4
_LINE_PREFIX: Final = re.compile(r" *(?:- +)*")
_DOTENV_METADATA: Final = re.compile(rf"^{METADATA_PREFIX}[^\n]*\n?", re.MULTILINE)
_INI_METADATA: Final = re.compile(rf"\n*^[ \t]*\[{METADATA_SECTION}\][^\n]*\n?", re.MULTILINE)
_INI_SECTION: Final = re.compile(r"^[ \t]*\[", re.MULTILINE)


def plaintext(parsed: ParsedFile, leaves: Sequence[Leaf], comments: Sequence[EncryptedComment]) -> bytes:
    """The text of a decrypted file; `leaves` holds the comments inside lists too."""
    if parsed.format is Format.BINARY:
        return next((leaf.plaintext for leaf in leaves if leaf.path == ("data",)), b"")
    opened = [leaf for leaf in leaves if leaf.was_encrypted]
    match parsed.format:
        case Format.YAML:
            splices = [*_yaml(parsed, opened), *_comments(parsed, comments)]
        case Format.JSON:
            splices = [*_json(parsed, opened), *_metadata_entries(parsed)]
        case Format.DOTENV:
            splices = [*_dotenv(parsed, opened), *_comments(parsed, comments)]
        case Format.INI:
            splices = [*_ini(parsed, opened), *_comments(parsed, comments)]
    return spliced(parsed.text, splices).encode("utf-8")


def _yaml(parsed: ParsedFile, leaves: Sequence[Leaf]) -> Iterator[Splice]:
    text = parsed.text
    for leaf in leaves:
        start, end = leaf.start, leaf.end
        if leaf.type is ValueType.COMMENT:
            yield _list_comment(text, leaf)
            continue
        properties = _PROPERTIES.match(text, start, end)
        start = start if properties is None else properties.end()
        indent = _block_indent(text, start)
        written = yaml_value(leaf.type, leaf.plaintext, in_flow=leaf.in_flow, block_indent=indent)
        yield Splice(start=start, end=end, text=written + ("\n" if text[start:end].endswith("\n") else ""))
    yield from _metadata_entries(parsed)


def _block_indent(text: str, start: int) -> int:
    """How far a literal block in the place of a value is indented: deeper than its key, or than its dash."""
    prefix = text[text.rfind("\n", 0, start) + 1 : start]
    opening = _LINE_PREFIX.match(prefix)
    if opening is None or prefix.lstrip(" ").startswith("?"):
        return 0
    if opening.end() < len(prefix):
        return opening.end() + _BLOCK_STEP
    return prefix.rfind("-") + _BLOCK_STEP if "-" in prefix else 0


def _list_comment(text: str, leaf: Leaf) -> Splice:
    """SOPS stores a comment inside a list as an item; the dash goes with the ciphertext."""
    dash = text.rfind("-", 0, leaf.start)
    in_block = not leaf.in_flow and dash >= 0 and not text[dash + 1 : leaf.start].strip()
    start = dash if in_block else leaf.start
    indent = start - text.rfind("\n", 0, start) - 1
    written = _comment_text(leaf.plaintext, indent) if in_block else "null"
    return Splice(start=start, end=leaf.end, text=written)


def _comments(parsed: ParsedFile, comments: Sequence[EncryptedComment]) -> Iterator[Splice]:
    sign = ";" if parsed.format is Format.INI else "#"
    for comment in comments:
        sign_start = max(parsed.text.rfind(each, 0, comment.start) for each in "#;")
        indent = sign_start - parsed.text.rfind("\n", 0, sign_start) - 1
        written = _comment_text(comment.plaintext, indent, sign=sign).removeprefix(sign)
        yield Splice(start=comment.start, end=comment.end, text=written)


def _comment_text(content: bytes, indent: int, *, sign: str = "#") -> str:
    lines = content.decode("utf-8", "replace").split("\n")
    return ("\n" + " " * indent).join(f"{sign}{line.removeprefix(sign)}" for line in lines)


def _json(_parsed: ParsedFile, leaves: Sequence[Leaf]) -> Iterator[Splice]:
    for leaf in leaves:
        written = "null" if leaf.type is ValueType.COMMENT else json_value(leaf.type, leaf.plaintext)
        yield Splice(start=leaf.start, end=leaf.end, text=written)


def _dotenv(parsed: ParsedFile, leaves: Sequence[Leaf]) -> Iterator[Splice]:
    for leaf in leaves:
        value = leaf.plaintext.decode("utf-8", "replace").replace("\n", "\\n")
        yield Splice(start=leaf.start, end=leaf.end, text=value)
    for line in _DOTENV_METADATA.finditer(parsed.text):
        yield Splice(start=line.start(), end=line.end(), text="")


def _ini(parsed: ParsedFile, leaves: Sequence[Leaf]) -> Iterator[Splice]:
    for leaf in leaves:
        yield Splice(start=leaf.start, end=leaf.end, text=ini_value(leaf.plaintext.decode("utf-8", "replace")))
    for header in _INI_METADATA.finditer(parsed.text):
        following = _INI_SECTION.search(parsed.text, header.end())
        end = len(parsed.text) if following is None else following.start()
        kept = "\n" if header.start() and following is None else "\n\n" if header.start() else ""
        yield Splice(start=header.start(), end=end, text=kept)


def ini_value(value: str) -> str:
    """`value` as INI holds it, quoted where it would be read as something else."""
    if "\n" in value or "`" in value:
        return f'"""{value}"""'
    if "#" in value or ";" in value:
        return f"`{value}`"
    quoted = value.strip() != value or value[:1] in {'"', "'"} or value.endswith("\\")
    return f'"{value}"' if quoted else value


def _metadata_entries(parsed: ParsedFile) -> Iterator[Splice]:
    for document in parsed.documents:
        index = next((at for at, (key, _) in enumerate(document.entries) if key == METADATA_KEY), None)
        if index is not None:
            yield _entry(parsed.text, document, index)


def _entry(text: str, document: MappingNode, index: int) -> Splice:
    """Takes one entry out of a mapping at the top of a document, with what separates it from its neighbours."""
    start, end = document.key_starts[index], document.entries[index][1].position.end
    last = index + 1 == len(document.entries)
    if not document.in_flow:
        end = end if text[:end].endswith("\n") else _line_end(text, end)
        alone = len(document.entries) == 1
        return Splice(start=start, end=end, text="{}\n" if alone else "")
    if not last:
        return Splice(start=start, end=document.key_starts[index + 1], text="")
    start = document.entries[index - 1][1].position.end if index else start
    return Splice(start=start, end=end, text="")


def _line_end(text: str, offset: int) -> int:
    end = text.find("\n", offset)
    return len(text) if end < 0 else end + 1
