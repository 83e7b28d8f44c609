"""From the bytes of a file to its documents, before anything is known about keys.

The format is the one that the caller states, or follows the name and then the content. Conflict markers of git are
looked for first, because every parser's message about them misleads.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from reconciler.core.problems import Location
from reconciler.sops.dotenv_reader import read_dotenv
from reconciler.sops.errors import MalformedSops, MergeDamage
from reconciler.sops.formats import Format, format_by_content, format_by_name
from reconciler.sops.ini_reader import read_ini
from reconciler.sops.json_reader import read_json
from reconciler.sops.limits import MAXIMUM_FILE_BYTES
from reconciler.sops.nodes import MappingNode
from reconciler.sops.yaml_reader import read_yaml

METADATA_KEY: Final = "sops"

Documents = tuple[MappingNode, ...]

_READERS: Final[Mapping[Format, Callable[[str, str], Documents]]] = {
    Format.YAML: read_yaml,
    Format.JSON: read_json,
    Format.DOTENV: read_dotenv,
    Format.INI: read_ini,
    Format.BINARY: read_json,
}
_CONFLICT_START: Final = re.compile(r"^<{7} ", re.MULTILINE)
_CONFLICT_END: Final = re.compile(r"^>{7} ", re.MULTILINE)
# What metadata looks like in a text that no reader accepts: YAML and JSON, dotenv, INI.
_METADATA_TRACE: Final = re.compile(r"^(?:[ \t]*\"?sops\"?[ \t]*:|sops_(?:mac|version)=|\[sops\])", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFile:
    """A file as it was read. Shows none of its text."""

    format: Format
    text: str = field(repr=False)
    documents: Documents = field(repr=False)


def read_file(data: bytes, file: str, stated: Format | None = None) -> ParsedFile:
    """The documents of a file in the format that is `stated`, or else in that of its name or content.

    Raises:
        MergeDamage: git conflict markers.
        MalformedSops: too large, not UTF-8, or not in its format.
    """
    text = _decoded(data, file)
    _refuse_conflict_markers(text, file)
    chosen = stated or format_by_name(file) or format_by_content(text)
    return ParsedFile(format=chosen, text=text, documents=_READERS[chosen](text, file))


def read_documents(text: bytes, file: str) -> Documents:
    """The documents of a file in the format of its name or content.

    Raises:
        MergeDamage: git conflict markers.
        MalformedSops: too large, not UTF-8, or not in its format.
    """
    return read_file(text, file).documents


def is_encrypted(text: bytes, file: str = "") -> bool:
    """Whether the first document has a top-level `sops` mapping, in the format of the name or the content.

    A text that cannot be parsed counts as encrypted when it shows traces of the metadata: decrypting it then gives the
    exact error, rather than a parser stumbling over a ciphertext elsewhere.
    """
    if METADATA_KEY.encode() not in text:
        return False
    try:
        documents = read_file(text, file).documents
    except MalformedSops:
        return _METADATA_TRACE.search(text.decode("utf-8", "replace")) is not None
    return bool(documents) and isinstance(documents[0].find(METADATA_KEY), MappingNode)


def _decoded(text: bytes, file: str) -> str:
    if len(text) > MAXIMUM_FILE_BYTES:
        message = f"the file has {len(text)} bytes; a SOPS file may have {MAXIMUM_FILE_BYTES}"
        hint = "split the file; one file per secret is the recommended form"
        raise MalformedSops("sops-too-large", message, hint=hint, location=Location(file=file))
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        # Chained to nothing: the exception carries the bytes of the file.
        raise MalformedSops(
            "sops-malformed", "the file is not UTF-8 text", location=Location(file=file, line=line)
        ) from None


def _refuse_conflict_markers(text: str, file: str) -> None:
    start = _CONFLICT_START.search(text)
    if start is None or _CONFLICT_END.search(text, start.end()) is None:
        return
    location = Location(file=file, line=text.count("\n", 0, start.start()) + 1)
    message = "git left conflict markers in this SOPS file"
    hint = (
        "take the whole file from one side (git checkout --ours or --theirs) and make the other change again; "
        "two sides of an encrypted file cannot be joined by hand, because one MAC covers all values"
    )
    raise MergeDamage("sops-merge-conflict", message, hint=hint, location=location)
