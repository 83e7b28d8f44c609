"""The platform of a run: the engine in this process without sockets, its machines as scripts, its faults, its truth.

What a machine's program does is told by its own environment, so that going back to an earlier configuration goes back
to how that one behaved.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from unittest.mock import patch

from reconciler.engine import Behaviour, EngineSettings, RateLimits, Simulation, Timings, run_engine
from reconciler.engine import engine as assembly
from reconciler.engine.faults import Faults
from reconciler.engine.faults.effects import FlappingChecks, StuckTransition, UnreachableHost
from reconciler.engine.inventory import Inventory
from reconciler.engine.operations import SLEEPY
from reconciler.engine.records import CheckStatus, Exit, Machine, State
from reconciler.engine.runtime import Run, RunOrder
from reconciler.engine.simulated import SimulatedRuntime
from tests.simulation.determinism import LoopClock
from tests.simulation.wire import Wire

ORGANIZATION: Final = "acme-org"
TOKEN: Final = "fm2_" + "c2ltdWxhdGlvbg"
MODE: Final = "SIM_MODE"
"""The variable of a machine's environment that says how its program behaves."""
MODES: Final = {
    "well": Behaviour(healthy_after_s=2),
    "slow": Behaviour(healthy_after_s=6),
    "deaf": Behaviour(healthy_after_s=1, stop_s=None),
    "sick": Behaviour(healthy_after_s=None),
    "gone": Behaviour(healthy_after_s=None, exit_after_s=1, exit_code=70),
}
GONE: Final = frozenset({State.DESTROYED, State.DESTROYING})
TIMINGS: Final = Timings(prepare_s=1, replace_s=1, start_s=0.5, autostop_idle_s=1e9, autostop_tick_s=1e6)
"""Who sleeps is put to sleep by the schedule, not by the platform's own loop, which takes time to simulate."""


class _ModeRuntime(SimulatedRuntime):
    async def start(self, order: RunOrder) -> Run:
        app = order.environment["FLY_APP_NAME"]
        self._script.by_app[app] = MODES[order.environment.get(MODE, "well")]
        return await super().start(order)


class _Script(Simulation):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(running=True)
        self.clock = LoopClock(loop)

    def runtime(self, tasks: asyncio.TaskGroup) -> SimulatedRuntime:
        self._runtime = _ModeRuntime(self._script, self.clock, tasks)
        return self._runtime


@dataclass(slots=True, kw_only=True)
class Platform:
    wire: Wire
    faults: Faults
    inventory: Inventory
    script: _Script

    def machines(self, app: str = "") -> list[Machine]:
        """Living machines, past all faults."""
        found = self.inventory.machines_of(app) if app else self.inventory.machines()
        return [machine for machine in found if machine.state not in GONE]

    def serves(self, machine: Machine) -> bool:
        checks = self.inventory.checks(machine.id).values()
        passing = bool(checks) and all(check.status is CheckStatus.PASSING for check in checks)
        return machine.state is State.STARTED and passing and not machine.cordoned

    def serving(self, app: str) -> frozenset[str]:
        return frozenset(machine.id for machine in self.machines(app) if self.serves(machine))

    def crash(self, machine: Machine) -> bool:
        """Ends the program of a machine as a fault of its own would; whether one ran.

        What is frozen, or about to be, does nothing and so fails at nothing: such an end would count as a crash until
        the next call, which starts the machine.
        """
        if machine.state in SLEEPY:
            return False
        assert self.script._runtime is not None
        run = self.script._runtime._runs.get(machine.id)
        if run is None:
            return False
        run.end(Exit(code=1))
        return True

    @property
    def blurred(self) -> bool:
        """Whether what can be read of machines, or what they do, differs from what they would be."""
        effects = (planted.rule.effect for planted in self.faults.rules())
        return any(isinstance(effect, UnreachableHost | FlappingChecks | StuckTransition) for effect in effects)


class _NoSocket:
    """Nobody listens: calls come by the wire."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 9)


@asynccontextmanager
async def platform(
    state_dir: Path, loop: asyncio.AbstractEventLoop, timings: Timings, *, rate_limits: RateLimits | None = None
) -> AsyncIterator[Platform]:
    script, faults, caught = _Script(loop), Faults(), _Caught()
    settings = EngineSettings(
        state_dir=state_dir,
        token=TOKEN,
        organization=ORGANIZATION,
        region="iad",
        timings=timings,
        rate_limits=rate_limits,
    )
    with caught.instead_of_doors():
        async with run_engine(settings, simulation=script, faults=faults):
            wire = Wire(caught.app)
            yield Platform(wire=wire, faults=faults, inventory=caught.inventory, script=script)
            faults.clear()
            await wire.close()


class _Caught:
    """Parts of an engine that it keeps to itself."""

    app: Any
    inventory: Inventory

    @contextmanager
    def instead_of_doors(self) -> Iterator[None]:
        inventory_of = assembly.FlappingInventory

        def inventory(**options: Any) -> Inventory:  # noqa: ANN401 - handed on.
            self.inventory = inventory_of(**options)
            return self.inventory

        @asynccontextmanager
        async def serve_api(app: Any, _listener: socket.socket, _tasks: asyncio.TaskGroup) -> AsyncIterator[None]:  # noqa: ANN401
            self.app = app
            yield

        with (
            patch.object(assembly, "FlappingInventory", inventory),
            patch.object(assembly, "listen", lambda *_: _NoSocket()),
            patch.object(assembly, "serve_api", serve_api),
            patch.object(assembly, "serve_proxy", lambda *_: nullcontext()),
        ):
            yield
