"""Every app and machine that exists, and the news of their changes.

All changes go through here: the new value takes the place of the old one at once, is handed to the store, and wakes
whoever waits for something in that app. Reads and changes are plain calls on the event loop, so that a decision and the
change that follows from it have nothing in between.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from pydantic import TypeAdapter

from reconciler.engine.clock import NANOSECONDS, Clock
from reconciler.engine.records import App, CheckResult, Machine, State
from reconciler.engine.store import Store

APP = "app"
MACHINE = "machine"
_APPS = TypeAdapter(App)
_MACHINES = TypeAdapter(Machine)


class Inventory:
    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._apps: dict[str, App] = {}
        self._machines: dict[str, Machine] = {}
        self._by_app: dict[str, dict[str, None]] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._checks: dict[str, dict[str, CheckResult]] = {}

    async def load(self) -> None:
        """Takes what the store remembers."""
        for body in (await self._store.load(APP)).values():
            app = _APPS.validate_json(body)
            self._apps[app.name] = app
        for body in (await self._store.load(MACHINE)).values():
            self._hold(_MACHINES.validate_json(body))

    async def settle(self) -> None:
        """Returns when every change so far is on disk."""
        await self._store.settle()

    # Apps.

    def app(self, name: str) -> App | None:
        return self._apps.get(name)

    def apps(self) -> Iterator[App]:
        yield from self._apps.values()

    def put_app(self, app: App) -> None:
        self._apps[app.name] = app
        self._store.put(APP, app.name, _APPS.dump_json(app).decode())
        self.announce(app.name)

    def remove_app(self, name: str) -> None:
        self._apps.pop(name, None)
        self._store.remove(APP, name)
        self.announce(name)

    # Machines.

    def machine(self, machine_id: str) -> Machine | None:
        return self._machines.get(machine_id)

    def machines(self) -> Iterator[Machine]:
        yield from tuple(self._machines.values())

    def machines_of(self, app: str) -> Iterator[Machine]:
        """In the order of their creation."""
        for machine_id in tuple(self._by_app.get(app, ())):
            yield self._machines[machine_id]

    def put_machine(self, machine: Machine) -> Machine:
        """Puts a changed machine in place and moves its `updated_ns`."""
        # Whole microseconds, as answers show them: paging by the time of an answer must not repeat its machine.
        machine = replace(machine, updated_ns=self._clock.now_ns() // 1000 * 1000)
        self._hold(machine)
        self._store.put(MACHINE, machine.id, _MACHINES.dump_json(machine).decode())
        self.announce(machine.app)
        return machine

    def forget_machine(self, machine: Machine) -> None:
        self._machines.pop(machine.id, None)
        self._by_app.get(machine.app, {}).pop(machine.id, None)
        self._checks.pop(machine.id, None)
        self._store.remove(MACHINE, machine.id)
        self.announce(machine.app)

    def _hold(self, machine: Machine) -> None:
        self._machines[machine.id] = machine
        self._by_app.setdefault(machine.app, {})[machine.id] = None

    def forget_destroyed(self, kept_s: float) -> None:
        """Drops machines whose end is older than `kept_s`, after which their id answers 404."""
        oldest = self._clock.now_ns() - int(kept_s * NANOSECONDS)
        for machine in self.machines():
            if machine.state is State.DESTROYED and machine.updated_ns < oldest:
                self.forget_machine(machine)

    # Health checks, which live in memory only: after a restart they are asked again.

    def checks(self, machine_id: str) -> Mapping[str, CheckResult]:
        return self._checks.get(machine_id, {})

    def put_check(self, machine: Machine, result: CheckResult) -> None:
        self._checks.setdefault(machine.id, {})[result.name] = result
        self.announce(machine.app)

    def clear_checks(self, machine: Machine) -> None:
        if self._checks.pop(machine.id, None):
            self.announce(machine.app)

    # News.

    async def until(self, app: str, reached: Callable[[], bool], timeout_s: float) -> bool:
        """Waits until `reached` holds, looking again after every change in `app`; whether it does in time."""
        deadline_ns = self._clock.now_ns() + int(timeout_s * NANOSECONDS)
        while not reached():
            left_s = (deadline_ns - self._clock.now_ns()) / NANOSECONDS
            if left_s <= 0:
                return False
            await self._clock.wait(self.next_change(app), left_s)
        return True

    def next_change(self, app: str) -> asyncio.Event:
        """An event that the next change in `app` sets."""
        return self._news.setdefault(app, asyncio.Event())

    def announce(self, app: str) -> None:
        """Wakes whoever waits for news of `app`."""
        if event := self._news.pop(app, None):
            event.set()
