"""YAML text to typed nodes, one tree per document.

Works on the event stream of libyaml, the C library that go-yaml is a translation of, so that both read the same text
alike and every limit applies while the text is read: depth, number of nodes with aliases expanded, number of aliases.
Merge keys stay the literal key `<<`, because SOPS authenticates that path; an alias stands for the node it names.
Refused: documents that are no mapping, keys that are no string, a key used twice, an alias to nothing or to itself.
"""

from collections.abc import Callable, Iterator
from typing import Final, NoReturn, Protocol, cast

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from reconciler.core.problems import Location
from reconciler.sops.errors import MalformedSops
from reconciler.sops.limits import MAXIMUM_ALIASES, MAXIMUM_DEPTH, MAXIMUM_KEY_CHARACTERS, MAXIMUM_NODES
from reconciler.sops.nodes import MappingNode, Node, Position, Scalar, SequenceNode, ValueType
from reconciler.sops.scalars import Resolved, UnreadableScalarError, resolve

_BOUND_HINT: Final = "split the file; one file per secret is the recommended form"


class Mark(Protocol):
    """A place in the text, as the library tells it."""

    index: int
    line: int
    column: int


class Event(Protocol):
    """The part of the library's events that is read here; the stubs leave most of it open."""

    start_mark: Mark
    end_mark: Mark
    anchor: str | None
    tag: str | None
    value: str
    style: str | None
    flow_style: bool | None


class _EventSource(Protocol):
    def get_event(self) -> Event | None: ...


