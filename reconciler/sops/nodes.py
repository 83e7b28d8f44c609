"""A SOPS file as a tree of typed nodes: what the YAML and JSON readers make and everything else works on.

A scalar already carries the bytes that enter the MAC, so that the rest of the room needs no idea of YAML or JSON.
Representations never show content.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class ValueType(StrEnum):
    """The type of a value, in the words of the `type:` field of an encrypted value where SOPS has a word."""

    STR = "str"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    BYTES = "bytes"
    TIME = "time"
    COMMENT = "comment"
    NULL = "null"
    EMPTY_MAP = "emptymap"
    EMPTY_LIST = "emptylist"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a node stands; lines and columns count from 1."""

    line: int = 1
    column: int = 1
    start: int = 0
    """Offset of the first character in the decoded text."""
    end: int = 0
    """Offset behind the last character; a block scalar ends behind its line break."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """One value as it stands in the file: encrypted or not, `content` is its canonical text as UTF-8."""

    type: ValueType
    content: bytes = field(repr=False)
    position: Position = Position()
    in_flow: bool = False
    """Whether it stands between brackets, where a text has to be written on one line."""

    @property
    def size(self) -> int:
        """A scalar counts as one node."""
        return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingNode:
    """Keys in document order, each at most once; a YAML merge key is the literal key `<<`."""

    entries: tuple[tuple[str, "Node"], ...] = field(repr=False)
    position: Position = Position()
    size: int = 1
    """Nodes in this subtree, aliases expanded."""
    key_starts: tuple[int, ...] = ()
    """Offset of every key, in the order of `entries`; empty where the reader has none to tell."""
    in_flow: bool = False

    def find(self, key: str) -> "Node | None":
        """The value of `key`; `None` where the mapping does not have it."""
        return next((node for name, node in self.entries if name == key), None)

    def without(self, key: str) -> "MappingNode":
        """The same mapping without one key."""
        kept = tuple(entry for entry in self.entries if entry[0] != key)
        return MappingNode(entries=kept, position=self.position, size=self.size, in_flow=self.in_flow)


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceNode:
    """Items in document order."""

    items: tuple["Node", ...] = field(repr=False)
    position: Position = Position()
    size: int = 1
    """Nodes in this subtree, aliases expanded."""
    in_flow: bool = False


Node = Scalar | MappingNode | SequenceNode
