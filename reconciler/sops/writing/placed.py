"""Where every node of a file stands in its text, to the character: what the editor splices by.

The readers of the room turn text into values and forget the text; an editor that leaves every other character alone
needs the opposite. Positions are offsets into the decoded text. Content never shows in a representation.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.sops.leaves import Path
from reconciler.sops.nodes import ValueType
from reconciler.sops.rules import Rule, key_matches

METADATA_KEY = "sops"


class Style(StrEnum):
    """How a scalar is written."""

    PLAIN = "plain"
    SINGLE = "single-quoted"
    DOUBLE = "double-quoted"
    BARE = "bare"
    """As in dotenv and INI, where nothing has to be quoted that is written here."""
    BLOCK = "block"
    """A literal or folded block, of YAML only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedScalar:
    """One value; where nothing is written (`key:`), start and end are the same place, directly behind the colon."""

    start: int
    end: int
    type: ValueType
    content: bytes = field(repr=False)
    style: Style
    in_flow: bool
    anchored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedAlias:
    """A reference to a node above; the editor never follows it."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedEntry:
    """One key with its value."""

    key: str
    start: int
    """Of the key."""
    value: "PlacedNode"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedMapping:
    """Entries in order. The end of a block mapping is the end of its last value."""

    start: int
    end: int
    entries: tuple[PlacedEntry, ...]
    in_flow: bool

    def find(self, key: str) -> PlacedEntry | None:
        """The entry of `key`; `None` where there is none."""
        return next((entry for entry in self.entries if entry.key == key), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedSequence:
    """Items in order. The end of a block sequence is the end of its last item."""

    start: int
    end: int
    items: tuple["PlacedNode", ...]
    in_flow: bool


PlacedNode = PlacedScalar | PlacedAlias | PlacedMapping | PlacedSequence


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedDocument:
    """One document; `end` is where something may be appended to it."""

    root: PlacedNode
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One scalar or alias with what SOPS needs to know of its place."""

    document: int
    path: Path
    keys: tuple[str, ...]
    matched: bool
    """Whether a key on the path matches the rule."""
    node: PlacedScalar | PlacedAlias

    @property
    def additional_data(self) -> str:
        """What the format authenticates with the value: the keys on its path, without list indices."""
        return ":".join(self.keys) + ":"


def slots(documents: tuple[PlacedDocument, ...], rule: Rule) -> Iterator[Slot]:
    """Every value of every document in order, without the metadata."""
    for number, document in enumerate(documents):
        if isinstance(document.root, PlacedMapping):
            for entry in document.root.entries:
                if entry.key != METADATA_KEY:
                    start = _Walk(document=number, rule=rule)
                    yield from start.under(entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    document: int
    rule: Rule
    path: Path = ()
    keys: tuple[str, ...] = ()
    matched: bool = False

    def under(self, entry: PlacedEntry) -> Iterator[Slot]:
        matched = self.matched or key_matches(self.rule, entry.key)
        inner = _Walk(
            document=self.document,
            rule=self.rule,
            path=(*self.path, entry.key),
            keys=(*self.keys, entry.key),
            matched=matched,
        )
        yield from inner.node(entry.value)

    def node(self, node: PlacedNode) -> Iterator[Slot]:
        match node:
            case PlacedMapping():
                for entry in node.entries:
                    yield from self.under(entry)
            case PlacedSequence():
                for index, item in enumerate(node.items):
                    yield from self._item(index).node(item)
            case PlacedScalar() | PlacedAlias():
                yield Slot(document=self.document, path=self.path, keys=self.keys, matched=self.matched, node=node)

    def _item(self, index: int) -> "_Walk":
        return _Walk(
            document=self.document,
            rule=self.rule,
            path=(*self.path, index),
            keys=self.keys,
            matched=self.matched,
        )
