"""The five formats of SOPS, and which of them a file is in.

The name decides where it can, as in the SOPS tool (`FormatForPath` in cmd/sops/formats of getsops/sops). A name that
says nothing is settled by the traces that each format's metadata leaves; what shows none of them is read as YAML.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final


class Format(StrEnum):
    """How a SOPS file is written down."""

    YAML = "yaml"
    JSON = "json"
    DOTENV = "dotenv"
    INI = "ini"
    BINARY = "binary"


_BY_SUFFIX: Final[Mapping[str, Format]] = {
    ".yaml": Format.YAML,
    ".yml": Format.YAML,
    ".json": Format.JSON,
    ".env": Format.DOTENV,
    ".ini": Format.INI,
}
_DOTENV_TRACE: Final = re.compile(r"^sops_(?:mac|version|lastmodified)=", re.MULTILINE)
_INI_TRACE: Final = re.compile(r"^[ \t]*\[sops\]", re.MULTILINE)
_JSON_TRACE: Final = re.compile(r"\s*\{")
# The binary store is JSON with one value: nothing but `data` may stand before the metadata, or after it.
_BINARY_TRACE: Final = re.compile(r'\s*\{\s*"data"\s*:\s*"(?:ENC\[[^"\\]*\]|)"\s*,\s*"sops"\s*:')


def format_by_name(file: str) -> Format | None:
    """The format that the name of a file states; `None` where it states none."""
    path = PurePosixPath(file)
    if path.name == ".env" or path.name.startswith(".env."):
        return Format.DOTENV
    return _BY_SUFFIX.get(path.suffix.lower())


def format_by_content(text: str) -> Format:
    """The format that a text shows by its first characters and by its metadata."""
    if _JSON_TRACE.match(text):
        return Format.BINARY if _BINARY_TRACE.match(text) else Format.JSON
    if _INI_TRACE.search(text):
        return Format.INI
    if _DOTENV_TRACE.search(text):
        return Format.DOTENV
    return Format.YAML
