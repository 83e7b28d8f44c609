"""Three versions of a SOPS file to one, by what they decrypt to.

Git merges ciphertexts, and every change changes `mac` and `lastmodified`, so that any two edits conflict. Here each
value is compared as plaintext and takes part in the merge of the text as an opaque token; values that only one side
changed, added or removed are taken, and so are clear lines and recipients. What both sides changed differently stays a
conflict, with the ciphertexts of both sides between git's markers. Plaintext stays in memory.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from reconciler.sops.ciphertext import looks_encrypted
from reconciler.sops.document import decrypt
from reconciler.sops.identities import Identities
from reconciler.sops.leaves import Path, shown_path
from reconciler.sops.master_keys import MasterKey, one_group
from reconciler.sops.metadata import Recipient
from reconciler.sops.nodes import ValueType
from reconciler.sops.writing.editing import Editing, open_to_edit
from reconciler.sops.writing.entries import Addition, added, removed
from reconciler.sops.writing.errors import CannotEdit
from reconciler.sops.writing.file_text import FileText, Splice
from reconciler.sops.writing.metadata_text import blocks
from reconciler.sops.writing.placed import PlacedMapping, PlacedScalar, Slot
from reconciler.sops.writing.sealed import contents, unsealed_leaves
from reconciler.sops.writing.three_way import merge_lines

Place = tuple[int, Path]
Value = tuple[ValueType, bytes]

_NOTHING: Final[Mapping[Place, Value]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """A file in the common ancestor and on both sides. The ancestor is empty where both sides created the file."""

    base: bytes = field(repr=False)
    ours: bytes = field(repr=False)
    theirs: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The result: a SOPS file, or a text with conflict markers that nothing opens before it is resolved."""

    content: bytes = field(repr=False)
    conflicts: tuple[str, ...] = ()
    """What both sides changed differently: key paths."""


def merge(versions: Versions, identities: Identities, *, file: str, last_modified: datetime) -> Merged:
    """The three versions as one.

    Raises:
        CatwalkError: a version does not open, or is in another format than ours; nothing can be merged then.
    """
    ours = open_to_edit(versions.ours, identities, file=file)
    theirs = open_to_edit(versions.theirs, identities, file=file)
    base = open_to_edit(versions.base, identities, file=file) if versions.base.strip() else None
    attempt = _Merge(base=base, ours=ours, theirs=theirs, moment=last_modified)
    if conflicts := tuple(attempt.conflicts()):
        return conflicting(versions, conflicts)
    merged = attempt.merged()
    if merged is None:
        return conflicting(versions, ("lines that both sides changed",))
    content = attempt.with_recipients(merged).sealed(last_modified)
    decrypt(content, identities, file=file)
    return Merged(content=content)


def conflicting(versions: Versions, conflicts: tuple[str, ...]) -> Merged:
    """The texts merged as they are, with the ciphertexts of both sides between markers.

    No side is dropped, and no reader takes the result for a SOPS file before somebody has resolved it.
    """
    sides = (versions.base, versions.ours, versions.theirs)
    base, ours, theirs = (text.decode("utf-8", "surrogateescape") for text in sides)
    merged = merge_lines(base, ours, theirs).text
    return Merged(content=merged.encode("utf-8", "surrogateescape"), conflicts=conflicts)