# The wheels carry libyaml; a build without it reads the same in Python, some ten times slower.
_PARSER: Final = cast("Callable[[str], _EventSource]", getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_yaml(text: str, file: str) -> tuple[MappingNode, ...]:
    """The documents of `text`; an empty document is an empty mapping.

    Raises:
        MalformedSops: it is not YAML, not a mapping, or beyond a limit.
    """
    return tuple(_Composer(events(text, file), file).documents())


def events(text: str, file: str) -> Iterator[Event]:
    """The events of libyaml, which the editor follows too: two parsers never agree on every text.

    Raises:
        MalformedSops: it is not YAML.
    """
    try:
        source = _PARSER(text)
        while (event := source.get_event()) is not None:
            yield event
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # The last two: an escape beyond Unicode.
        location = _error_location(error, file)
        # Chained to nothing: the library's text quotes the line it stumbled over, which may hold a secret.
        raise MalformedSops("sops-malformed", "this is not valid YAML", hint=_SYNTAX_HINT, location=location) from None


_SYNTAX_HINT: Final = "repair the syntax at this place, or restore the file from the last commit that worked"


def _error_location(error: Exception, file: str) -> Location:
    mark = cast("Mark | None", getattr(error, "problem_mark", None))
    return Location(file=file) if mark is None else Location(file=file, line=mark.line + 1, column=mark.column + 1)


class _Composer:
    """Builds nodes from events; the library's own composer knows no limits and resolves merges."""

    def __init__(self, found: Iterator[Event], file: str) -> None:
        self._events = found
        self._file = file
        self._anchors: dict[str, Node] = {}
        self._known_keys: set[str] = set()
        self._composed = 0
        self._aliases = 0

    def documents(self) -> Iterator[MappingNode]:
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                self._anchors = {}
                yield self._root(self._next())

    def _root(self, event: Event) -> MappingNode:
        node = self._node(event, depth=1)
        if not isinstance(self._next(), DocumentEndEvent):
            self._refuse("this is not valid YAML", node.position)
        if isinstance(node, Scalar) and node.type is ValueType.NULL:
            return MappingNode(entries=(), position=node.position)
        if not isinstance(node, MappingNode):
            self._refuse("a SOPS document must be a mapping at its top", node.position)
        return node

    def _next(self) -> Event:
        return next(self._events)

    def _node(self, event: Event, *, depth: int, in_flow: bool = False) -> Node:
        position = _position(event)
        self._count(position, depth)
        if isinstance(event, AliasEvent):
            return self._alias(event.anchor, position)
        anchor = event.anchor
        if anchor is not None:
            self._anchors.pop(anchor, None)  # Inside its own node an anchor names nothing yet: no cycles.
        node = self._fresh(event, position, depth, in_flow=in_flow)
        if node.size > MAXIMUM_NODES:
            self._refuse(f"more than {MAXIMUM_NODES} values, aliases expanded", position, hint=_BOUND_HINT)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _count(self, position: Position, depth: int) -> None:
        self._composed += 1
        if self._composed > MAXIMUM_NODES:
            self._refuse(f"more than {MAXIMUM_NODES} values", position, hint=_BOUND_HINT)
        if depth > MAXIMUM_DEPTH:
            self._refuse(f"nested deeper than {MAXIMUM_DEPTH} levels", position, hint="flatten the file")

    def _alias(self, anchor: str | None, position: Position) -> Node:
        self._aliases += 1
        if self._aliases > MAXIMUM_ALIASES:
            self._refuse(f"more than {MAXIMUM_ALIASES} aliases", position, hint="write the values out")
        if anchor is None or anchor not in self._anchors:
            self._refuse("an alias names nothing before it, or the node that it stands in", position)
        return self._anchors[anchor]

    def _fresh(self, event: Event, position: Position, depth: int, *, in_flow: bool) -> Node:
        if isinstance(event, ScalarEvent):
            value_type, content = self._resolved(cast("Event", event), position)
            return Scalar(type=value_type, content=content, position=position, in_flow=in_flow)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(position, depth, in_flow=bool(event.flow_style))
        if not isinstance(event, MappingStartEvent):
            self._refuse("this is not valid YAML", position)
        return self._mapping(position, depth, in_flow=bool(event.flow_style))

    def _resolved(self, event: Event, position: Position) -> Resolved:
        try:
            return resolve(event.value, quoted=bool(event.style), tag=event.tag)
        except UnreadableScalarError as error:
            self._refuse(str(error), position, hint="quote the value if it is meant as text")

    def _sequence(self, position: Position, depth: int, *, in_flow: bool) -> SequenceNode:
        items: list[Node] = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            items.append(self._node(event, depth=depth + 1, in_flow=in_flow))
        return SequenceNode(
            items=tuple(items),
            position=_until(position, _end(event, items, in_flow=in_flow)),
            size=1 + sum(item.size for item in items),
            in_flow=in_flow,
        )

    def _mapping(self, position: Position, depth: int, *, in_flow: bool) -> MappingNode:
        entries: dict[str, Node] = {}
        starts: list[int] = []
        while not isinstance(event := self._next(), MappingEndEvent):
            key = self._key(event, depth)
            start = event.start_mark.index
            if key in entries:
                hint = "keep one of them; after a merge, take the whole file from one side"
                self._refuse("the same key stands twice in one mapping", _position(event), hint=hint)
            starts.append(start)
            entries[key] = self._node(self._next(), depth=depth + 1, in_flow=in_flow)
        return MappingNode(
            entries=tuple(entries.items()),
            position=_until(position, _end(event, list(entries.values()), in_flow=in_flow)),
            size=1 + sum(node.size for node in entries.values()),
            key_starts=tuple(starts),
            in_flow=in_flow,
        )

    def _key(self, event: Event, depth: int) -> str:
        if isinstance(event, ScalarEvent) and event.anchor is None and not event.tag:
            key = self._plain_key(event)
        else:
            key = self._noted_key(event, depth)
        if len(key) > MAXIMUM_KEY_CHARACTERS:
            self._refuse(f"a key longer than {MAXIMUM_KEY_CHARACTERS} characters", _position(event))
        return key

    def _plain_key(self, event: Event) -> str:
        """The usual key: no anchor, no tag. Servers repeat their keys, so what they are is remembered."""
        self._composed += 1
        key = event.value
        if key in self._known_keys:
            return key
        value_type, _ = self._resolved(event, _position(event))
        if value_type is not ValueType.STR:
            self._refuse("a key that is not text", _position(event), hint="quote the key")
        if not event.style:
            self._known_keys.add(key)
        return key

    def _noted_key(self, event: Event, depth: int) -> str:
        node = self._node(event, depth=depth + 1)
        if not isinstance(node, Scalar) or node.type is not ValueType.STR:
            self._refuse("a key that is not text", node.position, hint="quote the key")
        try:
            return node.content.decode("utf-8")
        except UnicodeDecodeError:
            self._refuse("a key that is not UTF-8 text", node.position)

    def _refuse(self, message: str, position: Position, *, hint: str = "") -> NoReturn:
        location = Location(file=self._file, line=position.line, column=position.column)
        raise MalformedSops("sops-malformed", message, hint=hint, location=location) from None


def _position(event: Event) -> Position:
    start = event.start_mark
    return Position(line=start.line + 1, column=start.column + 1, start=start.index, end=event.end_mark.index)


def _until(position: Position, end: int) -> Position:
    return Position(line=position.line, column=position.column, start=position.start, end=end)


def _end(event: Event, children: list[Node], *, in_flow: bool) -> int:
    """Where a collection ends: at its bracket, or with its last child (libyaml says: at the next token)."""
    if in_flow or not children:
        return event.end_mark.index
    return children[-1].position.end
