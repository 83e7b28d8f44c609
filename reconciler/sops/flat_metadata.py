"""The metadata of dotenv and INI files: one flat list of names, made a tree again.

`age__list_0__map_recipient` is the recipient of the first entry of the list `age` (stores/flatten.go of getsops/sops).
Line breaks in values are written as backslash and n. Everything is text there, so the two fields that are not get their
type back.
"""

import re
from collections.abc import Iterable
from typing import Final

from reconciler.sops.nodes import MappingNode, Node, Position, Scalar, SequenceNode, ValueType
from reconciler.sops.text_forms import INT64_MAXIMUM, bool_text

_STEP: Final = re.compile(r"__(map|list)_")
_INDEX: Final = re.compile(r"[0-9]{1,4}")
_MAXIMUM_STEPS: Final = 10
_NUMBER_FIELD: Final = "shamir_threshold"
_FLAG_FIELD: Final = "mac_only_encrypted"
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_FLAGS: Final = {"true": True, "false": False}

_Branch = dict[str | int, "_Branch | Scalar"]


class UnreadableNameError(ValueError):
    """A name of the flat metadata does not fit the others. The message never quotes a value."""


def unflatten(fields: Iterable[tuple[str, str, Position]]) -> MappingNode:
    """The tree of `fields`: name without prefix, value, place.

    Raises:
        UnreadableNameError: a name is nested too deep, has no valid index, or contradicts another.
    """
    root: _Branch = {}
    for name, value, position in fields:
        _insert(root, _steps(name), _scalar(name, value, position))
    node = _node(root)
    if not isinstance(node, MappingNode):
        raise UnreadableNameError("the metadata is a list")
    return node


def _steps(name: str) -> list[str | int]:
    first, *rest = _STEP.split(name)
    if len(rest) > 2 * _MAXIMUM_STEPS:
        raise UnreadableNameError("a name of the metadata is nested too deep")
    return [first, *(_step(kind, part) for kind, part in zip(rest[::2], rest[1::2], strict=True))]


def _step(kind: str, part: str) -> str | int:
    if kind == "map":
        return part
    if not _INDEX.fullmatch(part):
        raise UnreadableNameError("a name of the metadata has no valid list index")
    return int(part)


def _insert(root: _Branch, steps: list[str | int], scalar: Scalar) -> None:
    branch = root
    for step in steps[:-1]:
        child = branch.setdefault(step, {})
        if isinstance(child, Scalar):
            raise UnreadableNameError("two names of the metadata contradict each other")
        branch = child
    if steps[-1] in branch:
        raise UnreadableNameError("a name of the metadata stands twice, or contradicts another")
    branch[steps[-1]] = scalar


def _node(branch: _Branch | Scalar) -> Node:
    if isinstance(branch, Scalar):
        return branch
    if not branch:
        return MappingNode(entries=())
    numbers = [step for step in branch if isinstance(step, int)]
    if len(numbers) == len(branch):
        return SequenceNode(items=tuple(_node(branch[number]) for number in sorted(numbers)))
    if numbers:
        raise UnreadableNameError("the metadata mixes a list with a mapping")
    return MappingNode(entries=tuple((str(step), _node(child)) for step, child in branch.items()))


def _scalar(name: str, value: str, position: Position) -> Scalar:
    if name == _FLAG_FIELD and value in _FLAGS:
        return Scalar(type=ValueType.BOOL, content=bool_text(value=_FLAGS[value]).encode(), position=position)
    if name == _NUMBER_FIELD and _NUMBER.fullmatch(value) and int(value) <= INT64_MAXIMUM:
        return Scalar(type=ValueType.INT, content=str(int(value)).encode(), position=position)
    return Scalar(type=ValueType.STR, content=value.encode("utf-8"), position=position)
