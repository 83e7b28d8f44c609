"""Sees the whole fleet: one list call for the organization, and the details of the machines that need them.

The list is eventually consistent and lean (no checks, no events, hardly any config), the details are exact. Details are
asked for a machine that is awake, that was just touched, or that changed since they were last read; a sleeping machine
that did not change is remembered, because reading a thousand sleepers every few seconds would say nothing new. Of one
whose host was silent only a part was read, and no list tells when that host answers again: it is read each time.
Reading never wakes a machine.

Of an awake machine the list tells every change of config and state, for each makes another version or another time of
update, but not how its checks do. So a full look reads each one that is awake, and finds within a tick what is unwell.
A glance, which follows a full look within the same pass, does so only where there is reason to: checks run every few
seconds, and a machine that was well has nothing new to tell before. It goes by that only where nothing could be built
on the answer: a machine that stands alone in its app is no reason to take another one down.

The list is read from its beginning each time, although it could be asked for changes alone (`updated_after`): only a
whole list proves that a machine is gone.

Whatever could not be read makes the observation incomplete, which forbids every destroy. It is never taken for absence.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import anyio

from reconciler.core.types import MachineState, Observation, ObservedApp, ObservedMachine
from reconciler.errors import CatwalkError, Unavailable
from reconciler.fly import apps, errors, machines
from reconciler.fly.observed import FLEET_KEY, is_well, machine_state, observed_machine
from reconciler.fly.session import Session
from reconciler.fly.wire import MachineEntry

DETAIL_CONCURRENCY: Final = 16
CHECKS_STAND_S: Final = 5.0
"""The interval of health checks as Catwalk sets it: what was read is no older than the check that may come next."""
PAGES: Final = 200
"""At a thousand machines a page; a cursor that never ends must not keep a pass for ever."""
_ASLEEP: Final = frozenset({MachineState.STOPPED, MachineState.SUSPENDED})

Key = tuple[str, str]
"""App name and machine id."""


@dataclass(slots=True)
class _Sight:
    """What one observation has gathered so far."""

    began_s: float
    glance: bool
    entries: dict[Key, MachineEntry] = field(default_factory=dict[Key, MachineEntry])
    apps: dict[str, str] = field(default_factory=dict[str, str])
    """Network by app."""
    gaps: list[str] = field(default_factory=list[str])
    """Why the view is incomplete."""
    unread: set[Key] = field(default_factory=set[Key])
    """Machines whose details were wanted and did not come."""

    def alone(self) -> frozenset[str]:
        """Apps in which one machine stands alone."""
        counted = Counter(app for app, _ in self.entries)
        return frozenset(app for app, number in counted.items() if number == 1)

    def miss(self, key: Key, error: CatwalkError) -> None:
        self.unread.add(key)
        self.gaps.append(str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Detail:
    """What is known of one machine: a tenth of what its answer takes, because a thousand of them are kept."""

    listed: tuple[str, ...]
    """What the list said of it when its details were read."""
    machine: ObservedMachine
    well: bool
    read_s: float
    """When the look began that read it, in monotonic seconds."""


class Observer:
    """Looks at the fleet of one session, again and again."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._details: dict[Key, _Detail] = {}

    async def observe(self, *, glance: bool = False) -> Observation:
        """Everything of this fleet that exists.

        Args:
            glance: does not ask again how a machine does that was well `CHECKS_STAND_S` ago and stands alone.

        Raises:
            CatwalkError: nothing could be read.
        """
        sight = _Sight(began_s=self._session.now_s(), glance=glance)
        await self._list_machines(sight)
        await self._list_apps(sight)
        await self._read_details(sight)
        return Observation(
            apps=tuple(ObservedApp(name=name, network=sight.apps[name]) for name in sorted(sight.apps)),
            machines=tuple(self._machines(sight)),
            complete=not sight.gaps,
            incomplete_reason="; ".join(sight.gaps[:3]),
            platform_time=self._session.api.platform_now(),
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
        alone = sight.alone()
        standing = {key for key, entry in sight.entries.items() if self._still_stands(key, entry, sight, alone)}
        wanted = (sight.entries.keys() - standing) | touched
        limiter = anyio.CapacityLimiter(DETAIL_CONCURRENCY)
        async with anyio.create_task_group() as group:
            for key in sorted(wanted):
                group.start_soon(self._read_detail, key, sight, limiter)
        self._details = {key: known for key, known in self._details.items() if key in sight.entries}

    def _still_stands(self, key: Key, entry: MachineEntry, sight: _Sight, alone: Collection[str]) -> bool:
        """Whether what is remembered of a machine need not be read again."""
        known = self._details.get(key)
        if known is None or known.listed != _fingerprint(entry) or not known.machine.host_ok:
            return False
        if machine_state(entry) in _ASLEEP:
            return True
        fresh = sight.began_s - known.read_s < CHECKS_STAND_S
        return sight.glance and fresh and key[0] in alone and known.well

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
        # The entry of the list stays, which is the smaller one.
        listed = sight.entries.setdefault(key, entry)
        self._details[key] = _Detail(
            listed=_fingerprint(listed),
            machine=observed_machine(entry, app=app, fleet=self._session.fleet),
            well=is_well(entry),
            read_s=sight.began_s,
        )

    def _machines(self, sight: _Sight) -> Iterable[ObservedMachine]:
        for key in sorted(sight.entries):
            found = self._machine(key, sight)
            if found.state is not MachineState.DESTROYED:
                yield found

    def _machine(self, key: Key, sight: _Sight) -> ObservedMachine:
        """By its details; by the list alone, whose config is partial and so never compared, where they did not come."""
        if key in sight.unread:
            listed = observed_machine(sight.entries[key], app=key[0], fleet=self._session.fleet)
            return replace(listed, config="")
        return self._details[key].machine


def _fingerprint(entry: MachineEntry) -> tuple[str, ...]:
    """What of a list entry changes when the machine does."""
    return (entry.state, entry.current_version, entry.updated_at)
