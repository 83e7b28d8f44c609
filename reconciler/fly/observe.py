"""Sees the whole fleet: one list call for the organization, and the details of the machines that need them.

The list is eventually consistent and lean (no checks, no events, hardly any config), the details are exact. Details are
asked for a machine that is awake, that was just touched, or that changed since they were last read; a sleeping machine
that did not change is remembered, because reading a thousand sleepers every few seconds would say nothing new. Reading
never wakes a machine.

Whatever could not be read makes the observation incomplete, which forbids every destroy. It is never taken for absence.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import anyio

from reconciler.core.types import MachineState, Observation, ObservedApp, ObservedMachine
from reconciler.errors import CatwalkError, Unavailable
from reconciler.fly import apps, errors, machines
from reconciler.fly.observed import FLEET_KEY, machine_state, observed_machine
from reconciler.fly.session import Session
from reconciler.fly.wire import MachineEntry

DETAIL_CONCURRENCY: Final = 16
PAGES: Final = 200
"""At a thousand machines a page; a cursor that never ends must not keep a pass for ever."""
_ASLEEP: Final = frozenset({MachineState.STOPPED, MachineState.SUSPENDED})

Key = tuple[str, str]
"""App name and machine id."""


@dataclass(slots=True)
class _Sight:
    """What one observation has gathered so far."""

    entries: dict[Key, MachineEntry] = field(default_factory=dict[Key, MachineEntry])
    apps: dict[str, str] = field(default_factory=dict[str, str])
    """Network by app."""
    gaps: list[str] = field(default_factory=list[str])
    """Why the view is incomplete."""
    unread: set[Key] = field(default_factory=set[Key])
    """Machines whose details were wanted and did not come."""

    def miss(self, key: Key, error: CatwalkError) -> None:
        self.unread.add(key)
        self.gaps.append(str(error))


class Observer:
    """Looks at the fleet of one session, again and again."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._details: dict[Key, tuple[tuple[str, ...], MachineEntry]] = {}
        """By machine: what the list said of it when its details were read, and the details."""

    async def observe(self) -> Observation:
        """Everything of this fleet that exists.

        Raises:
            CatwalkError: nothing could be read.
        """
        sight = _Sight()
        await self._list_machines(sight)
        await self._list_apps(sight)
        await self._read_details(sight)
        return Observation(
            apps=tuple(ObservedApp(name=name, network=sight.apps[name]) for name in sorted(sight.apps)),
            machines=tuple(self._machines(sight)),
            complete=not sight.gaps,
            incomplete_reason="; ".join(sight.gaps[:3]),
        )

    async def _list_machines(self, sight: _Sight) -> None:
        """Every page. What fails after the first one is a gap: the pages that came are still worth having."""
        cursor, seen = "", set[str]()
        for number in range(PAGES):
            try:
                page = await machines.of_organization(self._session.api, self._session.organization, cursor=cursor)
            except Unavailable as error:
                if number == 0:
                    raise
                sight.gaps.append(str(error))
                return
            sight.entries |= {(entry.app_name, entry.id): entry for entry in page.machines if self._concerns(entry)}
            sight.gaps += [f"region {region} did not answer" for region in page.error_regions]
            cursor = page.next_cursor
            if not cursor or cursor in seen:
                return
            seen.add(cursor)
        sight.gaps.append(f"the list of machines does not end after {PAGES} pages")

    def _concerns(self, entry: MachineEntry) -> bool:
        """Ours by its mark, or a stranger in an app that bears our name."""
        ours = entry.metadata.get(FLEET_KEY) == self._session.fleet
        return bool(entry.app_name) and (ours or self._is_named_like_ours(entry.app_name))

    def _is_named_like_ours(self, app: str) -> bool:
        return app.startswith(f"{self._session.fleet}-")

    async def _list_apps(self, sight: _Sight) -> None:
        """Apps by name, and the apps of our machines, which the list of apps may not show yet."""
        sight.apps = {app: "" for app, _ in sight.entries}
        try:
            found = await apps.of_organization(self._session.api, self._session.organization)
        except CatwalkError as error:
            sight.gaps.append(str(error))
            return
        sight.apps |= {app.name: app.network for app in found if self._is_named_like_ours(app.name)}

    async def _read_details(self, sight: _Sight) -> None:
        touched = self._session.touched_machines()
        wanted = {key for key, entry in sight.entries.items() if key in touched or self._is_news(key, entry)} | touched
        limiter = anyio.CapacityLimiter(DETAIL_CONCURRENCY)
        async with anyio.create_task_group() as group:
            for key in sorted(wanted):
                group.start_soon(self._read_detail, key, sight, limiter)
        self._details = {key: known for key, known in self._details.items() if key in sight.entries}

    def _is_news(self, key: Key, entry: MachineEntry) -> bool:
        known = self._details.get(key)
        return known is None or known[0] != _fingerprint(entry) or machine_state(entry) not in _ASLEEP

    async def _read_detail(self, key: Key, sight: _Sight, limiter: anyio.CapacityLimiter) -> None:
        app, machine_id = key
        try:
            async with limiter:
                entry = await machines.get(self._session.api, app, machine_id)
        except errors.NotFound as error:
            # A listed machine that is not found is a replica that lags; one that only we remember is gone.
            if key in sight.entries:
                sight.miss(key, error)
            return
        except CatwalkError as error:
            sight.miss(key, error)
            return
        listed = sight.entries.get(key, entry)
        sight.entries[key] = entry
        self._details[key] = (_fingerprint(listed), entry)

    def _machines(self, sight: _Sight) -> Iterable[ObservedMachine]:
        for key in sorted(sight.entries):
            found = self._machine(key, sight)
            if found.state is not MachineState.DESTROYED:
                yield found

    def _machine(self, key: Key, sight: _Sight) -> ObservedMachine:
        """By its details; by the list alone, whose config is partial and so never compared, where they did not come."""
        app, fleet = key[0], self._session.fleet
        if key in sight.unread:
            return replace(observed_machine(sight.entries[key], app=app, fleet=fleet), config="")
        return observed_machine(self._details[key][1], app=app, fleet=fleet)


def _fingerprint(entry: MachineEntry) -> tuple[str, ...]:
    """What of a list entry changes when the machine does."""
    return (entry.state, entry.current_version, entry.updated_at)
