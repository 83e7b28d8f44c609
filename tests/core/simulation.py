"""A fleet that is only simulated: actions change what is observed, time makes machines healthy, asleep or broken.

Pure and deterministic, so that a property test or a bench can run any number of stages of any plan in it. It refuses
what Fly refuses (a name that is taken, a machine without its app, a version that has changed), and it counts whatever
the planner must never do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from reconciler.core.actions import (
    Action,
    AllocateAddress,
    Cordon,
    Create,
    CreateApp,
    Destroy,
    DestroyApp,
    SetSecrets,
    Start,
    Stop,
    Uncordon,
    Update,
)
from reconciler.core.machine_health import GONE
from reconciler.core.types import (
    Check,
    CheckState,
    DesiredMachine,
    ExitEvent,
    MachineState,
    Observation,
    ObservedApp,
    ObservedMachine,
)

FLEET = "acme"
HEALTHY = (Check(name="servicecheck-00-http-8080", state=CheckState.PASSING),)
SICK = (Check(name="servicecheck-00-http-8080", state=CheckState.CRITICAL),)
MUTE = (Check(name="servicecheck-00-http-8080", state=CheckState.PASSING, output="but it speaks no MCP"),)
"""What the checks of a machine say that runs well and answers no client."""
CRASH = ExitEvent(exit_code=79, requested=False)
COMES_TO_REST = {
    MachineState.STOPPING: MachineState.STOPPED,
    MachineState.SUSPENDING: MachineState.SUSPENDED,
    MachineState.DESTROYING: MachineState.DESTROYED,
}
Key = tuple[str, str]


@dataclass(slots=True, kw_only=True)
class Simulation:
    """The machines of one organization."""

    machines: dict[Key, ObservedMachine] = field(default_factory=dict[Key, ObservedMachine])
    """By app and id."""
    apps: set[str] = field(default_factory=set[str])
    bad_digests: frozenset[str] = frozenset()
    """Configurations that never become healthy."""
    mute_digests: frozenset[str] = frozenset()
    """Configurations that pass their checks and speak no MCP."""
    count: int = 0

    @classmethod
    def of(cls, observation: Observation, bad_digests: Iterable[str] = ()) -> "Simulation":
        return cls(
            machines={(machine.app, machine.id): machine for machine in observation.machines},
            apps={app.name for app in observation.apps} | {machine.app for machine in observation.machines},
            bad_digests=frozenset(bad_digests),
        )

    def observe(self, *, complete: bool = True) -> Observation:
        return Observation(
            apps=tuple(ObservedApp(name=name) for name in sorted(self.apps)),
            machines=tuple(self.machines[key] for key in sorted(self.machines)),
            complete=complete,
        )

    def settle(self) -> None:
        """Time passes: what was starting is up, and its checks have an answer; what was going to rest does."""
        for key, machine in self.machines.items():
            if machine.state in COMES_TO_REST:
                self.machines[key] = replace(machine, state=COMES_TO_REST[machine.state])
            if machine.state in {MachineState.STARTING, MachineState.UPDATING, MachineState.RESTARTING}:
                self.machines[key] = replace(machine, state=MachineState.STARTED, checks=self._checks(machine.digest))

    def _checks(self, digest: str) -> tuple[Check, ...]:
        if digest in self.bad_digests:
            return SICK
        return MUTE if digest in self.mute_digests else HEALTHY

    @property
    def mute_machines(self) -> frozenset[str]:
        """Ids of machines that were asked and gave no answer."""
        return frozenset(machine.id for machine in self.machines.values() if machine.checks == MUTE)

    def apply(self, action: Action) -> None:
        match action:
            case CreateApp():
                self.apps.add(action.app)
            case AllocateAddress() | SetSecrets():
                assert action.app in self.apps
            case Create():
                self._create(action.machine)
            case DestroyApp():
                self.apps.discard(action.app)
                self.machines = {key: found for key, found in self.machines.items() if found.app != action.app}
            case Destroy():
                del self.machines[action.app, action.machine_id]
            case Update():
                self._update(action)
            case Start() | Stop() | Cordon() | Uncordon():
                self._order(action)

    def _create(self, wanted: DesiredMachine) -> None:
        assert wanted.app in self.apps, "a machine needs its app"
        living = (machine for machine in self.machines.values() if machine.state not in GONE)
        names = {machine.name for machine in living if machine.app == wanted.app}
        assert wanted.name not in names, f"the name {wanted.name} is taken"
        self.count += 1
        machine = ObservedMachine(
            app=wanted.app,
            id=f"new{self.count:05}",
            name=wanted.name,
            state=MachineState.STARTING,
            region=wanted.region,
            instance_id=f"v{self.count:05}",
            fleet=FLEET,
            server=wanted.server,
            digest=wanted.digest,
            config=wanted.config,
        )
        self.machines[machine.app, machine.id] = machine

    def _update(self, action: Update) -> None:
        found = self.machines[action.app, action.machine_id]
        assert found.instance_id == action.instance_id, "somebody changed it"
        assert found.region == action.machine.region, "a machine cannot move"
        self.count += 1
        self.machines[action.app, action.machine_id] = replace(
            found,
            state=MachineState.STARTING,
            checks=(),
            last_exit=None,
            instance_id=f"v{self.count:05}",
            digest=action.machine.digest,
            config=action.machine.config,
        )

    def _order(self, action: Start | Stop | Cordon | Uncordon) -> None:
        key = (action.app, action.machine_id)
        found = self.machines[key]
        changes: Mapping[type[Action], dict[str, object]] = {
            Start: {"state": MachineState.STARTING, "checks": (), "last_exit": None},
            Stop: {"state": MachineState.STOPPED, "checks": (), "last_exit": ExitEvent(exit_code=0, requested=True)},
            Cordon: {"cordoned": True},
            Uncordon: {"cordoned": False},
        }
        self.machines[key] = replace(found, **changes[type(action)])  # type: ignore[arg-type]  # Fields by name.