class _Merge:
    """One merge; the tokens that stand for values are its own."""

    def __init__(self, *, base: Editing | None, ours: Editing, theirs: Editing, moment: datetime) -> None:
        self._moment = moment
        self._base, self._ours, self._theirs = base, ours, theirs
        self._base_values = _encrypted(base) if base else _NOTHING
        self._our_values, self._their_values = _encrypted(ours), _encrypted(theirs)
        self._mark = secrets.token_hex(8)
        self._tokens: dict[tuple[Place, Value], str] = {}

    def conflicts(self) -> Iterator[str]:
        """Values and rules that both sides changed, each in its own way."""
        for place in {**self._our_values, **self._their_values}:
            base, ours, theirs = self._states(place)
            if ours != theirs and base not in (ours, theirs):
                yield shown_path(place[1])
        if _terms(self._ours) != _terms(self._theirs):
            yield "sops (the rules by which the file is encrypted)"

    def merged(self) -> Editing | None:
        """The file of our side with the changes of theirs; `None` where the texts conflict."""
        additions = self._separate_additions()
        base = self._tokenized(self._base) if self._base else ""
        theirs = self._tokenized(self._theirs, without={*additions, *self._added_twice()})
        lines = merge_lines(base, self._tokenized(self._ours), theirs)
        if lines.conflicts:
            return None
        source = replace(self._ours.source, text=self._with_ciphertexts(lines.text))
        try:
            for place in additions:
                source = source.spliced(self._addition(source, place))
        except CannotEdit:
            return None
        return self._checked(source)

    def with_recipients(self, merged: Editing) -> Editing:
        """Who was let in by one side is let in; who was shut out by one side is shut out, with a new data key."""
        ours, theirs = _recipients(self._ours), _recipients(self._theirs)
        base: Mapping[Recipient, MasterKey] = _recipients(self._base) if self._base else {}
        gone = {each for each in base if each not in ours or each not in theirs}
        wanted = {each: key for each, key in {**ours, **theirs}.items() if each not in gone}
        if gone & ours.keys():
            return merged.rotated(one_group(tuple(wanted.values())), self._moment)
        for each, key in wanted.items():
            merged = merged if each in ours else merged.with_recipient(key, self._moment)
        return merged

    def _states(self, place: Place) -> tuple[Value | None, Value | None, Value | None]:
        return self._base_values.get(place), self._our_values.get(place), self._their_values.get(place)

    def _result(self, place: Place) -> Value | None:
        base, ours, theirs = self._states(place)
        return theirs if ours == base else ours

    def _separate_additions(self) -> tuple[Place, ...]:
        """What only they added to a mapping that we have: added by itself, as two additions at one place conflict."""
        if self._base is None:
            return ()
        return tuple(
            place
            for place in self._their_values
            if place not in self._our_values and place not in self._base_values and self._has_parent(place)
        )

    def _added_twice(self) -> tuple[Place, ...]:
        if self._base is None:
            return ()
        return tuple(
            place for place in self._their_values if place in self._our_values and place not in self._base_values
        )

    def _has_parent(self, place: Place) -> bool:
        document, path = place
        if document != 0 or not all(isinstance(part, str) for part in path):
            return False
        return any(known[0] == 0 and known[1][: len(path) - 1] == path[:-1] for known in self._our_values)

    def _tokenized(self, edited: Editing, without: set[Place] | None = None) -> str:
        """The text with a token for every value, and one for the metadata of each document."""
        source = edited.source.spliced([*self._value_tokens(edited), *self._metadata_tokens(edited)])
        for _, path in without or ():
            names = tuple(str(part) for part in path)
            source = source.spliced([removed(source, source.documents()[0], names)])
        return source.text.replace("\r\n", "\n")

    def _value_tokens(self, edited: Editing) -> Iterator[Splice]:
        values = _encrypted(edited)
        for slot, node in _ciphertexts(edited):
            place = (slot.document, slot.path)
            value = self._result(place) or values[place]
            token = self._tokens.setdefault((place, value), f"ENC[merge-{self._mark}-{len(self._tokens)}]")
            written = edited.source.text[node.start : node.end]
            text = written.replace(node.content.decode("ascii"), token)
            yield Splice(start=node.start, end=node.end, text=text if token in text else token)

    def _metadata_tokens(self, edited: Editing) -> Iterator[Splice]:
        for number, block in enumerate(blocks(edited.source)):
            yield Splice(start=block.start, end=block.end, text=self._metadata_token(number))

    def _metadata_token(self, number: int) -> str:
        return f'"sops-{self._mark}-{number}"'

    def _with_ciphertexts(self, text: str) -> str:
        """Our ciphertexts where the value is ours, new ones where it is theirs, and our metadata."""
        own = {(slot.document, slot.path): (slot, node) for slot, node in _ciphertexts(self._ours)}
        for (place, value), token in self._tokens.items():
            if token in text:
                ours = own.get(place)
                kept = ours is not None and self._our_values[place] == value
                content = ours[1].content.decode("ascii") if ours and kept else self._sealed(place, value)
                text = text.replace(token, content)
        for number, block in enumerate(blocks(self._ours.source)):
            written = self._ours.source.text[block.start : block.end].replace("\r\n", "\n")
            text = text.replace(self._metadata_token(number), written)
        return re.sub(r"\n", self._ours.source.newline, text)

    def _sealed(self, place: Place, value: Value) -> str:
        keys = [part for part in place[1] if isinstance(part, str)]
        return self._ours.data_key.seal(value[1], value[0], ":".join(keys) + ":")

    def _addition(self, source: FileText, place: Place) -> list[Splice]:
        written = self._sealed(place, self._their_values[place])
        names = tuple(str(part) for part in place[1])
        return added(source, source.documents()[0], Addition(path=names, value=written))

    def _checked(self, source: FileText) -> Editing | None:
        """The file if it holds exactly the values that the merge of the values gives."""
        leaves = unsealed_leaves(source, self._ours.data_key)
        merged = replace(self._ours, source=source, held=contents(leaves))
        places = {**self._our_values, **self._their_values}
        wanted = {place: value for place in places if (value := self._result(place)) is not None}
        return merged if _encrypted(merged) == wanted else None


def _ciphertexts(edited: Editing) -> Iterator[tuple[Slot, PlacedScalar]]:
    for slot in edited.slots():
        if isinstance(slot.node, PlacedScalar) and looks_encrypted(slot.node.content):
            yield slot, slot.node


def _encrypted(edited: Editing) -> Mapping[Place, Value]:
    """The plaintext of every ciphertext, by place; of a text in clear that only looks like one, the text itself."""
    return {
        (slot.document, slot.path): edited.opened_value(slot) or (ValueType.STR, node.content)
        for slot, node in _ciphertexts(edited)
    }


def _recipients(edited: Editing) -> Mapping[Recipient, MasterKey]:
    return {key.recipient: key for key in edited.keys.keys}


def _terms(edited: Editing) -> tuple[object, ...]:
    """What both sides must agree on."""
    metadata = edited.metadata
    groups = edited.keys.groups if len(metadata.groups) > 1 else ()
    rule = next(iter(blocks(edited.source)))
    written = tuple(_text(rule, name) for name in _RULE_FIELDS)
    return (written, metadata.mac_only_encrypted, metadata.threshold, groups)


_RULE_FIELDS: Final = (
    "unencrypted_suffix",
    "encrypted_suffix",
    "unencrypted_regex",
    "encrypted_regex",
    "unencrypted_comment_regex",
    "encrypted_comment_regex",
)


def _text(block: PlacedMapping, name: str) -> bytes:
    entry = block.find(name)
    return entry.value.content if entry is not None and isinstance(entry.value, PlacedScalar) else b""
