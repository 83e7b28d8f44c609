"""The runtime that runs nothing: machines that are a state and a time, thousands of them, with scripted behaviour.

Everything on the engine's side of the runtime port is the real thing (states, restarts, leases, checks as a schedule,
events, the store); only the program in the machine is made up. A `Behaviour` says how that program behaves: when it
becomes healthy, whether it crashes and how, how it takes a stop signal. No request can be sent to a simulated machine,
because there is nothing that could answer it.
"""

import asyncio
import signal
from dataclasses import dataclass

from reconciler.engine.clock import NANOSECONDS, Clock
from reconciler.engine.records import CheckStatus, Exit
from reconciler.engine.runtime import Probe, ProbeAnswer, Run, RunOrder

APP_VARIABLE = "FLY_APP_NAME"
DEADLY = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGKILL})
"""Signals that a program takes as the wish to end; it takes no notice of the others."""
KILLED = Exit(code=137, signal=signal.SIGKILL)
OUT_OF_MEMORY = Exit(code=137, signal=signal.SIGKILL, out_of_memory=True)
NO_PORT = 0
"""Nothing listens: the proxy finds no machine behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What the program of a machine does in each of its runs. Spans are seconds of the engine's clock."""

    healthy_after_s: float | None = 0.0
    """When its checks begin to pass; None is never."""
    exit_after_s: float | None = None
    """When it ends without being asked; None is never."""
    exit_code: int = 1
    out_of_memory: bool = False
    """Whether that end is the kernel's doing: code 137, and `oom_killed` in the exit event."""
    stop_s: float | None = 0.0
    """How long it takes to obey a stop signal; None is deaf, so that only the kill ends it."""
    prints: tuple[str, ...] = ()
    """Lines that it prints at the beginning of each run."""
    healthy_output: str = '{"state":"ready","cause":null,"detail":null}'
    unhealthy_output: str = '{"state":"starting","cause":null,"detail":null}'


@dataclass(slots=True)
class Script:
    """Which app behaves how. It may be changed while machines run; a run keeps the behaviour that it began with."""

    default: Behaviour
    by_app: dict[str, Behaviour]

    def of(self, app: str) -> Behaviour:
        return self.by_app.get(app, self.default)


class SimulatedRuntime:
    """Knows every image, and leaves nothing on this computer."""

    def __init__(self, script: Script, clock: Clock, tasks: asyncio.TaskGroup) -> None:
        self._script = script
        self._clock = clock
        self._tasks = tasks
        self._runs: dict[str, SimulatedRun] = {}
        self._hurried = False

    def knows(self, image: str) -> bool:
        return bool(image)

    async def start(self, order: RunOrder) -> Run:
        behaviour = self._script.of(order.environment.get(APP_VARIABLE, ""))
        run = SimulatedRun(order, behaviour, self)
        self._runs[order.machine_id] = run
        for line in behaviour.prints:
            order.write(line)
        if behaviour.exit_after_s is not None:
            ended = OUT_OF_MEMORY if behaviour.out_of_memory else Exit(code=behaviour.exit_code)
            self.end_later(run, behaviour.exit_after_s, ended)
        return run

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def end_later(self, run: "SimulatedRun", after_s: float, ended: Exit) -> None:
        """Ends a run after a while, unless something else does before."""
        if self._hurried:
            run.end(ended)
        else:
            self._tasks.create_task(self._end_later(run, after_s, ended))

    async def _end_later(self, run: "SimulatedRun", after_s: float, ended: Exit) -> None:
        await self._clock.wait(run.over, after_s)
        run.end(ended)

    def forget(self, machine_id: str) -> None:
        self._runs.pop(machine_id, None)

    def hurry(self) -> None:
        """From now on every signal is obeyed at once: the engine ends, and a standing clock would hold it for ever."""
        self._hurried = True

    @property
    def hurried(self) -> bool:
        return self._hurried

    async def destroy(self, machine_id: str) -> None:
        self.forget(machine_id)

    async def close(self) -> None:
        for run in tuple(self._runs.values()):
            run.kill()

    async def sweep(self, machine_ids: frozenset[str]) -> None:
        """Simulated machines leave nothing behind."""


class SimulatedRun:
    """One run of a program that does not exist."""

    def __init__(self, order: RunOrder, behaviour: Behaviour, runtime: SimulatedRuntime) -> None:
        self._order = order
        self._behaviour = behaviour
        self._runtime = runtime
        self._began_ns = runtime.now_ns()
        self._exit: Exit | None = None
        self._suspended = False
        self._due: Exit | None = None
        """The end that came while it was suspended."""
        self.over = asyncio.Event()
        """Set when the run has ended."""

    @property
    def exit(self) -> Exit | None:
        return self._exit

    @property
    def port(self) -> int:
        return NO_PORT

    def end(self, ended: Exit) -> None:
        """Ends the run; one that has ended already keeps its first exit."""
        if self._exit is not None:
            return
        if self._suspended and ended is not KILLED:
            # A program that stands still ends when it goes on.
            self._due = ended
            return
        self._exit = ended
        self._runtime.forget(self._order.machine_id)
        self.over.set()
        self._order.ended()

    def signal(self, number: int) -> None:
        if number in {signal.SIGSTOP, signal.SIGCONT}:
            self._suspend(number == signal.SIGSTOP)
        if number not in DEADLY:
            return
        if number == signal.SIGKILL:
            self.end(KILLED)
            return
        stop_s = 0.0 if self._runtime.hurried else self._behaviour.stop_s
        if stop_s == 0:
            self.end(Exit(code=0))
        elif stop_s is not None:
            self._runtime.end_later(self, stop_s, Exit(code=0))

    def _suspend(self, suspended: bool) -> None:
        self._suspended = suspended
        if not suspended and self._due is not None:
            self.end(self._due)

    def kill(self) -> None:
        self.end(KILLED)

    async def probe(self, probe: Probe) -> ProbeAnswer:  # noqa: ARG002 - every check of a program is alike here.
        healthy_after_s = self._behaviour.healthy_after_s
        age_s = (self._runtime.now_ns() - self._began_ns) / NANOSECONDS
        if healthy_after_s is not None and age_s >= healthy_after_s:
            return ProbeAnswer(status=CheckStatus.PASSING, output=self._behaviour.healthy_output)
        return ProbeAnswer(status=CheckStatus.CRITICAL, output=self._behaviour.unhealthy_output)
