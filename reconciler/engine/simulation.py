"""A simulated world for an engine: its clock, and the script that its machines follow.

    world = Simulation()
    world.behave("acme-time", Behaviour(healthy_after_s=30))
    async with run_engine(settings, simulation=world) as engine:
        ...  # calls over HTTP
        await world.advance(30)

One world serves one engine at a time; the next engine on the same state directory may have the same world, which is how
a restart is tested.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from reconciler.engine.clock import NANOSECONDS
from reconciler.engine.simulated import Behaviour, Script, SimulatedRuntime
from reconciler.engine.steering import SteerableClock

TURNS = 12
"""Turns of the event loop that a machine is given between two looks at whether it has come to rest."""
QUIET_ROUNDS = 2
NORMAL = Behaviour()


async def _nothing() -> None:
    """Before the engine is there, nothing has to reach its disk."""


class Simulation:
    def __init__(
        self, *, running: bool = False, default: Behaviour = NORMAL, apps: Mapping[str, Behaviour] | None = None
    ) -> None:
        """`running`: whether time passes by itself; otherwise only `advance` moves it."""
        self.clock = SteerableClock(running=running)
        self._script = Script(default=default, by_app=dict(apps or {}))
        self._settled: Callable[[], Awaitable[None]] = _nothing
        self._runtime: SimulatedRuntime | None = None

    def behave(self, app: str, behaviour: Behaviour) -> None:
        """How the machines of an app behave from their next run on."""
        self._script.by_app[app] = behaviour

    def behave_by_default(self, behaviour: Behaviour) -> None:
        """How the machines of every other app behave from their next run on."""
        self._script.default = behaviour

    def behaviours(self) -> Mapping[str, Behaviour]:
        """The script by app; `*` is every other app."""
        return {"*": self._script.default, **self._script.by_app}

    async def advance(self, seconds: float) -> None:
        """Lets `seconds` pass, moment by moment: what is due at each has happened, and is stored, before the next.

        A clock that runs by itself jumps instead, because its moments cannot be waited for.
        """
        if self.clock.running:
            self.clock.jump(seconds)
            return
        until_ns = self.clock.now_ns() + int(seconds * NANOSECONDS)
        await self.rest()
        while (due_ns := self.clock.next_ns()) is not None and due_ns <= until_ns:
            self.clock.step_to(due_ns)
            await self.rest()
        self.clock.step_to(until_ns)
        await self.rest()

    async def rest(self) -> None:
        """Returns when nothing more happens without more time or another call."""
        quiet = 0
        while quiet < QUIET_ROUNDS:
            before = self.clock.waits
            await _turns()
            await self._settled()
            await _turns()
            quiet = quiet + 1 if self.clock.waits == before else 0

    # For the engine.

    def runtime(self, tasks: asyncio.TaskGroup) -> SimulatedRuntime:
        self._runtime = SimulatedRuntime(self._script, self.clock, tasks)
        return self._runtime

    def attach(self, settled: Callable[[], Awaitable[None]]) -> None:
        """`settled` returns when everything that happened so far is on disk."""
        self._settled = settled

    def detach(self) -> None:
        """The engine ends: nothing may wait for time any more."""
        self._settled = _nothing
        if self._runtime is not None:
            self._runtime.hurry()


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)
