"""What every machine is busy with: requests under way, connections of callers, and requests that wait for their app.

A place is taken in the same step in which the machine was chosen, so that no two requests take the last one, and so
that the autostop loop never finds a machine idle that is about to be given something.
"""

from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from reconciler.engine.clock import Clock
from reconciler.engine.inventory import Inventory


class Loads:
    def __init__(self, inventory: Inventory, clock: Clock) -> None:
        self._inventory = inventory
        self._clock = clock
        self._requests: Counter[str] = Counter()
        self._connections: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        self._active_ns: dict[str, int] = {}

    def requests(self, machine_id: str) -> int:
        return self._requests[machine_id]

    def connections(self, machine_id: str) -> int:
        return self._connections[machine_id]

    def active_ns(self, machine_id: str) -> int:
        """When it was last busy; 0 where it never was."""
        return self._active_ns.get(machine_id, 0)

    def is_awaited(self, app: str) -> bool:
        """Whether a request waits for a machine of this app."""
        return self._held[app] > 0

    @contextmanager
    def held(self, app: str) -> Generator[None]:
        """Counts one request that waits."""
        self._held[app] += 1
        try:
            yield
        finally:
            _less(self._held, app)

    def enter(self, machine_id: str) -> None:
        """One request more."""
        self._requests[machine_id] += 1

    def leave(self, machine_id: str) -> None:
        """One request less."""
        _less(self._requests, machine_id)
        self._freed(machine_id)

    def connect(self, machine_id: str) -> None:
        self._connections[machine_id] += 1

    def disconnect(self, machine_id: str) -> None:
        _less(self._connections, machine_id)
        self._freed(machine_id)

    def _freed(self, machine_id: str) -> None:
        self._active_ns[machine_id] = self._clock.now_ns()
        machine = self._inventory.machine(machine_id)
        if machine is not None and self.is_awaited(machine.app):
            self._inventory.announce(machine.app)

    def keep_only(self, machine_ids: Iterable[str]) -> None:
        """Forgets when machines were busy that exist no more."""
        self._active_ns = {name: self._active_ns[name] for name in machine_ids if name in self._active_ns}


class Attachment:
    """The machine that a caller's connection counts for: the one its last request went to, until it closes."""

    def __init__(self, loads: Loads) -> None:
        self._loads = loads
        self.machine_id = ""

    def move(self, machine_id: str) -> None:
        if machine_id == self.machine_id:
            return
        self.end()
        self.machine_id = machine_id
        self._loads.connect(machine_id)

    def end(self) -> None:
        if self.machine_id:
            self._loads.disconnect(self.machine_id)
            self.machine_id = ""


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
