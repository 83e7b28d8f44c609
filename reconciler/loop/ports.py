"""What a pass needs from the outside, in the words of the pass.

Each Protocol is a door that another room builds and the wiring hands in. They are small, asynchronous where they reach
over a process border, and raise only errors of `reconciler.errors`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reconciler.core.actions import Action, Outcome, Pass, Plan
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.secret import SecretValue
from reconciler.core.types import Observation, PackageReference, ProbeResult, Revision, ServerSpec, ServerStatus

ServerSecrets = Mapping[str, SecretValue]


class Clock(Protocol):
    """The time, passed in so that tests own it."""

    def now(self) -> datetime:
        """Now, aware, in UTC."""
        ...


class Source(Protocol):
    """The repository that holds the desired state."""

    async def head(self) -> Revision:
        """The newest revision of the followed branch.

        Raises:
            Unavailable: the repository cannot be reached now.
            EnvironmentFault: it cannot be read with what this machine has (path, credentials, host key).
        """
        ...

    async def files(self, revision: Revision) -> Mapping[str, bytes]:
        """Manifests and secret files of that revision, by path relative to the followed directory."""
        ...


class ManifestReader(Protocol):
    """From the files of a revision to a fleet."""

    def __call__(self, files: Mapping[str, bytes]) -> ManifestSet:
        """Reads every `catwalk.yaml`.

        Raises:
            InvalidManifests: at least one is wrong; carries every problem with its place.
        """
        ...


class SecretReader(Protocol):
    """Decrypts what a server declares."""

    async def read(self, spec: ServerSpec, files: Mapping[str, bytes]) -> ServerSecrets:
        """The plaintext of every declared secret of one server.

        Raises:
            CatwalkError: no key, a key that does not fit, a tampered value, a missing file; the server stays as it is.
        """
        ...


class PackageCatalog(Protocol):
    """The registries that packages come from."""

    async def check(self, reference: PackageReference, *, entrypoint: str = "") -> None:
        """Refuses what cannot start: a package, version or executable that does not exist.

        Raises:
            SourceError: it does not exist, or has nothing to run.
            Unavailable: the registry does not answer; which proves nothing about the package.
        """
        ...


class Fleet(Protocol):
    """The machines of this fleet, behind the Machines API."""

    async def observe(self) -> Observation:
        """Everything that exists. An answer that may be partial says so in `complete`.

        Raises:
            Unavailable: nothing could be read.
        """
        ...

    async def apply(self, action: Action, *, secrets: ServerSecrets, revision: Revision) -> Outcome:
        """Does one thing, once, and tells what came of it; a failure is an outcome, not an exception."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a machine's log, redacted."""

    at: datetime
    machine_id: str
    level: str
    message: str


class Logs(Protocol):
    """What the machines wrote."""

    async def recent(self, app: str, *, limit: int) -> Sequence[LogLine]:
        """The newest lines of an app, oldest first.

        Raises:
            Unavailable: the log service does not answer.
        """
        ...


class Prober(Protocol):
    """Proves over MCP that a server answers, by the path that its callers use."""

    async def probe(self, app: str) -> ProbeResult:
        """One `initialize` (or `server/discover`) and one `tools/list`; never raises for a server that is unwell."""
        ...


class Gate(Protocol):
    """Decides whether a pass may run at all: the fleet is suspended, or another process leads it."""

    async def check(self) -> None:
        """Returns when the pass may go on.

        Raises:
            CatwalkError: it may not, and why.
        """
        ...


class Reporter(Protocol):
    """Tells readers outside what a pass found. Level-triggered: saying the same thing again changes nothing."""

    async def report(self, finished: Pass) -> None: ...


class Memory(Protocol):
    """What outlives a pass. A cache with a memory: losing it costs history, never correctness."""

    async def next_number(self) -> int: ...

    async def record_intents(self, number: int, plan: Plan) -> None:
        """Makes what is about to happen durable before it happens."""
        ...

    async def record_outcome(self, number: int, outcome: Outcome) -> None: ...

    async def record_pass(self, finished: Pass) -> None: ...

    async def last_good(self) -> Revision | None:
        """The newest revision whose manifests were accepted and applied."""
        ...

    async def keep_last_good(self, revision: Revision) -> None: ...

    async def owned_apps(self) -> frozenset[str]:
        """Apps that this fleet created or meant to create, and has not destroyed."""
        ...

    async def statuses(self) -> tuple[ServerStatus, ...]:
        """The last recorded verdict on every server, so that `since` survives a restart."""
        ...
