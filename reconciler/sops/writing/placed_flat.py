"""Dotenv and INI text to placed nodes.

The metadata is one mapping under `sops`, by the names that stand in the file (`age__list_0__map_enc`). Works on a text
that the room's reader has accepted already.
"""

from collections.abc import Iterator, Mapping

from reconciler.sops.dotenv_reader import METADATA_PREFIX, dotenv_lines
from reconciler.sops.ini_reader import METADATA_SECTION, ini_sections
from reconciler.sops.nodes import Position, Scalar, ValueType
from reconciler.sops.writing.placed import (
    METADATA_KEY,
    PlacedDocument,
    PlacedEntry,
    PlacedMapping,
    PlacedScalar,
    Style,
)


def place_dotenv(text: str) -> tuple[PlacedDocument, ...]:
    """The one document of a text that `read_dotenv` accepts."""
    entries: list[PlacedEntry] = []
    metadata: list[PlacedEntry] = []
    for key, value, position in dotenv_lines(text, ""):
        start = text.rfind("\n", 0, position.start) + 1
        ours = key.startswith(METADATA_PREFIX)
        name = key.removeprefix(METADATA_PREFIX)
        placed = _scalar(value.encode("utf-8"), position)
        (metadata if ours else entries).append(PlacedEntry(key=name, start=start, value=placed))
    return (_document(text, entries, metadata),)


def place_ini(text: str) -> tuple[PlacedDocument, ...]:
    """The one document of a text that `read_ini` accepts."""
    sections = ini_sections(text, "")
    entries = [
        PlacedEntry(key=name, start=section.start, value=section)
        for name, keys in sections.items()
        if name != METADATA_SECTION
        for section in [_mapping(tuple(_keys(text, keys)))]
    ]
    metadata = list(_keys(text, sections.get(METADATA_SECTION, {}), unescaped=True))
    return (_document(text, entries, metadata),)


def _keys(text: str, keys: Mapping[str, Scalar], *, unescaped: bool = False) -> Iterator[PlacedEntry]:
    for key, scalar in keys.items():
        content = scalar.content.replace(b"\\n", b"\n") if unescaped else scalar.content
        start = text.rfind("\n", 0, scalar.position.start) + 1
        yield PlacedEntry(key=key, start=start, value=_scalar(content, scalar.position))


def _document(text: str, entries: list[PlacedEntry], metadata: list[PlacedEntry]) -> PlacedDocument:
    block = [] if not metadata else [PlacedEntry(key=METADATA_KEY, start=0, value=_mapping(tuple(metadata)))]
    root = PlacedMapping(start=0, end=len(text), entries=(*entries, *block), in_flow=False)
    return PlacedDocument(root=root, end=len(text))


def _mapping(entries: tuple[PlacedEntry, ...]) -> PlacedMapping:
    start, end = (entries[0].start, entries[-1].value.end) if entries else (0, 0)
    return PlacedMapping(start=start, end=end, entries=entries, in_flow=False)


def _scalar(content: bytes, position: Position) -> PlacedScalar:
    return PlacedScalar(
        start=position.start,
        end=position.end,
        type=ValueType.STR,
        content=content,
        style=Style.BARE,
        in_flow=False,
    )
