"""What callers do to machines: each operation checks, changes the stored goal, and nudges the keeper. None waits.

The states that refuse an operation, and the texts, are those of the live API.
"""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.engine import identifiers, places, refusals, volumes
from reconciler.engine.clock import NANOSECONDS, Clock, rfc3339
from reconciler.engine.config import CreateMachine, UpdateMachine
from reconciler.engine.history import Source, turned, with_event, with_version
from reconciler.engine.inventory import Inventory
from reconciler.engine.keeper import Halt, Keeper, halt_of
from reconciler.engine.records import App, Goal, Lease, Machine, State, Version
from reconciler.engine.settings import EngineSettings

OWNER = "catwalk@tokens.fly.io"
"""Who holds a lease, in the platform's form: there is one token."""
RUNNING = frozenset({State.STARTED, State.STARTING, State.RESTARTING})
SLEEPY = frozenset({State.SUSPENDING, State.SUSPENDED})
SUSPENDED_MEMORY_MB = 2048
"""The most memory that the platform keeps of a suspended machine (Fly docs, "Suspend and resume")."""
LEAVING = frozenset({State.DESTROYING, State.DESTROYED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    inventory: Inventory
    keeper: Keeper
    clock: Clock
    settings: EngineSettings

    def create(self, app: App, wanted: CreateMachine) -> Machine:
        """A new machine, which boots by itself unless `skip_launch`.

        Raises:
            Refusal: the image or the region is unknown, a live machine has that name, or its volume cannot be
                attached.
        """
        self.inventory.forget_destroyed(self.settings.timings.destroyed_kept_s)
        self._require_image(wanted.config.image)
        name = wanted.name or identifiers.machine_name()
        self._require_free_name(app, name)
        volumes.require_mountable(self.inventory, app, wanted.config, self._region(wanted))
        now_ns = self.clock.now_ns()
        machine = self._blank(app, name, wanted, now_ns)
        machine = with_version(machine, Version(id=machine.instance_id, config=wanted.config))
        machine = with_event(machine, now_ns, type_="launch", source=Source.USER)
        if wanted.lease_ttl:
            machine = replace(machine, lease=self.new_lease(wanted.lease_ttl, ""))
        machine = self.inventory.put_machine(machine)
        self.keeper.nudge(machine.id)
        return machine

    def _blank(self, app: App, name: str, wanted: CreateMachine, now_ns: int) -> Machine:
        return Machine(
            id=identifiers.machine_id(),
            app=app.name,
            name=name,
            region=self._region(wanted),
            instance_id=identifiers.ulid(now_ns),
            private_ip=identifiers.private_ip(),
            config=wanted.config,
            image_digest=self.settings.tags.digest(wanted.config.image),
            state=State.CREATED,
            goal=Goal.REST if wanted.skip_launch else Goal.RUN,
            created_ns=now_ns,
            updated_ns=now_ns,
            min_secrets_version=wanted.min_secrets_version,
            skip_secrets=wanted.skip_secrets,
            cordoned=wanted.skip_service_registration,
        )

    def update(self, machine: Machine, wanted: UpdateMachine) -> Machine:
        """Replaces the whole configuration by a new version; a running machine is restarted with it.

        The same words for the image keep the machine's image, also where the tag has moved since.

        Raises:
            Refusal: it is being destroyed, `current_version` is another, the image is unknown, or volumes
                are attached or detached.
        """
        if machine.state in LEAVING:
            raise refusals.failed_precondition(f"unable to update machine from current state: '{machine.state}'")
        if wanted.current_version and wanted.current_version != machine.instance_id:
            raise refusals.version_changed()
        self._require_image(wanted.config.image)
        volumes.require_same_mounts(machine, wanted.config)
        now_ns = self.clock.now_ns()
        updated = with_version(machine, Version(id=identifiers.ulid(now_ns), config=wanted.config))
        updated = turned(updated, State.REPLACING, goal=Goal.REST if wanted.skip_launch else Goal.RUN)
        updated = replace(
            updated,
            exits_ns=(),
            image_digest=self._digest_after(machine, wanted),
            min_secrets_version=max(wanted.min_secrets_version, machine.min_secrets_version),
            skip_secrets=wanted.skip_secrets,
        )
        updated = with_event(updated, now_ns, type_="update", source=Source.USER)
        updated = self.inventory.put_machine(updated)
        self.keeper.nudge(machine.id, self._halt(machine))
        return updated

    def _digest_after(self, machine: Machine, wanted: UpdateMachine) -> str:
        kept = wanted.config.image == machine.config.image
        return machine.image_digest if kept else self.settings.tags.digest(wanted.config.image)

    def start(self, machine: Machine, source: Source = Source.USER) -> State:
        """Starts a machine that rests; the state it was in. One that runs already stays as it is.

        Raises:
            Refusal: its state does not allow a start.
        """
        if machine.state in RUNNING:
            return machine.state
        if machine.state is State.REPLACING:
            raise refusals.failed_precondition("machine getting replaced, refusing to start")
        if machine.state not in {State.STOPPED, State.FAILED, State.SUSPENDED}:
            raise refusals.failed_precondition(f"unable to start machine from current state: '{machine.state}'")
        starting = turned(replace(machine, exits_ns=()), State.STARTING, goal=Goal.RUN)
        self._put(starting, type_="start", source=source)
        self.keeper.nudge(machine.id)
        return machine.state

    def stop(self, machine: Machine, halt: Halt | None = None, source: Source = Source.USER) -> None:
        """Ends the run, if there is one. Stopping what is stopped changes nothing.

        Raises:
            Refusal: the machine is being destroyed.
        """
        if machine.state in LEAVING:
            raise refusals.failed_precondition(f"unable to stop machine from current state: '{machine.state}'")
        if machine.goal is Goal.REST and machine.state not in RUNNING:
            return
        self._put(turned(machine, State.STOPPING, goal=Goal.REST), type_="stop", source=source)
        self.keeper.nudge(machine.id, halt or self._halt(machine))

    def suspend(self, machine: Machine, source: Source = Source.USER) -> None:
        """Freezes the run with its memory; the next start goes on with it. Suspending twice changes nothing.

        Raises:
            Refusal: it is not started, or has more memory than is kept, or swap.
        """
        if machine.state in SLEEPY:
            return
        if machine.state is not State.STARTED:
            raise refusals.failed_precondition(f"unable to suspend machine from current state: '{machine.state}'")
        if machine.config.guest.memory_mb > SUSPENDED_MEMORY_MB or machine.config.init.swap_size_mb:
            raise refusals.failed_precondition(
                f"unable to suspend machine with more than {SUSPENDED_MEMORY_MB} MB of memory or with swap"
            )
        self._put(turned(machine, State.SUSPENDING, goal=Goal.SLEEP), type_="suspend", source=source)
        self.keeper.nudge(machine.id)

    def cordon(self, machine: Machine, *, cordoned: bool) -> None:
        """Takes a machine out of the proxy's choice, or puts it back; it runs on either way.

        Raises:
            Refusal: it is being destroyed.
        """
        if machine.state in LEAVING:
            raise refusals.failed_precondition(f"unable to cordon machine from current state: '{machine.state}'")
        self.inventory.put_machine(replace(machine, cordoned=cordoned))

    def restart(self, machine: Machine, halt: Halt | None = None) -> None:
        """Ends the run and begins a new one of the same version.

        Raises:
            Refusal: its state does not allow it.
        """
        if machine.state not in {*RUNNING, State.STOPPED, State.FAILED}:
            raise refusals.failed_precondition(f"unable to restart machine from current state: '{machine.state}'")
        restarting = turned(replace(machine, exits_ns=()), State.RESTARTING, goal=Goal.RUN)
        self._put(restarting, type_="restart", source=Source.USER)
        self.keeper.nudge(machine.id, halt or self._halt(machine))

    def destroy(self, machine: Machine, *, force: bool) -> None:
        """Ends the run and removes the machine. Destroying what is destroyed changes nothing.

        Raises:
            Refusal: it runs and `force` was not given.
        """
        if machine.state in LEAVING:
            return
        if not force and machine.state in RUNNING:
            raise refusals.failed_precondition(
                f"unable to destroy machine, not currently stopped, currently {machine.state}"
            )
        self.inventory.put_machine(turned(replace(machine, lease=None), State.DESTROYING, goal=Goal.GONE))
        self.keeper.nudge(machine.id, Halt(signal=signal.SIGKILL, timeout_s=self.settings.timings.default_stop_s))

    def set_metadata(self, machine: Machine, metadata: Mapping[str, str]) -> Machine:
        """Makes no new version: metadata is part of the configuration only in what is read back."""
        config = machine.config.model_copy(update={"metadata": dict(metadata)})
        return self.inventory.put_machine(replace(machine, config=config))

    def new_lease(self, ttl_s: int, description: str) -> Lease:
        return Lease(
            nonce=identifiers.nonce(),
            owner=OWNER,
            description=description,
            expires_ns=self.clock.now_ns() + ttl_s * NANOSECONDS,
        )

    def lease_of(self, machine: Machine) -> Lease | None:
        """The lease that holds now; one that ran out is none."""
        lease = machine.lease
        return lease if lease and lease.expires_ns > self.clock.now_ns() else None

    def require_lease(self, machine: Machine, nonce: str) -> None:
        """Raises: Refusal: somebody else holds the machine."""
        lease = self.lease_of(machine)
        if lease and lease.nonce != nonce:
            raise refusals.lease_held(machine.id, lease.owner, rfc3339(lease.expires_ns))

    def _put(self, machine: Machine, *, type_: str, source: Source) -> None:
        """Stores a machine on its way, with the event that tells who sent it there."""
        self.inventory.put_machine(with_event(machine, self.clock.now_ns(), type_=type_, source=source))

    def _region(self, wanted: CreateMachine) -> str:
        return places.target(wanted.region or self.settings.region, own=self.settings.region)

    def _halt(self, machine: Machine) -> Halt:
        return halt_of(machine, self.settings.timings)

    def _require_image(self, image: str) -> None:
        if not self.keeper.knows_image(image):
            raise refusals.unknown_image(image)

    def _require_free_name(self, app: App, name: str) -> None:
        for other in self.inventory.machines_of(app.name):
            if other.name == name and other.state not in LEAVING:
                raise refusals.machine_name_exists(other.id, name)
