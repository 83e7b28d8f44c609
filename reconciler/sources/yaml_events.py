"""The parser: text in, typed events out.

The only module that touches ruamel.yaml's parser, whose types are loose. It yields one `YamlEvent` at a time, so that
its reader can stop at a limit before a hostile file has cost anything.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reconciler.core.problems import Location, Problem
from reconciler.sources.yaml_problems import syntax_problem


class Kind(Enum):
    """The events that carry content; the frames of stream and document are left out."""

    SCALAR = "ScalarEvent"
    ALIAS = "AliasEvent"
    SEQUENCE = "SequenceStartEvent"
    SEQUENCE_END = "SequenceEndEvent"
    MAPPING = "MappingStartEvent"
    MAPPING_END = "MappingEndEvent"


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
        Unreadable: it is no YAML.
    """
    parser: Any = YAML(typ="safe", pure=True)
    try:
        for raw in parser.parse(io.StringIO(text)):
            if (kind := _KINDS.get(type(raw).__name__)) is not None:
                yield _event(file, kind, raw)
    except YAMLError as error:
        raise Unreadable(syntax_problem(file, error, text)) from error
    except (ValueError, IndexError, AttributeError) as error:
        # Damaged escapes and directives make the parser fail in its own code.
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
