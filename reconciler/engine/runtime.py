"""The port between the life of a machine and whatever runs it: a process on this computer, or a simulation.

A runtime starts one run and reports its end by a callback; everything else (states, restarts, checks as a schedule,
leases) stays on the engine's side of the port and is the same for every runtime.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from reconciler.engine.records import CheckStatus, Exit


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedFile:
    path: str
    """Relative to the machine's directory, which stands for its root."""
    content: bytes = field(repr=False)
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedVolume:
    path: str
    """Relative to the machine's directory."""
    volume_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """What to run, and whom to tell."""

    machine_id: str
    image: str
    """The last path component of the image repository; the runtime knows what it stands for."""
    entrypoint: tuple[str, ...] | None
    """Replaces the image's own command."""
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    write: Callable[[str], None]
    """Takes each line that the run prints."""
    ended: Callable[[], None]
    """Called once, after the last line, when `exit` of the run is set."""
    files: tuple[PlacedFile, ...] = ()
    """Written before the command starts."""
    volumes: tuple[PlacedVolume, ...] = ()
    memory_mb: int | None = None
    """How much everything in the machine may have together; None is without limit."""


class ProbeKind(StrEnum):
    HTTP = "http"
    TCP = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One health check to make now."""

    kind: ProbeKind
    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer:
    status: CheckStatus
    output: str


class Run(Protocol):
    """One run of a machine's command."""

    @property
    def exit(self) -> Exit | None:
        """How it ended; None while it runs."""
        ...

    @property
    def port(self) -> int:
        """The loopback port that stands for the machine's services."""
        ...

    def signal(self, number: int) -> None:
        """Sends a signal to the command; nothing happens when it has ended.

        SIGSTOP and SIGCONT reach everything the run has started: that is how a machine is suspended and resumed.
        """
        ...

    def kill(self) -> None:
        """Kills everything the run has started."""
        ...

    async def probe(self, probe: Probe) -> ProbeAnswer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecOrder:
    """A command to execute in a running machine."""

    command: tuple[str, ...]
    stdin: bytes = field(repr=False)
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    exit: Exit
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFigure:
    """One process of a machine."""

    pid: int
    command: str = field(repr=False)
    directory: str
    memory_bytes: int
    user_s: int
    system_s: int


@runtime_checkable
class Inhabited(Protocol):
    """A run that has an inside. Not every runtime's have: a simulated machine runs nothing."""

    async def execute(self, order: ExecOrder) -> Executed:
        """Executes a command in the machine's directory and environment.

        Raises:
            TimeoutError: it did not end in time, and was killed with everything it started.
        """
        ...

    def processes(self) -> tuple[ProcessFigure, ...]:
        """What runs in the machine now. Blocks; call it in a thread."""
        ...


class Runtime(Protocol):
    async def start(self, order: RunOrder) -> Run:
        """Starts a run.

        Raises:
            EnvironmentFault: this computer cannot start it.
        """
        ...

    def knows(self, image: str) -> bool:
        """Whether an image of that name can be run."""
        ...

    async def destroy(self, machine_id: str) -> None:
        """Removes what a machine left on this computer."""
        ...

    async def close(self) -> None:
        """Ends every run that is left, at once. The keeper has asked them to stop before."""
        ...

    async def sweep(self, machine_ids: frozenset[str]) -> None:
        """Ends every process of those machines that a killed engine and its killed supervisors left behind."""
        ...
