"""From the bytes of a file to its documents, before anything is known about keys.

The format follows the file name as in the SOPS tool; dotenv, INI and binary files are refused by name. Conflict markers
of git are looked for first, because every parser's message about them misleads.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Final

from reconciler.core.problems import Location
from reconciler.sops.errors import MalformedSops, MergeDamage, UnsupportedSops
from reconciler.sops.json_reader import read_json
from reconciler.sops.limits import MAXIMUM_FILE_BYTES
from reconciler.sops.nodes import MappingNode
from reconciler.sops.yaml_reader import read_yaml

METADATA_KEY: Final = "sops"

Documents = tuple[MappingNode, ...]

_READERS: Final[Mapping[str, Callable[[str, str], Documents]]] = {
    ".yaml": read_yaml,
    ".yml": read_yaml,
    ".json": read_json,
}
_CONFLICT_START: Final = re.compile(r"^<{7} ", re.MULTILINE)
_CONFLICT_END: Final = re.compile(r"^>{7} ", re.MULTILINE)
# What metadata looks like in a text that no reader accepts: YAML and JSON, dotenv, INI.
_METADATA_TRACE: Final = re.compile(r"^(?:[ \t]*\"?sops\"?[ \t]*:|sops_(?:mac|version)=|\[sops\])", re.MULTILINE)


def read_documents(text: bytes, file: str) -> Documents:
    """The documents of a file whose name ends in .yaml, .yml or .json.

    Raises:
        UnsupportedSops: another format.
        MergeDamage: git conflict markers.
        MalformedSops: too large, not UTF-8, or not in its format.
    """
    reader = _READERS.get(PurePosixPath(file).suffix.lower())
    if reader is None:
        hint = "Catwalk reads SOPS files in YAML (.yaml, .yml) and JSON (.json)"
        message = "SOPS files in this format are not supported"
        raise UnsupportedSops("sops-unsupported-format", message, hint=hint, location=Location(file=file))
    decoded = _decoded(text, file)
    _refuse_conflict_markers(decoded, file)
    return reader(decoded, file)


def is_encrypted(text: bytes) -> bool:
    """Whether the first document has a top-level `sops` mapping.

    A text that cannot be parsed counts as encrypted when it shows traces of the metadata: decrypting it then gives the
    exact error, rather than a parser stumbling over a ciphertext elsewhere.
    """
    if METADATA_KEY.encode() not in text:
        return False
    try:
        documents = read_yaml(_decoded(text, ""), "")
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
