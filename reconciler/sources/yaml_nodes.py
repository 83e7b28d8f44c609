"""YAML as data in which every node knows its place.

The parser's events are composed into nodes here rather than by the library, because a manifest comes from anybody who
may open a pull request: depth, number of nodes and aliases are bounded while the events arrive, duplicate keys, merge
keys, tags and second documents are refused, and only the types of the YAML 1.2 core schema exist. Nothing is ever
constructed from a tag.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from reconciler.core.problems import Location, Problem
from reconciler.errors import InvalidManifests
from reconciler.sources.layout import LARGEST_FILE_BYTES
from reconciler.sources.yaml_events import Kind, Unreadable, YamlEvent, yaml_events
from reconciler.sources.yaml_problems import shown

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]
Path = tuple[str | int, ...]

DEEPEST: Final = 20
"""Levels. A manifest needs six, SOPS metadata four."""
MOST_NODES: Final = 30_000
"""Values of one file, aliases counted as what they stand for. A server needs about twenty."""
MOST_TOLD: Final = 100
"""Problems of one kind in one file that are told; what is wrong with more than these is not read by anybody."""
MOST_ALIASES: Final = 100

_NULL: Final = re.compile(r"^(?:null|Null|NULL|~|)$")
_BOOLEAN: Final = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INTEGER: Final = re.compile(r"^(?:[-+]?[0-9]{1,100}|0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100})$")
_FLOAT: Final = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
"""The YAML 1.2.2 core schema, section 10.3.2, without infinities. Longer digits than anybody means stay text."""
_CORE_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")
) | {"!"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A piece of a file. Exactly one of the three kinds: a scalar, a list, or entries of a mapping."""

    location: Location
    scalar: str | int | float | bool | None = None
    items: tuple["Node", ...] | None = None
    entries: tuple[tuple["Key", "Node"], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key of a mapping and where it stands."""

    name: str
    location: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One file as data, with the places of all its keys and values."""

    file: str
    data: Value
    values: dict[Path, Location]
    keys: dict[Path, Location]
    problems: tuple[Problem, ...] = ()
    """Faults that did not keep the rest from being read: keys that occur twice."""
    with_sops: frozenset[str] = frozenset()
    """The files of it that hold SOPS metadata, so that encrypted values in them can be decrypted."""

    def place(self, path: Path) -> Location:
        """Where the value at `path` stands, or the nearest thing around it that exists."""
        for length in range(len(path), -1, -1):
            if (found := self.values.get(path[:length])) is not None:
                return found if length == len(path) else self.keys.get(path[:length], found)
        return Location(file=self.file)

    def key_place(self, path: Path) -> Location:
        """Where the key at `path` stands; for a list item, the item."""
        return self.keys.get(path) or self.place(path)

    def has(self, path: Path) -> bool:
        """Whether a person wrote something at `path`."""
        return path in self.values


@dataclass(slots=True, kw_only=True)
class _Composer:
    """Turns the events of one file into nodes, within the limits."""

    events: Iterator[YamlEvent]
    problems: list[Problem] = field(default_factory=list[Problem])
    anchors: dict[str, Node] = field(default_factory=dict[str, Node])
    aliases: int = 0
    nodes: int = 0

    def document(self) -> Node | None:
        """The root node of the only document; None for an empty file."""
        root = None
        for event in self.events:
            if root is not None:
                raise _refusal("several-documents", "a second YAML document begins here", event, "keep one")
            root = self.node(event, depth=0)
        return root

    def node(self, event: YamlEvent, *, depth: int) -> Node:
        if event.kind is Kind.ALIAS:
            return self.alias(event)
        self.count(event, depth)
        _check_tag(event)
        node = self.composed(event, depth)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def composed(self, event: YamlEvent, depth: int) -> Node:
        if event.kind is Kind.SCALAR:
            return Node(location=event.location, scalar=_plain(event.text) if event.plain else event.text)
        if event.kind is Kind.SEQUENCE:
            return Node(location=event.location, items=tuple(self.items(depth)))
        return Node(location=event.location, entries=tuple(self.entries(depth)))

    def items(self, depth: int) -> Iterator[Node]:
        for event in self.events:
            if event.kind is Kind.SEQUENCE_END:
                return
            yield self.node(event, depth=depth + 1)

    def entries(self, depth: int) -> Iterator[tuple[Key, Node]]:
        seen: dict[str, Location] = {}
        for event in self.events:
            if event.kind is Kind.MAPPING_END:
                return
            key = _key(event)
            value = self.node(next(self.events), depth=depth + 1)
            if key.name in seen:
                self.note(_duplicate(key, seen[key.name]))
                continue
            seen[key.name] = key.location
            yield key, value

    def note(self, problem: Problem) -> None:
        if len(self.problems) >= MOST_TOLD:
            raise Unreadable(replace(problem, code="more-problems", message="there are more keys that stand twice"))
        self.problems.append(problem)

    def alias(self, event: YamlEvent) -> Node:
        self.aliases += 1
        if self.aliases > MOST_ALIASES:
            raise _refusal("too-many-aliases", f"more than {MOST_ALIASES} aliases are used", event, "use `defaults`")
        if (node := self.anchors.get(event.anchor)) is None:
            message = "an alias names an anchor that does not exist above"
            raise _refusal("unknown-alias", message, event, "quote a value that starts with `*`")
        return node

    def count(self, event: YamlEvent, depth: int) -> None:
        self.nodes += 1
        if depth > DEEPEST:
            raise _refusal("too-deep", f"the nesting is deeper than {DEEPEST} levels", event, "flatten it")
        if self.nodes > MOST_NODES:
            raise _refusal("too-many-nodes", f"the file holds more than {MOST_NODES} values", event, "split it")


def _key(event: YamlEvent) -> Key:
    if event.kind is not Kind.SCALAR:
        raise _refusal("bad-key", "a key must be plain text", event, "write `key: value`")
    if event.plain and event.text == "<<":
        message = "merge keys (`<<`) are not part of YAML 1.2"
        raise _refusal("merge-key", message, event, "use `defaults` for what is common")
    _check_tag(event)
    return Key(name=event.text, location=event.location)


def _check_tag(event: YamlEvent) -> None:
    if event.tag and event.tag not in _CORE_TAGS:
        message = "YAML tags other than the basic types are refused"
        raise _refusal("unknown-tag", message, event, "quote a value that starts with `!`")


def _refusal(code: str, message: str, event: YamlEvent, hint: str) -> Unreadable:
    return Unreadable(Problem(code=code, message=message, hint=hint, location=event.location))


def _duplicate(key: Key, first: Location) -> Problem:
    return Problem(
        code="duplicate-key",
        message=f"the key `{shown(key.name)}` stands here again; it was first used in line {first.line}",
        hint="remove or rename one of the two",
        location=key.location,
    )


def _plain(text: str) -> str | int | float | bool | None:
    if _NULL.match(text):
        return None
    if _BOOLEAN.match(text):
        return text.lower() == "true"
    if _INTEGER.match(text):
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    return float(text) if _FLOAT.match(text) else text


@lru_cache(maxsize=256)
def read_document(file: str, content: bytes) -> Document:
    """The data and places of one file. Unchanged files of an earlier revision cost nothing.

    Raises:
        InvalidManifests: it is no YAML, or exceeds a limit. Duplicate keys do not raise: they are in `problems`.
    """
    text = _decoded(file, content)
    composer = _Composer(events=yaml_events(file, text))
    try:
        root = composer.document()
    except Unreadable as refusal:
        raise InvalidManifests((*composer.problems, refusal.problem)) from refusal
    return _Flattener(file=file).document(root, tuple(composer.problems))


def _decoded(file: str, content: bytes) -> str:
    if len(content) > LARGEST_FILE_BYTES:
        problem = Problem(
            code="file-too-large",
            message=f"the file has {len(content)} bytes; at most {LARGEST_FILE_BYTES} are read",
            hint="split it into several `catwalk.yaml` files in folders of their own",
            location=Location(file=file),
        )
        raise InvalidManifests((problem,))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        problem = Problem(
            code="not-utf-8",
            message="the file is not UTF-8 text",
            hint="save it as UTF-8",
            location=Location(file=file, line=line, column=column),
        )
        raise InvalidManifests((problem,)) from error


@dataclass(slots=True, kw_only=True)
class _Flattener:
    """Turns nodes into data with places. Aliases repeat nodes, so what they add up to is bounded here again."""

    file: str
    values: dict[Path, Location] = field(default_factory=dict[Path, Location])
    keys: dict[Path, Location] = field(default_factory=dict[Path, Location])

    def document(self, root: Node | None, problems: tuple[Problem, ...]) -> Document:
        try:
            data = self.value(root, ()) if root else None
        except Unreadable as refusal:
            raise InvalidManifests((*problems, refusal.problem)) from refusal
        encrypted = isinstance(data, dict) and bool(data.get("sops"))
        return Document(
            file=self.file,
            data=data,
            values=self.values,
            keys=self.keys,
            problems=problems,
            with_sops=frozenset({self.file} if encrypted else ()),
        )

    def value(self, node: Node, path: Path) -> Value:
        self.admit(node, path)
        if node.items is not None:
            return [self.value(item, (*path, number)) for number, item in enumerate(node.items)]
        if node.entries is not None:
            return {key.name: self.entry(key, value, path) for key, value in node.entries}
        return node.scalar

    def entry(self, key: Key, value: Node, path: Path) -> Value:
        self.keys[(*path, key.name)] = key.location
        return self.value(value, (*path, key.name))

    def admit(self, node: Node, path: Path) -> None:
        if len(self.values) >= MOST_NODES or len(path) > DEEPEST:
            problem = Problem(
                code="too-many-nodes",
                message="the aliases of this file repeat more than can be read",
                hint="use `defaults` for what is common",
                location=node.location,
            )
            raise Unreadable(problem)
        self.values[path] = node.location
