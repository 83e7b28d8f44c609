"""YAML text to placed nodes.

Works on a text that the room's reader has accepted already, so that limits, duplicate keys and broken syntax are not
looked for again; it only remembers the offsets that the reader does not need.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, cast

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

from reconciler.sops.scalars import resolve
from reconciler.sops.writing.placed import (
    PlacedAlias,
    PlacedDocument,
    PlacedEntry,
    PlacedMapping,
    PlacedNode,
    PlacedScalar,
    PlacedSequence,
    Style,
)
from reconciler.sops.yaml_reader import Event, events

_STYLES: Final = {"'": Style.SINGLE, '"': Style.DOUBLE, "|": Style.BLOCK, ">": Style.BLOCK}


def place_yaml(text: str) -> tuple[PlacedDocument, ...]:
    """The documents of a text that `read_yaml` accepts."""
    return tuple(_Placer(text).documents())


class _Placer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._events = events(text, "")

    def documents(self) -> Iterator[PlacedDocument]:
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                root = self._node(next(self._events), in_flow=False)
                end = next(self._events)
                assert isinstance(end, DocumentEndEvent)
                yield PlacedDocument(root=root, end=cast("Event", end).start_mark.index)

    def _node(self, event: Event, *, in_flow: bool) -> PlacedNode:
        start, end = event.start_mark.index, event.end_mark.index
        if isinstance(event, AliasEvent):
            return PlacedAlias(start=start, end=end)
        if isinstance(event, ScalarEvent):
            return self._scalar(cast("Event", event), in_flow=in_flow)
        flow = in_flow or bool(event.flow_style)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(start, in_flow=flow)
        assert isinstance(event, MappingStartEvent)
        return self._mapping(start, in_flow=flow)

    def _scalar(self, event: Event, *, in_flow: bool) -> PlacedScalar:
        value_type, content = resolve(event.value, quoted=bool(event.style), tag=event.tag)
        style = _STYLES.get(event.style or "", Style.PLAIN)
        start, end = event.start_mark.index, event.end_mark.index
        return PlacedScalar(
            start=start,
            end=self._block_end(start, end) if style is Style.BLOCK else end,
            type=value_type,
            content=content,
            style=style,
            in_flow=in_flow,
            anchored=event.anchor is not None,
        )

    def _block_end(self, start: int, end: int) -> int:
        """Without the empty lines behind the block, unless they are kept (`|+`) and part of the value."""
        block = self._text[start:end]
        if "+" in block.partition("\n")[0]:
            return end
        bare = block.rstrip(" \r\n")
        rest = block[len(bare) :]
        return start + len(bare) + rest.find("\n") + 1

    def _sequence(self, start: int, *, in_flow: bool) -> PlacedSequence:
        items: list[PlacedNode] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._node(event, in_flow=in_flow))
        end = cast("Event", event).end_mark.index if in_flow or not items else items[-1].end
        return PlacedSequence(start=start, end=end, items=tuple(items), in_flow=in_flow)

    def _mapping(self, start: int, *, in_flow: bool) -> PlacedMapping:
        entries: list[PlacedEntry] = []
        while not isinstance(event := next(self._events), MappingEndEvent):
            value = self._node(next(self._events), in_flow=in_flow)
            entries.append(PlacedEntry(key=event.value, start=event.start_mark.index, value=self._behind(event, value)))
        end = cast("Event", event).end_mark.index if in_flow or not entries else entries[-1].value.end
        return PlacedMapping(start=start, end=end, entries=tuple(entries), in_flow=in_flow)

    def _behind(self, key: Event, value: PlacedNode) -> PlacedNode:
        """The library puts a value that is not written before the next token; it belongs behind the colon."""
        if not isinstance(value, PlacedScalar) or value.start != value.end:
            return value
        colon = self._text.find(":", key.end_mark.index)
        place = colon + 1 if colon != -1 else key.end_mark.index
        return replace(value, start=place, end=place)
