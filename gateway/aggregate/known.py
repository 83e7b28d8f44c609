"""The last lists of servers, as each caller saw them.

They answer in place of a server that sleeps, or that does not answer in time; they say whose a resource is; and they
say which tool a shortened name stands for. Bounded in number and size; another replica asks for itself.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from gateway.aggregate.callers import View
from gateway.aggregate.parts import Item, Listing, Part
from gateway.aggregate.settings import AggregateSettings, Running
from gateway.aggregate.uris import Ownership

_MAX_LISTS = 4000
_MAX_BYTES = 64 * 1024 * 1024
_OLDEST_S = 3600.0
_MAX_OWNERSHIPS = 200


@dataclass(frozen=True, slots=True)
class Asker:
    """Who sees a list: a server may list differently for other principals, and for clients that can do other things."""

    principal: str
    capabilities: str

    @classmethod
    def of(cls, view: View, capabilities: object) -> "Asker":
        """The asker with these client capabilities."""
        return cls(view.principal, json.dumps(capabilities, sort_keys=True))


_Key = tuple[Asker, str, Listing]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    part: Part
    identity: str
    at_s: float

    @property
    def size(self) -> int:
        return sum(len(item.text) for item in self.part.items)


class KnownLists:
    """What one gateway remembers."""

    def __init__(self, settings: AggregateSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._lists: dict[_Key, _Known] = {}
        self._bytes = 0
        self._ownerships: dict[tuple[Asker, tuple[str, ...]], Ownership] = {}
        """Worked out since a list last changed."""

    def keep(self, asker: Asker, listing: Listing, part: Part) -> None:
        """Remember a whole list."""
        known = _Known(part=part, identity=_identity(self._running(part.server)), at_s=self._clock())
        self._drop((asker, part.server, listing))
        self._ownerships.clear()
        self._lists[asker, part.server, listing] = known
        self._bytes += known.size
        while self._bytes > _MAX_BYTES or len(self._lists) > _MAX_LISTS:
            self._drop(next(iter(self._lists)))

    def of_sleeping(self, asker: Asker, server: str, listing: Listing) -> Part | None:
        """The list of a server that sleeps and has not been changed since."""
        running, known = self._running(server), self._lists.get((asker, server, listing))
        if running is None or not running.is_asleep or known is None or known.identity != running.identity:
            return None
        return known.part

    def old(self, asker: Asker, server: str, listing: Listing, cause: str) -> Part | None:
        """The list of a server that could not be asked, with a note that says so; None where it would be too old."""
        known = self._lists.get((asker, server, listing))
        if known is None or known.at_s < self._clock() - _OLDEST_S:
            return None
        return replace(known.part, ttl_ms=0, is_public=False, note=f"as it was before: {cause}")

    def ownership(self, asker: Asker, view: View) -> Ownership:
        """Whose resources are whose, as far as it is known."""
        key = (asker, view.servers)
        known = self._ownerships.get(key)
        if known is None:
            known = self._ownerships[key] = self._look(asker, view)
            if len(self._ownerships) > _MAX_OWNERSHIPS:
                del self._ownerships[next(iter(self._ownerships))]
        return known

    def _look(self, asker: Asker, view: View) -> Ownership:
        return Ownership(
            {server: self._keys(asker, server, Listing.RESOURCES) for server in view.servers},
            {server: self._keys(asker, server, Listing.TEMPLATES) for server in view.servers},
        )

    def items(self, asker: Asker, server: str, listing: Listing) -> Iterator[Item]:
        """The items of a list, as far as they are known."""
        known = self._lists.get((asker, server, listing))
        if known is not None:
            yield from known.part.items

    def _keys(self, asker: Asker, server: str, listing: Listing) -> list[str]:
        return [item.key for item in self.items(asker, server, listing)]

    def _running(self, server: str) -> Running | None:
        return self._settings.running(server)

    def _drop(self, key: _Key) -> None:
        dropped = self._lists.pop(key, None)
        if dropped is not None:
            self._ownerships.clear()
            self._bytes -= dropped.size


def _identity(running: Running | None) -> str:
    return running.identity if running is not None else ""
