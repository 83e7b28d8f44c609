"""What must hold at every moment of a run, checked by the engine's own truth at every change that Catwalk makes.

foreign      nothing that is not ours is ever touched
declared     no app of a declared server is destroyed, and of its slots none loses its last machine
view         nothing is destroyed by a view that was incomplete
slots        a slot never has more than two machines: the one that serves and the one that takes its place
serving      where `scale.min` asks for somebody awake, Catwalk takes no machine down that serves alone
secret       no plaintext gets into what a pass records or reports
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from reconciler.core.actions import Action, Pass
from reconciler.core.slots import slot_number
from reconciler.core.types import Observation
from reconciler.engine.records import Machine
from tests.simulation.catwalk import Outside, Witness
from tests.simulation.fleetfile import CANARY, FLEET, Fleetfile, Server

APP: Final = re.compile(r"/v1/apps/([^/]+)(?:/machines/([0-9a-f]{14})(?:/(\w+))?)?")
MOST_IN_A_SLOT: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One call that changes something."""

    method: str
    path: str
    app: str
    machine_id: str
    verb: str
    """What is done to the machine: `stop`, `cordon`, `lease`; empty for itself."""

    @property
    def destroys_app(self) -> bool:
        return self.method == "DELETE" and self.path == f"/v1/apps/{self.app}"

    @property
    def destroys_machine(self) -> bool:
        return self.method == "DELETE" and bool(self.machine_id) and not self.verb

    @property
    def takes_down(self) -> bool:
        """Whether the machine cannot serve afterwards, or not for a while."""
        update = self.method == "POST" and not self.verb
        return bool(self.machine_id) and (self.destroys_machine or update or self.verb in {"stop", "cordon", "suspend"})


def change_of(method: str, path: str) -> Change:
    found = APP.match(path)
    app, machine_id, verb = found.groups(default="") if found else ("", "", "")
    return Change(method=method, path=path, app=app, machine_id=machine_id, verb=verb)


@dataclass
class Guard(Witness):
    """Watches every change of every life of one run."""

    outside: Outside
    in_force: Callable[[], Fleetfile]
    """What the revision declares that the present life has accepted."""
    trace: Callable[[str], None]
    violations: list[str] = field(default_factory=list[str])
    strangers: dict[str, Machine] = field(default_factory=dict[str, Machine])
    """Machines of others, by id, as they must stay."""
    leaving: set[str] = field(default_factory=set[str])
    """Machines that were told to go. A platform that refuses to let them go is no fault of Catwalk."""
    complete: bool = True
    seen_serving: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    serving: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    def observed(self, observation: Observation) -> None:
        self.complete = observation.complete
        apps = {machine.app for machine in self.outside.platform.machines()}
        self.seen_serving = {app: self.outside.platform.serving(app) for app in apps}

    def begins(self, action: Action) -> None:
        self.trace(f"    {type(action).__name__} {action.app}: {action.reason}")

    def before(self, method: str, path: str) -> None:
        change = change_of(method, path)
        self.serving[change.app] = self.outside.platform.serving(change.app)
        if change.destroys_machine or change.verb in {"cordon", "stop"}:
            self.leaving.add(change.machine_id)
        if change.verb != "lease":
            self.trace(f"        {change.method} {change.path}")
        self._foreign(change)
        self._declared(change)
        self._view(change)
        self._serving(change)

    def after(self, method: str, path: str) -> None:
        self._slots(change_of(method, path).app)

    def passed(self, finished: Pass) -> None:
        if CANARY in repr(finished):
            self.violated("secret", f"pass {finished.number} holds the plaintext of a secret")

    def violated(self, name: str, words: str) -> None:
        self.violations.append(f"{name}: {words}")
        self.trace(f"!!! {name}: {words}")

    def check_strangers(self) -> None:
        now = {machine.id: machine for machine in self.outside.platform.machines()}
        for machine_id, before in self.strangers.items():
            found = now.get(machine_id)
            if found is None or _identity(found) != _identity(before):
                self.violated("foreign", f"machine {before.name} in {before.app} is no longer what it was")

    def _foreign(self, change: Change) -> None:
        named = change.app and not change.app.startswith(f"{FLEET}-")
        if named or change.machine_id in self.strangers:
            self.violated("foreign", f"{change.method} {change.path}")
        if change.destroys_app and any(machine.app == change.app for machine in self.strangers.values()):
            self.violated("foreign", f"app {change.app} holds a machine of somebody else and is destroyed")

    def _declared(self, change: Change) -> None:
        server = self._server(change.app)
        if server is None:
            return
        if change.destroys_app:
            self.violated("declared", f"app {change.app} is destroyed")
        if change.destroys_machine and (slot := self._lost_slot(change, server)):
            self.violated("declared", f"slot {slot} of {change.app} loses its last machine")

    def _lost_slot(self, change: Change, server: Server) -> int:
        """The wanted slot that would be empty; 0 if none."""
        slots = {machine.id: slot_number(server.name, machine.name) for machine in self._ours(change.app)}
        slot = slots.pop(change.machine_id, 0)
        return slot if 0 < slot <= server.machines and slot not in slots.values() else 0

    def _view(self, change: Change) -> None:
        if (change.destroys_app or change.destroys_machine) and not self.complete:
            self.violated("view", f"{change.method} {change.path} after an incomplete observation")

    def _serving(self, change: Change) -> None:
        server = self._server(change.app)
        if server is None or not server.minimum or not change.takes_down or self.outside.platform.blurred:
            return
        target = change.machine_id
        if target not in self.serving[change.app] or target not in self.seen_serving.get(change.app, ()):
            return
        machine = self.outside.platform.inventory.machine(target)
        mute = machine is not None and (machine.config.env or {}).get("SIM_VOICE") == "mute"
        # A machine that crashed after Catwalk had looked is nothing that it could know of.
        others = (self.serving[change.app] | self.seen_serving[change.app]) - {target}
        if not others and not mute:
            self.violated("serving", f"{change.method} {change.path} takes down the last machine that serves")

    def _slots(self, app: str) -> None:
        if not app.startswith(f"{FLEET}-"):
            return
        name = app.removeprefix(f"{FLEET}-")
        staying = (machine for machine in self._ours(app) if machine.id not in self.leaving)
        counted = Counter(slot_number(name, machine.name) for machine in staying)
        for slot, machines in counted.items():
            if machines > MOST_IN_A_SLOT:
                self.violated("slots", f"slot {slot} of {app} has {machines} machines")

    def _ours(self, app: str) -> list[Machine]:
        return [machine for machine in self.outside.platform.machines(app) if machine.id not in self.strangers]

    def _server(self, app: str) -> Server | None:
        return next((server for server in self.in_force() if server.app == app), None)


def _identity(machine: Machine) -> tuple[object, ...]:
    return (machine.instance_id, machine.config, machine.cordoned, machine.goal)
