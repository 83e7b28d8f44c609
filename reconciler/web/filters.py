"""Which servers of a fleet are wanted: by a part of the name, by state, owner and label. Pure.

What is empty leaves open, as a form sends it. A label is asked for as `key=value`, or as `key` for any value.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from reconciler.core.types import ServerStatus
from reconciler.web.view import ServerFacts

NO_FACTS: Final = ServerFacts()
MOST_CHOICES: Final = 50
"""Owners and labels that a form offers as a list; where there are more, they are typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFilter:
    """What is asked for."""

    name: str = ""
    """A part of the server's name or package, in any case."""
    state: str = ""
    owner: str = ""
    label: str = ""

    @property
    def is_open(self) -> bool:
        """Whether every server is wanted."""
        return not (self.name or self.state or self.owner or self.label)

    def wants(self, status: ServerStatus, facts: ServerFacts) -> bool:
        """Whether a server is one of them."""
        return (
            (not self.name or self.name.lower() in f"{status.server} {status.package}".lower())
            and (not self.state or status.state == self.state)
            and (not self.owner or facts.owner == self.owner)
            and (not self.label or _has(facts, self.label))
        )

    def address(self, **more: str) -> str:
        """The fleet page with what is asked for and with `more`."""
        asked = {"name": self.name, "state": self.state, "owner": self.owner, "label": self.label, **more}
        query = urlencode({key: value for key, value in asked.items() if value})
        return f"/?{query}" if query else "/"


def _has(facts: ServerFacts, label: str) -> bool:
    key, is_exact, value = label.partition("=")
    return any(known == key and (not is_exact or text == value) for known, text in facts.labels)


def filtered(
    statuses: Iterable[ServerStatus], facts: Mapping[str, ServerFacts], wanted: ServerFilter
) -> list[ServerStatus]:
    """The servers that are wanted, in the order in which they come."""
    return [status for status in statuses if wanted.wants(status, facts.get(status.server, NO_FACTS))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a form can offer; empty where nothing is known, or too much for a list."""

    owners: tuple[str, ...]
    labels: tuple[str, ...]
    has_owners: bool
    has_labels: bool


def choices(facts: Mapping[str, ServerFacts]) -> Choices:
    """The owners and labels of a fleet."""
    owners = sorted({known.owner for known in facts.values() if known.owner})
    labels = sorted({f"{key}={value}" for known in facts.values() for key, value in known.labels})
    return Choices(
        owners=tuple(owners) if len(owners) <= MOST_CHOICES else (),
        labels=tuple(labels) if len(labels) <= MOST_CHOICES else (),
        has_owners=bool(owners),
        has_labels=bool(labels),
    )
