"""What can be seen of a SOPS file without any key: which values are encrypted, and which should be."""

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.core.problems import Location
from reconciler.sops.ciphertext import looks_encrypted
from reconciler.sops.files import METADATA_KEY, read_documents
from reconciler.sops.leaves import Path
from reconciler.sops.metadata import Metadata, read_metadata
from reconciler.sops.nodes import MappingNode, Node, Scalar, SequenceNode, ValueType
from reconciler.sops.rules import Rule, covers, key_matches


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenValue:
    """One value; never its content."""

    path: Path
    covered: bool
    """Whether the rule of the file encrypts this place."""
    encrypted: bool
    empty: bool
    """Null or empty text, which SOPS leaves as it is."""
    location: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A file as anybody can see it."""

    metadata: Metadata
    version: str
    """Of the tool that wrote it; empty where it does not say."""
    values: tuple[SeenValue, ...]

    @property
    def bare(self) -> tuple[SeenValue, ...]:
        """Values in clear where the rule wants them encrypted."""
        return tuple(value for value in self.values if value.covered and not value.encrypted and not value.empty)


def inspect(content: bytes, file: str) -> Inspection:
    """What the file shows.

    Raises:
        NotEncrypted: no metadata.
        CatwalkError: as `read_documents` and `read_metadata` raise.
    """
    documents = read_documents(content, file)
    first = documents[0] if documents else MappingNode(entries=())
    metadata = read_metadata(first, file)
    walk = _Walk(rule=metadata.rule, file=file)
    values = tuple(value for document in documents for value in walk.values(document.without(METADATA_KEY), (), False))
    return Inspection(metadata=metadata, version=_version(first), values=values)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    rule: Rule
    file: str

    def values(self, node: Node, path: Path, matched: bool) -> Iterator[SeenValue]:
        match node:
            case MappingNode():
                for key, child in node.entries:
                    yield from self.values(child, (*path, key), matched or key_matches(self.rule, key))
            case SequenceNode():
                for index, item in enumerate(node.items):
                    yield from self.values(item, (*path, index), matched)
            case Scalar():
                yield self._value(node, path, matched)

    def _value(self, scalar: Scalar, path: Path, matched: bool) -> SeenValue:
        return SeenValue(
            path=path,
            covered=covers(self.rule, scalar.content, path_matches=matched),
            encrypted=scalar.type is ValueType.STR and looks_encrypted(scalar.content),
            empty=scalar.type is ValueType.NULL or not scalar.content,
            location=Location(file=self.file, line=scalar.position.line, column=scalar.position.column),
        )


def _version(document: MappingNode) -> str:
    block = document.find(METADATA_KEY)
    node = block.find("version") if isinstance(block, MappingNode) else None
    text = node.content.decode("utf-8", "replace") if isinstance(node, Scalar) else ""
    return "".join(character for character in text[:40] if character.isprintable())
