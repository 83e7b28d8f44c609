"""A tiny world for the planner: values with defaults, and the effect of every action on an observation."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.core.actions import (
    Action,
    AllocateAddress,
    Create,
    CreateApp,
    Destroy,
    DestroyApp,
    SetSecrets,
    Start,
    Stop,
    Update,
)
from reconciler.core.resolve import resolve
from reconciler.core.types import (
    Check,
    CheckState,
    DesiredMachine,
    DesiredServer,
    MachineState,
    Observation,
    ObservedApp,
    ObservedMachine,
    PackageReference,
    Registry,
    Revision,
    SecretDeclaration,
    ServerSpec,
    Snapshot,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HEALTHY = (Check(name="servicecheck-00-http-8080", state=CheckState.PASSING),)
REVISION = Revision(commit="a" * 40, branch="main", source="/repository")


class World:
    """Builders for specs, servers and observations of the fleet `acme`."""

    now = NOW
    revision = REVISION

    def spec(self, name: str = "time", **changes: object) -> ServerSpec:
        spec = ServerSpec(
            fleet="acme",
            name=name,
            package=PackageReference(registry=Registry.PYPI, name="mcp-server-time", version="2026.10.19"),
        )
        return replace(spec, **changes)  # type: ignore[arg-type]  # Tests name the fields that they change.

    def secrets(self, *names: str) -> tuple[SecretDeclaration, ...]:
        return tuple(SecretDeclaration(name=name, file="catwalk.yaml", inline=True) for name in sorted(names))

    def server(self, spec: ServerSpec | None = None, **secret_digests: str) -> DesiredServer:
        return resolve(spec or self.spec(), runner_image="runner:1", secret_digests=secret_digests)

    def machine(self, wanted: DesiredMachine, **changes: object) -> ObservedMachine:
        found = ObservedMachine(
            app=wanted.app,
            id=hashlib.sha256(f"{wanted.app} {wanted.name}".encode()).hexdigest()[:14],
            name=wanted.name,
            state=MachineState.STARTED,
            region=wanted.region,
            instance_id="01",
            fleet="acme",
            server=wanted.server,
            digest=wanted.digest,
            config=wanted.config,
            checks=HEALTHY,
        )
        return replace(found, **changes)  # type: ignore[arg-type]  # Tests name the fields that they change.

    def snapshot(self, *servers: DesiredServer, observation: Observation | None = None, **changes: object) -> Snapshot:
        snapshot = Snapshot(fleet="acme", revision=REVISION, desired=servers, observation=observation or Observation())
        return replace(snapshot, **changes)  # type: ignore[arg-type]  # Tests name the fields that they change.

    def observe(self, *machines: ObservedMachine, **changes: object) -> Observation:
        apps = tuple(ObservedApp(name=name) for name in sorted({machine.app for machine in machines}))
        return replace(Observation(apps=apps, machines=machines), **changes)  # type: ignore[arg-type]  # As above.

    def apply(self, action: Action, seen: Observation) -> Observation:
        """What the Machines API would show after the action."""
        machines = list(seen.machines)
        apps = {app.name: app for app in seen.apps}
        match action:
            case CreateApp():
                apps[action.app] = ObservedApp(name=action.app, network=action.network)
            case Create():
                assert action.app in apps, "a machine needs its app"
                machines.append(self.machine(action.machine))
            case Update():
                machines = [self._updated(machine, action) for machine in machines]
            case Start():
                machines = [self._started(machine, action) for machine in machines]
            case Destroy():
                machines = [machine for machine in machines if machine.id != action.machine_id]
            case DestroyApp():
                machines = [machine for machine in machines if machine.app != action.app]
                apps.pop(action.app, None)
            case AllocateAddress() | SetSecrets() | Stop():
                pass
        return replace(seen, machines=tuple(machines), apps=tuple(apps.values()))

    def _updated(self, machine: ObservedMachine, action: Update) -> ObservedMachine:
        if machine.id != action.machine_id:
            return machine
        # An update starts a stopped machine, unless it is told not to (Fly docs, "Machines resource").
        state = MachineState.STARTED
        return replace(
            machine, digest=action.machine.digest, config=action.machine.config, instance_id="02", state=state
        )

    def _started(self, machine: ObservedMachine, action: Start) -> ObservedMachine:
        return replace(machine, state=MachineState.STARTED) if machine.id == action.machine_id else machine


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def kinds() -> Callable[[tuple[Action, ...]], list[str]]:
    return lambda actions: [type(action).__name__ for action in actions]
