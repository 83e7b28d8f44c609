"""The parser: text in, typed events out.

The only module of the manifest reader that touches a YAML library. libyaml reads here, by PyYAML's events, because a
file of the largest size must be refused within a second and a parser in Python takes half a minute; the SOPS room reads
with the same one, so that both see the same text. One `YamlEvent` comes at a time, so that its reader can stop at a
limit before a hostile file has cost anything.

Characters that nobody sees are refused before: control characters, as YAML does, the separators that libyaml takes for
line breaks and YAML 1.2 does not, and the marks that turn the direction of text, by which a review shows something else
than what is read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import yaml
from yaml.error import YAMLError

from reconciler.core.problems import Location, Problem
from reconciler.sources.yaml_problems import character_problem, syntax_problem


class Kind(Enum):
    """The events that carry content; the frames of stream and document are left out."""

    SCALAR = "ScalarEvent"
    ALIAS = "AliasEvent"
    SEQUENCE = "SequenceStartEvent"
    SEQUENCE_END = "SequenceEndEvent"
    MAPPING = "MappingStartEvent"
    MAPPING_END = "MappingEndEvent"


_UNSEEN: Final = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it, as all its wheels are."""
_KINDS: Final = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlEvent:
    """One step of the parser."""

    kind: Kind
    location: Location
    text: str = ""
    plain: bool = False
    """Whether a scalar stands without quotes and without a tag, so that its form decides its type."""
    tag: str = ""
    anchor: str = ""


class Unreadable(Exception):
    """The text cannot be read on; carries the problem to show."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


def yaml_events(file: str, text: str) -> Iterator[YamlEvent]:
    """The events of all documents of a text.

    Raises:
        Unreadable: it is no YAML, or holds a character that nobody sees.
    """
    if (unseen := _UNSEEN.search(text)) is not None:
        raise Unreadable(character_problem(file, text, unseen.start()))
    events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
    try:
        for raw in events:
            if (kind := _KINDS.get(type(raw).__name__)) is not None:
                yield _event(file, kind, raw)
    except YAMLError as error:
        raise Unreadable(syntax_problem(file, error, text)) from error
    except (ValueError, IndexError, AttributeError) as error:
        # Damaged escapes and directives make parsers fail in their own code.
        raise Unreadable(syntax_problem(file, YAMLError(), text)) from error


def _event(file: str, kind: Kind, raw: Any) -> YamlEvent:  # noqa: ANN401  # The parser's events have no usable types.
    implicit = getattr(raw, "implicit", None)
    return YamlEvent(
        kind=kind,
        location=Location(file=file, line=raw.start_mark.line + 1, column=raw.start_mark.column + 1),
        text=str(getattr(raw, "value", "")),
        plain=kind is Kind.SCALAR and bool(implicit and implicit[0]),
        tag=str(getattr(raw, "tag", None) or ""),
        anchor=str(getattr(raw, "anchor", None) or ""),
    )
