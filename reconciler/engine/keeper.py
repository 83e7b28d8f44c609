"""Takes every machine to its goal: one task for each machine that has something to do, none for one that rests.

Whoever wants something of a machine changes its goal (`operations`) and nudges it here; the task looks at the goal,
does one thing, and looks again. So there is one place where a machine moves, commands never race, and what a killed
engine left undone is found in the stored goals.
"""

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

import structlog

from reconciler.engine import durations, images, restarts
from reconciler.engine.checking import Checker
from reconciler.engine.clock import NANOSECONDS, Clock
from reconciler.engine.environment import environment_of
from reconciler.engine.files import files_of, volumes_of
from reconciler.engine.history import exit_recorded, turned, with_event
from reconciler.engine.inventory import Inventory
from reconciler.engine.logbook import LogBook, Origin
from reconciler.engine.records import Exit, Goal, Machine, State
from reconciler.engine.runtime import Run, RunOrder, Runtime
from reconciler.engine.settings import Timings
from reconciler.errors import EnvironmentFault

log = structlog.get_logger()
KILL_S = 5.0
"""How long a killed run may take to be reported as ended."""
SECRETS_S = 60.0
"""How long a boot waits for the app's secrets to reach `min_secrets_version`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """How a run is to be ended."""

    signal: int = signal.SIGINT
    timeout_s: float
    """Until the kill."""


@dataclass(slots=True)
class _Tended:
    """What a machine's task listens to."""

    alarm: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something happened: the run has ended, or somebody changed the goal."""
    halt: Halt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    inventory: Inventory
    clock: Clock
    logs: LogBook
    timings: Timings
    base_environment: Mapping[str, str] = field(repr=False)


class Keeper:
    def __init__(self, around: Surroundings, runtime: Runtime, tasks: asyncio.TaskGroup) -> None:
        self._around = around
        self._inventory = around.inventory
        self._clock = around.clock
        self._timings = around.timings
        self._runtime = runtime
        self._tasks = tasks
        self._tended: dict[str, _Tended] = {}
        self._runs: dict[str, Run] = {}
        self._closing = False
        self._checker = Checker(inventory=around.inventory, clock=around.clock, timings=around.timings)
        self._idle = asyncio.Event()
        self._idle.set()

    # What others ask.

    def run_of(self, machine_id: str) -> Run | None:
        """The present run of a machine, where there is one."""
        return self._runs.get(machine_id)

    def knows_image(self, image: str) -> bool:
        return self._runtime.knows(images.parse(image).name)

    def nudge(self, machine_id: str, halt: Halt | None = None) -> None:
        """Makes the machine's task look at its goal; `halt` ends the present run first."""
        if self._closing:
            return
        tended = self._tended.get(machine_id)
        if tended is None:
            self._tended[machine_id] = tended = _Tended()
            self._idle.clear()
            self._tasks.create_task(self._tend_safely(machine_id, tended))
        tended.halt = halt or tended.halt
        tended.alarm.set()

    async def resume(self) -> None:
        """After a restart: ends leftovers, then goes on with every machine that is not where it is meant to be."""
        machines = [machine for machine in self._inventory.machines() if machine.state is not State.DESTROYED]
        if machines:
            await self._runtime.sweep(frozenset(machine.id for machine in machines))
        for machine in machines:
            if not at_rest(machine):
                self.nudge(machine.id)

    async def close(self) -> None:
        """Stops every run with its own signal, and kills what is left after `shutdown_s`. Goals stay as they are."""
        self._closing = True
        for machine_id, tended in self._tended.items():
            machine = self._inventory.machine(machine_id)
            halt = halt_of(machine, self._timings) if machine else Halt(timeout_s=0)
            tended.halt = replace(halt, timeout_s=min(halt.timeout_s, self._timings.shutdown_s))
            tended.alarm.set()
            if machine:
                self._inventory.announce(machine.app)
        await self._clock.wait(self._idle, self._timings.shutdown_s + 2 * KILL_S)

    # The life of one machine.

    async def _tend_safely(self, machine_id: str, tended: _Tended) -> None:
        try:
            await self._tend(machine_id, tended)
        except Exception:
            # The edge of a task: one machine's fault must not end the others.
            log.exception("machine-task-failed", machine=machine_id)
            if self._inventory.machine(machine_id):
                self._turn(machine_id, State.FAILED, goal=Goal.REST)
        finally:
            del self._tended[machine_id]
            if not self._tended:
                self._idle.set()

    async def _tend(self, machine_id: str, tended: _Tended) -> None:
        while not self._closing and (machine := self._inventory.machine(machine_id)):
            tended.alarm.clear()
            tended.halt = None
            match machine.goal:
                case Goal.RUN:
                    await self._run(machine, tended)
                case Goal.REST:
                    await self._rest(machine, tended)
                case Goal.SLEEP:
                    # What was to be suspended is gone: its command has ended, or the engine has.
                    self._turn(machine.id, State.STOPPED, goal=Goal.REST)
                case Goal.GONE:
                    await self._destroy(machine)
                case _:
                    assert_never(machine.goal)
            await self._inventory.settle()
            if not tended.alarm.is_set() and self._arrived(machine_id):
                return

    def _arrived(self, machine_id: str) -> bool:
        machine = self._inventory.machine(machine_id)
        return machine is None or machine.state is State.DESTROYED or at_rest(machine)

    async def _rest(self, machine: Machine, tended: _Tended) -> None:
        pause_s = {State.CREATED: self._timings.prepare_s, State.REPLACING: self._timings.replace_s}
        if machine.state in pause_s and await self._clock.wait(tended.alarm, pause_s[machine.state]):
            return
        if not at_rest(machine):
            self._turn(machine.id, State.STOPPED)

    async def _destroy(self, machine: Machine) -> None:
        await self._runtime.destroy(machine.id)
        machine = self._turn(machine.id, State.DESTROYED, event="destroy")
        if self._inventory.app(machine.app) is None:
            # The whole app was deleted: nobody can ask for this machine any more.
            self._inventory.forget_machine(machine)

    async def _run(self, machine: Machine, tended: _Tended) -> None:
        """One run, from the boot to whatever ends it."""
        if machine.state is not State.STARTING:
            machine = self._turn(machine.id, State.STARTING, event="start")
        if not await self._may_boot(machine, tended):
            return
        # A process of a machine that no restart would know of could not be found after a kill.
        await self._inventory.settle()
        if tended.halt is not None or tended.alarm.is_set():
            return
        try:
            run = await self._boot(machine, tended)
        except EnvironmentFault as fault:
            self._note(machine, f"machine failed to start: {fault.problem.message}", level="error")
            self._turn(machine.id, State.FAILED, goal=Goal.REST, event="start")
            return
        try:
            await self._watch(machine, tended, run)
        finally:
            self._runs.pop(machine.id, None)
            self._inventory.clear_checks(machine)

    async def _may_boot(self, machine: Machine, tended: _Tended) -> bool:
        if await self._clock.wait(tended.alarm, self._timings.start_s):
            return False
        reached = await self._inventory.until(
            machine.app, lambda: tended.alarm.is_set() or self._secrets_ready(machine), SECRETS_S
        )
        if not reached:
            self._note(machine, f"secrets version {machine.min_secrets_version} did not arrive", level="error")
            self._turn(machine.id, State.FAILED, goal=Goal.REST, event="launch")
        return reached and not tended.alarm.is_set()

    def _secrets_ready(self, machine: Machine) -> bool:
        app = self._inventory.app(machine.app)
        return app is not None and app.secrets_version >= machine.min_secrets_version

    async def _boot(self, machine: Machine, tended: _Tended) -> Run:
        app = self._inventory.app(machine.app)
        if app is None:
            raise EnvironmentFault("app-gone", "the app of this machine does not exist any more")
        init = machine.config.init
        origin = Origin(app=machine.app, instance=machine.id, region=machine.region)
        order = RunOrder(
            machine_id=machine.id,
            image=images.parse(machine.config.image).name,
            entrypoint=init.exec or init.entrypoint,
            arguments=() if init.exec else init.cmd or (),
            environment=environment_of(machine, app, self._around.base_environment),
            write=lambda line: self._around.logs.write(origin, line),
            ended=tended.alarm.set,
            files=files_of(machine, app),
            volumes=volumes_of(machine),
            memory_mb=machine.config.guest.memory_mb,
        )
        run = await self._runtime.start(order)
        self._runs[machine.id] = run
        return run

    async def _watch(self, machine: Machine, tended: _Tended, run: Run) -> None:
        if tended.halt is None:
            await self._awake(machine, tended, run)
        while run.exit is None and tended.halt is None:
            phase = self._asleep if self._is_to_sleep(machine.id) else self._awake
            await phase(machine, tended, run)
        if tended.halt is None and run.exit is not None:
            await self._ended_by_itself(machine.id, tended, run.exit)
        else:
            await self._halt(machine.id, tended, run)

    async def _awake(self, machine: Machine, tended: _Tended, run: Run) -> None:
        """Checks a started machine until it ends, is to be halted, or is to be suspended."""
        started = self._turn(machine.id, State.STARTED, event="start", started_ns=self._clock.now_ns())
        async with asyncio.TaskGroup() as duties:
            checks = duties.create_task(self._checker.watch(started, run))
            while run.exit is None and tended.halt is None and not self._is_to_sleep(machine.id):
                tended.alarm.clear()
                await tended.alarm.wait()
            checks.cancel()
        self._inventory.clear_checks(machine)

    async def _asleep(self, machine: Machine, tended: _Tended, run: Run) -> None:
        """Keeps everything as it is, until the machine is started again or its memory is given up."""
        run.signal(signal.SIGSTOP)
        self._turn(machine.id, State.SUSPENDED, event="suspend")
        await self._inventory.settle()
        while run.exit is None and tended.halt is None and self._is_to_sleep(machine.id):
            tended.alarm.clear()
            await tended.alarm.wait()
        if tended.halt is None:
            run.signal(signal.SIGCONT)
        else:
            # Nothing that is frozen can obey a stop signal.
            run.kill()

    def _is_to_sleep(self, machine_id: str) -> bool:
        machine = self._inventory.machine(machine_id)
        return machine is not None and machine.goal is Goal.SLEEP

    async def _halt(self, machine_id: str, tended: _Tended, run: Run) -> None:
        """Signal, time to obey, kill. A run that ended meanwhile counts as one that obeyed."""
        halt = tended.halt or Halt(timeout_s=0)
        run.signal(halt.signal)
        if not await self._gone(tended, run, halt.timeout_s):
            run.kill()
            await self._gone(tended, run, KILL_S)
        machine = self._inventory.machine(machine_id)
        ended = run.exit or Exit(code=137, signal=int(signal.SIGKILL))
        if machine is not None and not self._closing:
            self._inventory.put_machine(
                exit_recorded(machine, ended, self._clock.now_ns(), requested=True, restarting=machine.goal is Goal.RUN)
            )

    async def _gone(self, tended: _Tended, run: Run, timeout_s: float) -> bool:
        deadline_ns = self._clock.now_ns() + int(timeout_s * NANOSECONDS)
        while run.exit is None:
            tended.alarm.clear()
            left_s = (deadline_ns - self._clock.now_ns()) / NANOSECONDS
            if left_s <= 0 or not await self._clock.wait(tended.alarm, left_s):
                return run.exit is not None
        return True

    async def _ended_by_itself(self, machine_id: str, tended: _Tended, ended: Exit) -> None:
        """The restart policy decides, also where a suspension came too late to find anything to freeze.

        What is frozen fails at nothing: its end loses its memory, and the next start is a cold one.
        """
        machine = self._inventory.machine(machine_id)
        if machine is None:
            return
        now_ns, frozen = self._clock.now_ns(), machine.state is State.SUSPENDED
        ages_s = [(now_ns - at_ns) / NANOSECONDS for at_ns in machine.exits_ns]
        decision = restarts.decide(machine.config.restart, ended, ages_s, self._timings)
        if frozen:
            decision = restarts.Stay()
        again = isinstance(decision, restarts.Again)
        machine = exit_recorded(machine, ended, now_ns, requested=frozen, restarting=again)
        if again and machine.goal is Goal.SLEEP:
            machine = replace(machine, goal=Goal.RUN)
        machine = self._inventory.put_machine(machine)
        self._note(machine, _exit_text(ended))
        match decision:
            case restarts.Again():
                await self._pause(machine, tended, decision.pause_s)
            case restarts.Stay():
                self._stay(machine, exhausted=decision.exhausted)
            case _:
                assert_never(decision)

    async def _pause(self, machine: Machine, tended: _Tended, pause_s: float) -> None:
        self._turn(machine.id, State.STARTING, event="restart")
        tended.alarm.clear()
        await self._inventory.settle()
        if tended.halt is None:
            await self._clock.wait(tended.alarm, pause_s)

    def _stay(self, machine: Machine, *, exhausted: bool) -> None:
        if exhausted:
            self._note(machine, f"machine has reached its max restart count ({machine.config.restart.max_retries})")
        if machine.config.auto_destroy:
            self._turn(machine.id, State.DESTROYING, goal=Goal.GONE, event="destroy")
            self.nudge(machine.id)
        else:
            self._turn(machine.id, State.STOPPED, goal=Goal.REST)

    # Bookkeeping.

    def _turn(
        self, machine_id: str, state: State, *, goal: Goal | None = None, event: str = "", started_ns: int = 0
    ) -> Machine:
        """Moves a machine to a state. The goal is only ever set here by a machine's own end."""
        machine = self._inventory.machine(machine_id)
        assert machine is not None, "a tended machine stays in the inventory until its task ends"
        machine = turned(machine, state, goal=goal)
        if started_ns:
            machine = replace(machine, started_ns=started_ns)
        if event:
            machine = with_event(machine, self._clock.now_ns(), type_=event)
        return self._inventory.put_machine(machine)

    def _note(self, machine: Machine, message: str, *, level: str = "info") -> None:
        origin = Origin(app=machine.app, instance=machine.id, region=machine.region, provider="runner")
        self._around.logs.write(origin, message, level=level)


def at_rest(machine: Machine) -> bool:
    if machine.goal is Goal.SLEEP:
        return machine.state is State.SUSPENDED
    return machine.goal is Goal.REST and machine.state in {State.STOPPED, State.FAILED}


def halt_of(machine: Machine, timings: Timings) -> Halt:
    """How a machine's own configuration wants it stopped."""
    config = machine.config.stop_config
    name = (config.signal if config else None) or "SIGINT"
    text = config.timeout if config else None
    return Halt(
        signal=signal.Signals[name], timeout_s=timings.default_stop_s if text is None else durations.seconds(text)
    )


def _exit_text(ended: Exit) -> str:
    if ended.signal:
        return f"Main child exited with signal (with signal '{signal.Signals(ended.signal).name}', core dumped? false)"
    return f"Main child exited normally with code: {ended.code}"
