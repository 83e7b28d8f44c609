"""What the metadata of a file says, as plain fields in the order in which they are written.

`version` says 3.9.0, the feature level of what is written here, which every later tool accepts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.sops.metadata import KeyService
from reconciler.sops.rules import DEFAULT_UNENCRYPTED_SUFFIX, RuleKind
from reconciler.sops.writing.wrapping import Entry, EntryGroups

Plain = str | int | float | bool | None | Sequence["Plain"] | Mapping[str, "Plain"]
Fields = Mapping[str, Plain]

VERSION: Final = "3.9.0"
PENDING: Final = "pending"
"""Stands where the MAC goes until it is known."""
GROUPS_FIELD: Final = "key_groups"
THRESHOLD_FIELD: Final = "shamir_threshold"
_ABOUT_KEYS: Final = frozenset({GROUPS_FIELD, THRESHOLD_FIELD, *KeyService})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMetadata:
    """What a new file says of itself."""

    groups: EntryGroups
    threshold: int
    rule: tuple[RuleKind, str] | None
    mac_only_encrypted: bool
    last_modified: str

    def fields(self) -> Fields:
        """By name, in the order in which they are written."""
        kind, text = self.rule or (RuleKind.UNENCRYPTED_SUFFIX, DEFAULT_UNENCRYPTED_SUFFIX)
        found: dict[str, Plain] = {
            kind.value: text,
            "lastmodified": self.last_modified,
            "mac": PENDING,
            "version": VERSION,
        }
        if self.mac_only_encrypted:
            found["mac_only_encrypted"] = True
        return {**key_fields(self.groups, self.threshold), **dict(sorted(found.items()))}


def key_fields(groups: EntryGroups, threshold: int) -> Fields:
    """The fields that say who opens the file: lists, or key groups with their threshold."""
    if len(groups) == 1:
        return _lists(groups[0])
    return {THRESHOLD_FIELD: threshold, GROUPS_FIELD: [_lists(group) for group in groups]}


def with_keys(fields: Fields, groups: EntryGroups, threshold: int) -> Fields:
    """The fields of a file with others for the keys; everything else stays, unknown fields included.

    In dotenv and INI files the names are flat, and the list is their first part.
    """
    kept = {name: value for name, value in fields.items() if name.partition("__")[0] not in _ABOUT_KEYS}
    return {**key_fields(groups, threshold), **kept}


def flat_lines(fields: Fields) -> Iterator[tuple[str, str]]:
    r"""Name and value of every line of dotenv and INI metadata (stores/flatten.go of getsops/sops).

    Nothing and empty lists are left out; line breaks are the two characters `\n`.
    """
    for name, value in fields.items():
        yield from _flat(name, value)


def _flat(name: str, value: Plain) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}__map_{key}", inner)
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif isinstance(value, str | int | float):
        yield name, str(value).replace("\n", "\\n")
    elif value is not None:
        for index, inner in enumerate(value):
            yield from _flat(f"{name}__list_{index}", inner)


def _lists(entries: tuple[Entry, ...]) -> Fields:
    services = dict.fromkeys(entry.service for entry in entries)
    return {
        service.value: [dict(entry.fields) for entry in entries if entry.service is service] for service in services
    }
